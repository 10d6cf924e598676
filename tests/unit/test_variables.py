"""The page of variables is what the code reads."""

from tests.unit.variables import HOW_TO_RENEW, PAGE, REQUIRED, of, page


def test_the_page_is_what_the_code_reads() -> None:
    assert PAGE.read_text("utf-8") == page(), HOW_TO_RENEW


def test_what_is_required_is_read() -> None:
    for process, required in REQUIRED.items():
        assert {name for name in required if not name.startswith("TEMPORAL_")} <= set(of(process))
