"""A link that signs in: once, for ten minutes."""

from api.auth.principal import Principal
from api.sign_in.tickets import TICKET_SECONDS, Tickets
from workflows.contracts.access import Role

HOST = "127.0.0.1:8000"
ANN = Principal.everywhere("ann", Role.ADMIN)


def test_a_ticket_is_good_once_and_for_a_time() -> None:
    now = [0.0]
    tickets = Tickets(lambda: now[0])
    one, two = tickets.make(ANN, HOST), tickets.make(ANN, HOST)
    assert one != two
    assert tickets.take("made up", HOST) is None
    assert tickets.take(one, HOST) is ANN
    assert tickets.take(one, HOST) is None, "used up"
    elsewhere = tickets.make(ANN, HOST)
    assert tickets.take(elsewhere, "ci.example.com") is None, "by another name"
    assert tickets.take(elsewhere, HOST) is None, "and used up by that"
    now[0] = TICKET_SECONDS
    assert tickets.take(two, HOST) is None, "too old"


def test_there_are_never_too_many() -> None:
    tickets = Tickets()
    made = [tickets.make(ANN, HOST) for _ in range(200)]
    assert tickets.take(made[0], HOST) is None
    assert tickets.take(made[-1], HOST) is ANN
