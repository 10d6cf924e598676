"""A cursor that a version before handed out is good after the upgrade."""

import pytest

from activities.stores.cursors import Positions, decode_cursor, encode_cursor
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.deployments.deployment import DeploymentQuery
from workflows.contracts.errors import ValidationFailed
from workflows.contracts.records import JobQuery

OF_241D277 = "eyJxIjoiYWYxYjgwZjRlMzBmYmJhNiIsImF0Ijo5LCJzIjp7IjAiOls1LCJ4Il19fQ"
"""``EventQuery(action="job.", limit=7)``, behind ``Positions({0: (5, "x")}, 9)``."""


JOBS_OF_241D277 = "eyJxIjoiZmY4Y2RjODQwMDc5NzVjOSIsImF0Ijo5LCJzIjp7IjAiOls1LCJ4Il19fQ"
"""``JobQuery(pool="gpu", limit=7)``, behind the same."""
DEPLOYMENTS_OF_241D277 = "eyJxIjoiOTgxYWRhNDQ5ODE5MDE4ZSIsImF0Ijo5LCJzIjp7IjAiOls1LCJ4Il19fQ"
"""``DeploymentQuery(service_name="shop")``, behind the same."""


@pytest.mark.parametrize(
    "query",
    [
        JobQuery(pool="gpu", limit=9, cursor=JOBS_OF_241D277),
        DeploymentQuery(service_name="shop", cursor=DEPLOYMENTS_OF_241D277),
    ],
)
def test_cursors_of_before_there_were_these_filters_are_still_good(query: JobQuery | DeploymentQuery) -> None:
    assert decode_cursor(query) == Positions({0: (5, "x")}, 9)
    with pytest.raises(ValidationFailed):
        decode_cursor(query.model_copy(update={"commit": "a" * 40}))
    with pytest.raises(ValidationFailed):
        decode_cursor(query.model_copy(update={"branch": "main"}))


def test_a_lists_cursor_of_before_it_could_be_narrowed_further_is_still_good() -> None:
    query = EventQuery(action="job.", limit=7, cursor=OF_241D277)
    assert decode_cursor(query) == Positions({0: (5, "x")}, 9)
    assert encode_cursor(query, Positions({0: (5, "x")}, 9)) == OF_241D277


@pytest.mark.parametrize("further", [{"pool": "arm"}, {"environment": "production"}])
def test_a_narrower_list_has_cursors_of_its_own(further: dict[str, str]) -> None:
    with pytest.raises(ValidationFailed):
        decode_cursor(EventQuery.model_validate({"action": "job.", "cursor": OF_241D277, **further}))
