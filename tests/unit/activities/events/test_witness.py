"""What is believed of what a workflow was told, with and without the secret that the API proves it with."""

from typing import Any, Final

import pytest

from activities.events.witness import Witness
from workflows.contracts.audit.events import new_event
from workflows.contracts.audit.types import EventType
from workflows.contracts.commands import Cancel
from workflows.contracts.errors import InvalidState
from workflows.contracts.who import Who

SECRET: Final = b"a secret that the API and the control worker share"
RITA: Final[dict[str, Any]] = {"by": "rita", "via": "api", "address": "10.0.0.1", "role": "admin", "key_id": "k"}
NOW: Final = 1_795_985_350_801
BARE = Cancel(**RITA)
PROVEN = BARE.proven(SECRET, "w", NOW).heard(NOW)
NAME_ONLY = Who(by="rita", via="temporal")
WITNESS = Witness(SECRET)


def test_what_only_a_message_says_counts_for_no_more_than_a_name() -> None:
    assert WITNESS.heard(PROVEN, "w").who() == PROVEN.who()
    for message, workflow_id in ((BARE, "w"), (PROVEN, "other"), (PROVEN, None)):
        assert WITNESS.heard(message, workflow_id).who() == NAME_ONLY
        assert WITNESS.known(message.claim(), message.who(), workflow_id) == NAME_ONLY
    assert WITNESS.known(None, BARE.who(), "w") == BARE.who(), "of a run that began before there were proofs"


def test_events_are_kept_as_they_are_believed_and_without_the_proof() -> None:
    own = new_event(EventType.JOB_CANCELLED, Who.itself("watch"), event_id="0", at=NOW)
    events = [own, *(new_event(EventType.JOB_CANCELLED, each, event_id="1", at=NOW) for each in (PROVEN, BARE))]
    kept = WITNESS.attested(events, "w")
    assert [(event.via, event.role, event.key_id, event.address) for event in kept] == [
        ("workflow", None, None, None),
        ("api", "admin", "k", "10.0.0.1"),
        ("temporal", None, None, None),
    ]
    assert all(event.claim is None for event in kept)
    silent = own.model_copy(update={"via": "api", "role": "admin"})
    assert [event.via for event in WITNESS.attested([silent], "w")] == ["temporal"], "nobody says whose word it is"
    assert [event.role for event in Witness().attested(events, "w")] == [None, "admin", "admin"], "it can tell nothing"


def test_what_must_be_proven_is_refused_or_doubted() -> None:
    assert WITNESS.doubt(PROVEN.claim(), "w", instead="Do that.") is None
    with pytest.raises(InvalidState, match=r"straight to Temporal.*HYBRIDCI_SIGNING_KEY or .*\. Do that\.$"):
        WITNESS.doubt(BARE.claim(), "w", instead="Do that.")
    lenient = Witness(SECRET, allow_unverified=True)
    assert "straight to Temporal" in (lenient.doubt(BARE.claim(), "w", instead="Do that.") or "")
    assert Witness().doubt(BARE.claim(), "w", instead="Do that.") is None
    assert "a secret" not in repr(WITNESS)
