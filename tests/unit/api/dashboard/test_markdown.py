"""A stranger's Markdown: what it may be, and that it can do nothing."""

import re
from html.parser import HTMLParser

import pytest

from api.dashboard.markdown import MOST_READ, from_markdown

_ELEMENTS = {
    "p", "a", "em", "strong", "s", "code", "pre", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "hr",
    "br", "blockquote", "h3", "h4", "h5", "h6", "span",
}  # fmt: skip


class Found(HTMLParser):
    """Each element with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def links(html: str) -> list[str | None]:
    return [attributes["href"] for tag, attributes in Found(html).elements if tag == "a"]


def test_what_is_usual_is_shown() -> None:
    html = from_markdown("# Tests\n\n| a | b |\n|:--|--:|\n| 1 | **2** |\n\n- x\n\n```py\ncode < 1\n```\n5. five")
    assert "<h3>Tests</h3>" in html
    assert "<th>a</th>" in html
    assert "<td><strong>2</strong></td>" in html
    assert "<pre><code>code &lt; 1\n</code></pre>" in html
    assert '<ol start="5">' in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a <b onclick=x>b</b>",
        "![x](https://evil.example/p)", "![x][r]\n\n[r]: https://evil.example/p 'title'", '```"><script>x\n1\n```',
        "<!-- <style>*{display:none}</style> -->",
        "[a](javascript:alert(1))", "[a](JaVaScRiPt:alert(1))", "[a](java\tscript:alert(1))", "[a](&#106;avascript:x)",
        "[a](data:text/html,x)", "[a](vbscript:x)", "[a](/access/keys)", "[a](//evil.example)", "[a](?x)", "[a](#log)",
        "<javascript:alert(1)>", "[a](\\\\evil.example)", "[a](http:x)\" onclick=\"x", "|a|\n|:-:|\n|<i>|",
    ],
)  # fmt: skip
def test_nothing_in_it_does_anything(text: str) -> None:
    html = from_markdown(text)
    for tag, attributes in Found(html).elements:
        assert tag in _ELEMENTS
        assert attributes.keys() <= {"href", "rel", "start"}
    assert all(re.match(r"(https?|mailto):", link or "") for link in links(html))
    assert "evil.example" not in "".join(str(link) for link in links(html))


def test_links_lead_outside_and_tell_nobody_from_where() -> None:
    html = from_markdown("[a](https://ok.example/x 'said') <http://b.example> [m](mailto:a@b.example)")
    assert links(html) == ["https://ok.example/x", "http://b.example", "mailto:a@b.example"]
    assert html.count('rel="noopener noreferrer nofollow"') == 3
    assert "said" not in html


def test_what_misleads_is_shown_by_its_code() -> None:
    html = from_markdown("a\u202eb `c\u200bd` [e\u202e](https://x.example/\u202e)\n\n    pre\x1b[31m\n")
    assert html.count('<span class="odd">U+202E</span>') == 2
    assert '<code>c<span class="odd">U+200B</span>d</code>' in html
    assert "U+001B" in html
    assert not re.search("[\u202e\u200b\x1b]", html)


@pytest.mark.parametrize("text", ["[" * 5000, "*" * 5000, "<a" * 2 + "x" * MOST_READ, "> " * 10_000, "\u202e" * 40_000])
def test_what_would_take_long_is_shown_as_it_was_written(text: str) -> None:
    html = from_markdown(text)
    assert [tag for tag, _ in Found(html).elements][:1] == ["pre"]
    assert len(html) < 20 * len(text)
