"""A verified body as a value: JSON, or a form whose fields (or one field's JSON) are the value."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import pydantic_core

from workflows.contracts.refusals.sentences import json_fault

FORM: Final = "application/x-www-form-urlencoded"
_MAX_FIELDS: Final = 1000
_FORM_LIKE: Final = re.compile(rb"[A-Za-z0-9_.%+-]{1,64}=")


class UnreadableBody(ValueError):
    """The bytes are neither what they are declared as nor anything we know; the message says why."""


def parse_payload(body: bytes, content_type: str, form_field: str | None) -> Any:
    """The value. Raises UnreadableBody."""
    if content_type.partition(";")[0].strip().lower() != FORM:
        return _json(body)
    if body.lstrip().startswith((b"{", b"[")):
        raise UnreadableBody(f"The body is JSON, declared as {FORM}: set the content type to application/json.")
    fields = _form(body)
    return _json(fields[form_field].encode()) if form_field is not None and form_field in fields else fields


def parse_query(query: bytes) -> Mapping[str, str]:
    """The parameters of an address; of several with one name, the last. Raises UnreadableBody."""
    return _form(query)


def _json(body: bytes) -> Any:
    try:
        return pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        form = " It looks like a form: declare it as one." if _FORM_LIKE.match(body) else ""
        raise UnreadableBody(f"The body is no JSON: {json_fault(str(error))}.{form}") from error


def _form(text: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(text.decode("utf-8"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except UnicodeDecodeError as error:
        raise UnreadableBody("The form cannot be read: it is not UTF-8.") from error
    except ValueError as error:
        raise UnreadableBody(f"The form cannot be read: it has more than {_MAX_FIELDS} fields.") from error
    return dict(pairs)
