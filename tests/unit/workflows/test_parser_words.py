"""What parsers trip over is told in our own words: of YAML and of JMESPath."""

import jmespath
import pytest
import yaml

from api.webhooks.expressions import BadExpression, ExpressionFailed, compile_expression
from workflows.jmespath_words import unreadable_because
from workflows.yaml_text import UnreadableYaml, yaml_to_json

THEIRS = (
    "jmespath",
    "invalid",
    "parse",
    "token",
    "expression:",
    "In function",
    "not find",
    "found ",
    "mapping",
    "scan",
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: b: c", "line 1, column 5: a second ': ' in one line"),
        ("a:\n\tb: 1", "line 2, column 1: text that begins with this sign needs quotes, and tabs do not indent"),
        ("a: @x", "needs quotes"),
        ("a: [1, 2", "has no ']'"),
        ("a: {b: 1", "has no '}'"),
        ("a: 'x", "a quotation mark has no second one"),
        ('a: "\\q"', "a backslash"),
        ("a: *", "text that begins with * or & needs quotes"),
        ("a: !x! y", "text that begins with ! needs quotes"),
        ("a: !<x y", "text that begins with ! needs quotes"),
        ("%x\n", "text that begins with % needs quotes"),
        ("a: | x\n b", "behind | or > nothing else stands in the line"),
        ("a:\n  - b\n c: d", "line 3, column 2: the lines are indented wrongly"),
        ("- a\nb: c", "'- ' is expected"),
        ("a: - b", "a '- ' where no list can begin"),
        ("---\na: 1\n...\nb", "something stands behind the end of the document"),
        ("a: ]", "a value is missing"),
        ('a: "x\n---\n', "a quotation mark has no second one before"),
        ("a: \x00x", "a character that no YAML may hold"),
        ("{a: 1}}", "something stands behind the end"),
    ],
)
def test_yaml(text: str, why: str) -> None:
    with pytest.raises(UnreadableYaml) as caught:
        yaml_to_json(text.encode())
    said = str(caught.value)
    assert why in said
    assert [word for word in THEIRS if word in said] == []
    with pytest.raises(yaml.YAMLError) as theirs:
        list(yaml.parse(text, Loader=yaml.CSafeLoader))
    assert str(getattr(theirs.value, "problem", "not allowed")) not in said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a..b", "column 3: '.' does not belong there"),
        ("a b", "column 3: 'b' does not belong there"),
        ("a[", "it ends too early"),
        ("'tool", "column 1: a quotation mark has no second one"),
        ("a.#", "column 3: '#' means nothing there"),
        ("", "it is empty"),
        ("f(" * 1500, "it is nested too deep"),
    ],
)
def test_an_expression_that_is_none(text: str, why: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as theirs:
        jmespath.compile(text)
    assert unreadable_because(theirs.value) == why or unreadable_because(theirs.value).startswith(why)
    with pytest.raises(BadExpression) as caught:
        compile_expression(text, frozenset("ab"))
    assert [word for word in THEIRS if word in str(caught.value).replace("no JMESPath expression:", "")] == []


@pytest.mark.parametrize(
    ("text", "given", "why"),
    [
        ("join(',', a)", None, "join() was given nothing, and takes a list of texts"),
        ("join(',', a)", ["s3cret", 1], "join() was given a number, and takes a list of texts"),
        ("length(a)", 3, "length() was given a number, and takes text or a list or a map"),
        ("abs(a)", "s3cret", "abs() was given text, and takes a number"),
        ("ceil(`1e999`)", 1, "a number is too large, or is divided by nothing"),
        ("contains(a, `1`)", "ab", "what it was given is of another kind than it takes"),
    ],
)
def test_an_expression_that_does_not_suit(text: str, given: object, why: str) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        compile_expression(text, frozenset("a")).value({"a": given})
    assert str(caught.value) == why


def test_a_function_that_does_not_exist_may_be_meant_otherwise() -> None:
    for text, why in (("brnch(a)", "did you mean branch()?"), ("qqqqqq(a)", "there are abs, avg, branch")):
        with pytest.raises(BadExpression, match=why.replace("(", r"\(").replace(")", r"\)").replace("?", r"\?")):
            compile_expression(text, frozenset("a"))
