"""A cursor that a version before handed out is good after the upgrade."""

import pytest

from activities.stores.cursors import Positions, decode_cursor, encode_cursor
from workflows.contracts.audit.events import EventQuery
from workflows.contracts.errors import ValidationFailed

OF_241D277 = "eyJxIjoiYWYxYjgwZjRlMzBmYmJhNiIsImF0Ijo5LCJzIjp7IjAiOls1LCJ4Il19fQ"
"""``EventQuery(action="job.", limit=7)``, behind ``Positions({0: (5, "x")}, 9)``."""


def test_a_lists_cursor_of_before_it_could_be_narrowed_further_is_still_good() -> None:
    query = EventQuery(action="job.", limit=7, cursor=OF_241D277)
    assert decode_cursor(query) == Positions({0: (5, "x")}, 9)
    assert encode_cursor(query, Positions({0: (5, "x")}, 9)) == OF_241D277


@pytest.mark.parametrize("further", [{"pool": "arm"}, {"environment": "production"}])
def test_a_narrower_list_has_cursors_of_its_own(further: dict[str, str]) -> None:
    with pytest.raises(ValidationFailed):
        decode_cursor(EventQuery.model_validate({"action": "job.", "cursor": OF_241D277, **further}))
