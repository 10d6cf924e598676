"""A body that cannot be read is told in our words: the sender sees them, and never its parser's."""

import pytest

from api.webhooks.payloads import FORM, UnreadableBody, parse_payload

JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"", JSON, "The body is no JSON: line 1, column 0: it ends too early."),
        (b'{"a": NaN}', JSON, "The body is no JSON: line 1, column 7: a value is missing."),
        (b"payload=1", JSON, "It looks like a form: declare it as one."),
        (b"[" * 300, JSON, "it is nested too deep"),
        (b'{"a": "\xff"}', JSON, "it is not UTF-8"),
        (b"{}", FORM, "The body is JSON, declared as"),
        (b"a=%ff", FORM, "The form cannot be read: it is not UTF-8."),
        (b"a=\xff", FORM, "The form cannot be read: it is not UTF-8."),
        (b"a=1&" * 1001, FORM, "The form cannot be read: it has more than 1000 fields."),
    ],
)
def test_what_cannot_be_read(body: bytes, kind: str, words: str) -> None:
    with pytest.raises(UnreadableBody) as caught:
        parse_payload(body, kind, None)
    assert words in str(caught.value)
