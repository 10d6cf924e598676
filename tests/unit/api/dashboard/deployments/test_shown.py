"""What lists of deployments show of time and order."""

import pytest

from api.dashboard.deployments.columns import environments_in_order
from api.dashboard.deployments.times import Clock, roughly
from workflows.contracts.deployments.lanes import Lane, LanePlace

NOW = 1_764_504_000_000
MINUTE = 60_000


@pytest.mark.parametrize(
    ("millis", "words"), [(0, "0 s"), (59_999, "59 s"), (-MINUTE, "1 min"), (3_600_000, "1 h"), (172_800_000, "2 d")]
)
def test_about_how_long(millis: int, words: str) -> None:
    assert roughly(millis) == words


def test_ages_and_what_is_expected_have_their_exact_moment() -> None:
    clock = Clock(NOW)
    assert clock.ago(NOW - 4 * MINUTE) == '<span class="age" title="2025-11-30 11:56:00 UTC">4 min</span>'
    assert ">in 3 min<" in clock.until(NOW + 3 * MINUTE)
    assert ">any moment<" in clock.until(NOW - MINUTE)
    assert (clock.ago(None), clock.until(None), clock.usual(None)) == ("", "", "")
    assert (clock.usual(240), clock.usual(0)) == ("4 min", "1 s")


def test_the_columns_stand_in_the_order_of_the_way() -> None:
    def lane(name: str, *environments: str) -> Lane:
        places = [
            LanePlace(environment=each, final=each == environments[-1], line=[], stops=[]) for each in environments
        ]
        return Lane(service_name=name, coming=[], places=places)

    lanes = [lane("a", "staging", "production"), lane("b", "staging", "demo", "production"), lane("c", "production")]
    assert environments_in_order(lanes) == ["staging", "demo", "production"]
    assert environments_in_order([]) == []
