"""YAML becomes the JSON it stands for, within bounds, whatever the bytes are."""

import json
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflows.yaml_text import (
    MAX_DEPTH,
    MAX_YAML_BYTES,
    UnreadableYaml,
    reads_as_text,
    yaml_file_to_json,
    yaml_to_json,
)

texts = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=12).filter(lambda text: text != "<<")
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)
many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def value_of(text: str | bytes) -> Any:
    return json.loads(yaml_to_json(text.encode() if isinstance(text, str) else text))


def refusal_of(data: bytes) -> str | None:
    try:
        json.loads(yaml_to_json(data))
    except UnreadableYaml as error:
        return str(error)
    return None


@many
@given(value=any_json)
def test_json_is_yaml(value: Any) -> None:
    assert value_of(json.dumps(value, ensure_ascii=False)) == value


def test_what_pyyaml_writes_is_read_as_it_was() -> None:
    value = {"a": [1, 2.5, None, True, "yes", "1", "null", "2026-11-21", "a: b", "x\ny\n", ""]}
    assert value_of(yaml.safe_dump(value)) == value
    assert value_of(yaml.safe_dump(value, default_flow_style=True)) == value


@many
@given(data=st.binary(max_size=300) | st.text(alphabet="[]{}:,-?&*!|>'\"%@` \n\tab1#<\\", max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    message = refusal_of(data)
    assert message is None or message.strip()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[yes, no, on, off, True, FALSE, ~, null, '']", ["yes", "no", "on", "off", True, False, None, None, ""]),
        ("[12, -7, +3, 0, 0x1f, 0o17, 1_000]", [12, -7, 3, 0, 31, 15, "1_000"]),
        ("[010, 0777, -01, 00, 01.5, 1:30]", ["010", "0777", "-01", "00", "01.5", "1:30"]),
        ("[1.5, .5, 1e3, -2., '1.5', 1.2.3]", [1.5, 0.5, 1000.0, -2.0, "1.5", "1.2.3"]),
        ("[2026-11-21, 12:30, 2026-11-21T10:00:00Z]", ["2026-11-21", "12:30", "2026-11-21T10:00:00Z"]),
        ("{1: a, true: b, ~: c}", {"1": "a", "true": "b", "~": "c"}),
        ("a: !!str 7", {"a": "7"}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("d: {<<: [{a: 1}, {a: 2, b: 3}]}", {"d": {"a": 1, "b": 3}}),
        ("\ufeffa: 1", {"a": 1}),
        ("--- a\n...\n", "a"),
    ],
)
def test_the_core_schema(text: str, value: Any) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no document"),
        ("# nothing", "no document"),
        ("a: 1\na: 2", "line 2: the key 'a' is there twice"),
        ("{a: 1, 'a': 2}", "there twice"),
        ("a: &a [*a]", "stands inside"),
        ("*a", "no anchor 'a'"),
        ("? [a]\n: b", "a key must be a text"),
        ("&a b: 1", "a key cannot have an anchor"),
        ("- &a b\n- {*a : 1}", "not an alias"),
        ("a: !!binary YQ==", "the tag"),
        ("!!set {a}", "the tag"),
        ("{<<: 1}", "'<<' must be given a map"),
        ("--- 1\n--- 2", "a second document"),
        ("a: " + "9" * 301, "too long"),
        ("[" * (MAX_DEPTH + 1), "nested deeper"),
        ("a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(60)), "nested deeper"),
        ("a: \x07", "no YAML may hold"),
        ("a: 'b", "line 1"),
        ("#" * (MAX_YAML_BYTES + 1), "bytes long"),
    ],
)
def test_what_is_refused_says_where_and_why(text: str, words: str) -> None:
    with pytest.raises(UnreadableYaml, match=words):
        value_of(text)


@many
@given(text=texts | st.from_regex(r"[-+]?[0-9.:eExo]{1,6}", fullmatch=True))
def test_what_reads_as_text_needs_no_quotes(text: str) -> None:
    """Of texts that YAML takes plain at all."""
    if not re.fullmatch(r"[\w.+:][-\w.+:]*(?<!:)", text) or ":" in text[:1]:
        return
    assert isinstance(value_of(f"[{text}]")[0], str) is reads_as_text(text)


def test_a_file_is_read_no_further_than_it_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "f.yml"
    file.write_text("a: yes")
    assert json.loads(yaml_file_to_json(file)) == {"a": "yes"}
    with pytest.raises(UnreadableYaml, match="more than 5 bytes long"):
        yaml_file_to_json(file, max_bytes=5)
    with pytest.raises(UnreadableYaml, match="more than 8192 bytes"):
        yaml_file_to_json(Path("/dev/zero"), max_bytes=8192)


@pytest.mark.parametrize(
    "text", ["{s3cret: 1, s3cret: 2}", "[*s3cret]", "!s3cret a", "a: &s3cret [*s3cret]", "'s3cret"]
)
def test_a_refusal_can_be_said_without_the_document_s_content(text: str) -> None:
    with pytest.raises(UnreadableYaml) as caught:
        value_of(text)
    assert caught.value.line == 1
    assert caught.value.without_content
    assert "s3cret" not in caught.value.without_content


def test_aliases_cannot_stand_for_more_than_there_is_memory() -> None:
    names = "abcdefghijkl"
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in pairwise(names)
    )
    long = "a: &a '" + "x" * 100_000 + "'\nb: [" + "*a," * 1000 + "]"
    for text in (laughs, long):
        with pytest.raises(UnreadableYaml, match="aliases written out"):
            value_of(text)


def test_the_worst_bytes_take_little_time() -> None:
    worst = [b"[" + b"[]," * 80_000 + b"]", b"[" + b"a: b," * 50_000 + b"]", b"? " * 100_000, b"%" * MAX_YAML_BYTES]
    for text in worst:
        started = time.process_time()
        refusal_of(text)
        assert time.process_time() - started < 4
