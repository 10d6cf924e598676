"""The order of test files comes from durations.json; what was never measured comes first."""

from tests import durations


def test_the_longest_come_first_and_before_them_what_was_never_measured() -> None:
    seconds = {"tests/a/test_quick.py": 1.5, "tests/a/test_slow.py": 60, "tests/faults": 200}
    names = [
        "tests/a/test_quick.py::test_1", "tests/faults/test_kill.py::test_2", "tests/a/test_new.py::test_3",
        "tests/a/test_slow.py::test_4[a::b]", "tests/faults/test_claims.py::TestX::test_5",
    ]  # fmt: skip
    ordered = sorted(names, key=lambda name: durations.rank(name, seconds))
    assert [name.rpartition("_")[2][0] for name in ordered] == ["3", "2", "5", "4", "1"]


def test_what_was_measured_is_there_still() -> None:
    """Else measure again: ``make durations``."""
    gone = [name for name in durations.measured() if not (durations.PROJECT / name).exists()]
    assert durations.measured()
    assert not gone
