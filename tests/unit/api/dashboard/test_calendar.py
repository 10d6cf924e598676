"""The calendar of what stops rollouts, as it is drawn."""

import re

from api.dashboard.drawings.calendar import CalendarRow, calendar_svg

DAY = 86_400_000
NOON = 1_764_504_000_000  # 30 November 2025, 12:00 UTC, a Sunday
MIDNIGHT = NOON - DAY // 2


def bars(svg: str, kind: str) -> list[tuple[float, float]]:
    found = re.findall(rf'<rect class="{kind}" x="([\d.]+)" y="\d+" width="([\d.]+)"', svg)
    return [(float(x), float(width)) for x, width in found]


def test_a_time_lies_on_its_days() -> None:
    row = CalendarRow("fair", "freeze", "fair: two days", [(MIDNIGHT + 2 * DAY, MIDNIGHT + 4 * DAY)])
    svg = calendar_svg([row, CalendarRow("hold", "hold", "hold", [(NOON - 9 * DAY, None)])], NOON, 30, label="30 days")
    assert bars(svg, "freeze") == [(190 + 2 * 28, 56)]
    assert bars(svg, "hold") == [(190, 30 * 28)], "open: to the end, and from the first day on"
    assert '<line class="now" x1="204.0"' in svg
    assert ">Dec</text>" in svg
    assert "style=" not in svg


def test_what_is_over_is_not_drawn_and_what_is_short_is_seen() -> None:
    row = CalendarRow(
        "w", "window", "w", [(NOON - 9 * DAY, NOON - 8 * DAY), (NOON, NOON + 60_000), (NOON + 90 * DAY, None)]
    )
    assert [width for _, width in bars(calendar_svg([row], NOON, 30, label="x"), "window")] == [3]


def test_names_are_text_and_their_number_is_bounded() -> None:
    hostile = "<script>alert(1)</script>{0}%s"
    svg = calendar_svg([CalendarRow(hostile, "freeze", hostile, [(0, None)] * 999)] * 500, NOON, 999, label=hostile)
    assert "<script" not in svg
    assert svg.count("<title>&lt;script&gt;alert(1)&lt;/script&gt;{0}%s</title>") == 40
    assert len(bars(svg, "freeze")) == 40 * 200
