"""Characters that mislead are shown by their codes, wherever a template says a value."""

import re
from pathlib import Path

import pytest
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from api.dashboard import render
from api.dashboard.outside import MOST_SHOWN, ShowOutside, in_text

BIDI = "a\u202eb<i>"


def _made(template: str, **fields: object) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, extensions=[ShowOutside])
    return environment.from_string(template).render(words=BIDI, **fields)


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ("<p>{{ words }}</p>", '<p>a<span class="odd">U+202E</span>b&lt;i&gt;</p>'),
        ("<p>{{ none or words }}</p>", '<p>a<span class="odd">U+202E</span>b&lt;i&gt;</p>'),
        ("<p>{{ words if words else 1 }}.</p>", '<p>a<span class="odd">U+202E</span>b&lt;i&gt;.</p>'),
        ("<p>{{ words | upper | truncate(2, true, '', 0) }}</p>", '<p>A<span class="odd">U+202E</span></p>'),
        ("<title>x {{ words }}</title>", "<title>x aU+202Eb&lt;i&gt;</title>"),
        ("{% block title %}{{ words }}{% endblock %}", "aU+202Eb&lt;i&gt;"),
        ("{% block live %}job:{{ words }}{% endblock %}", "job:aU+202Eb&lt;i&gt;"),
        ("<option>{{ words }}</option>", "<option>aU+202Eb&lt;i&gt;</option>"),
        ('<p aria-label="of {{ words }}">', '<p aria-label="of aU+202Eb&lt;i&gt;">'),
        ('<input value="{{ words }}">', '<input value="a\u202eb&lt;i&gt;">'),
        ('<a b="{{ 1 }}" href="/x?y={{ words | urlencode }}">', '<a b="1" href="/x?y=a%E2%80%AEb%3Ci%3E">'),
        ("<textarea name=a>{{ words }}</textarea>", "<textarea name=a>a\u202eb&lt;i&gt;</textarea>"),
        ("{% block main %}<b>{{ words }}</b>{% endblock %}", '<b>a<span class="odd">U+202E</span>b&lt;i&gt;</b>'),
        ("{% macro m(x) %}<i>{{ x }}</i>{% endmacro %}{{ m(words[1:2]) }}", '<i><span class="odd">U+202E</span></i>'),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_its_place_needs_it(template: str, made: str) -> None:
    assert _made(template, none=None) == made


def test_what_is_no_text_or_is_html_already_stays() -> None:
    assert _made("{{ 3 }}{{ none }}{{ html }}", none=None, html=Markup("<b>\u202e</b>")) == "3None<b>\u202e</b>"


def test_very_many_cost_little() -> None:
    shown = str(in_text("\u202e" * 100_000))
    assert shown.count("U+202E") == MOST_SHOWN
    assert shown.endswith("??")


def test_no_template_has_a_value_in_a_script_a_style_or_an_unquoted_attribute() -> None:
    folder = Path(render.__file__).parent / "templates"
    files = sorted(folder.rglob("*.html"))
    assert len(files) > 10
    for file in files:
        text = file.read_text()
        bare = re.sub(r"\{\{.*?\}\}", "§", re.sub(r"\{%.*?%\}", "", text, flags=re.DOTALL), flags=re.DOTALL)
        assert not re.search(r"<[a-zA-Z](?:[^<>\"]|\"[^\"]*\")*=\s*§", bare), (
            f"{file.name}: an attribute without quotes"
        )
        assert not re.search(r"\|\s*safe\b|<style|\sstyle=|\son\w+=|autoescape", text), file.name
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), file.name
