"""Lists of the Temporal UI: the queries name what is there, and the documentation has the same."""

from pathlib import Path
from urllib.parse import unquote

from api.dashboard.temporal_views import temporal_views

_OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
_30_NOVEMBER_2026 = 1_796_083_199_999
UI = "https://temporal.example.com/namespaces/ci/workflows"


def test_the_documentation_has_the_same_queries() -> None:
    text = _OPERATIONS.read_text("utf-8")
    for view in temporal_views(None, _30_NOVEMBER_2026):
        assert f"| {view.name.lower()} | `{view.query.replace('`', '')}` |" in text
        assert view.url == ""


def test_a_link_has_the_whole_query() -> None:
    for view in temporal_views(UI, _30_NOVEMBER_2026):
        assert unquote(view.url.removeprefix(f"{UI}?query=")) == view.query
