"""A link that signs in: once, for ten minutes."""

from api.auth.principal import Principal
from api.sign_in.tickets import TICKET_SECONDS, Tickets
from workflows.contracts.access import Role

ANN = Principal.everywhere("ann", Role.ADMIN)


def test_a_ticket_is_good_once_and_for_a_time() -> None:
    now = [0.0]
    tickets = Tickets(lambda: now[0])
    one, two = tickets.make(ANN), tickets.make(ANN)
    assert one != two
    assert tickets.take("made up") is None
    assert tickets.take(one) is ANN
    assert tickets.take(one) is None, "used up"
    now[0] = TICKET_SECONDS
    assert tickets.take(two) is None, "too old"


def test_there_are_never_too_many() -> None:
    tickets = Tickets()
    made = [tickets.make(ANN) for _ in range(200)]
    assert tickets.take(made[0]) is None
    assert tickets.take(made[-1]) is ANN
