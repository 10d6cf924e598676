"""A proof is good for one message to one workflow, and survives Temporal and a version with more fields."""

import json
from typing import Any, Final

import pytest
from pydantic import Field
from temporalio.contrib.pydantic import pydantic_data_converter

from workflows.contracts.audit.events import new_event
from workflows.contracts.audit.types import EventType
from workflows.contracts.commands import BulkRedrive, Cancel, Edit, JobInput, Redrive
from workflows.contracts.deployments.commands import Approve, DeploymentInput
from workflows.contracts.deployments.deployment import DeploymentRequest
from workflows.contracts.deployments.environments import FreezeCommand
from workflows.contracts.deployments.services import Service, ServiceSpec, ServiceWrite
from workflows.contracts.identity.people import Parties, Somebody, Vouched, identity_of
from workflows.contracts.identity.proofs import GOOD_FOR_MS, Claim, Provable
from workflows.contracts.jobs import JobSpec
from workflows.contracts.who import Message

SECRET, OTHER = (
    b"a secret that the API and the control worker share",
    b"another secret, of another installation altogether",
)
NOW: Final = 1_795_985_350_801
RITA: Final[dict[str, Any]] = {"by": "rita", "via": "api", "address": "10.0.0.1", "role": "admin", "key_id": "k"}
SPEC = ServiceSpec.model_validate(
    {
        "git_repo": "https://example.com/shop.git",
        "labels": {"team": "größe"},
        "environments": [
            {"name": "staging", "steps": [{"name": "make", "run": "make", "timeout_seconds": 60}], "env": {"A": ""}},
            {
                "name": "production",
                "steps": [{"name": "live", "run": "make live"}],
                "approval": {"required": 2, "groups": [{"name": "sre", "members": ["bob"]}]},
                "verification": {"max_error_rate": 0.5},
            },
        ],
    }
)
REQUEST = DeploymentRequest(service_name="shop", version="1.0", git_commit_sha="a" * 40, git_author="Ann <ann@x.org>")
JOB = JobSpec.model_validate(
    {
        "job_type": "test",
        "git_repo": "https://example.com/shop.git",
        "git_commit_sha": "a" * 40,
        "git_author": "ann",
        "env": {"A": "1", "B": ""},
        "requires": ["gpu"],
        "retry": {"max_attempts": 3, "initial_interval_seconds": 1, "backoff": 2, "final_exit_codes": [2]},
    }
)
MESSAGES: Final = [
    JobInput(job_id="7", spec=JOB, created_by="rita", role="admin", accepted_at=5),
    DeploymentInput(
        deployment_id="7",
        request=REQUEST,
        service=Service(name="shop", version=3, spec=SPEC, created_at=1, updated_at=2),
        created_by="rita",
        parties=Parties(author=identity_of("Ann <ann@x.org>"), starter=Somebody(person="rita", makers=["bob"])),
    ),
    ServiceWrite(name="shop", spec=SPEC, expected_version=0, identity=Somebody(person="rita"), **RITA),
    FreezeCommand(freeze_id="f", name="holidays", ends_at=10, reason="holidays", **RITA),
    Approve(vouched=Vouched(by="rita", identity=Somebody(person="rita"), at=1), **RITA),
    Redrive(edit=Edit(env={"A": None, "B": "2"}), reason="it was the disk", **RITA),
    BulkRedrive(edit=Edit(max_attempts=2), **RITA),
    Cancel(**RITA),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
async def test_a_proof_survives_temporal_and_is_good_for_this_message_to_this_workflow(message: Provable) -> None:
    sent = message.proven(SECRET, "workflow-1", NOW)
    payloads = await pydantic_data_converter.encode([sent])
    (received,) = await pydantic_data_converter.decode(payloads, [type(message)])
    claim = received.heard(NOW + 1_000).claim()
    assert claim.is_genuine(SECRET, "workflow-1")
    assert not claim.is_genuine(SECRET, "workflow-2")
    assert not claim.is_genuine(OTHER, "workflow-1")
    assert not message.heard(NOW).claim().is_genuine(SECRET, "workflow-1"), "without a proof"
    name = "created_by" if "created_by" in type(message).model_fields else "by"
    assert not received.model_copy(update={name: "mallory"}).heard(NOW).claim().is_genuine(SECRET, "workflow-1")
    (bare,) = await pydantic_data_converter.encode([message])
    assert "proof" not in json.loads(bare.data), "it is written only where there is one"


class Later(Cancel):
    """A version with a further field; its name is the same."""

    grace_seconds: int | None = None
    parts: list[str] = Field(default_factory=list[str])


Later.__name__ = "Cancel"


def test_a_version_with_further_fields_finds_the_same_as_long_as_they_say_nothing() -> None:
    sent = Later(**RITA).proven(SECRET, "w", NOW)
    assert Cancel(**RITA, proof=sent.proof).heard(NOW).claim().is_genuine(SECRET, "w")
    said = Later(grace_seconds=0, **RITA).proven(SECRET, "w", NOW)
    assert not Cancel(**RITA, proof=said.proof).heard(NOW).claim().is_genuine(SECRET, "w")


def test_a_command_is_not_taken_for_another_that_says_the_same() -> None:
    class Other(Message):
        reason: str | None = None

    proof = Cancel(reason="x", **RITA).proven(SECRET, "w", NOW).proof
    assert not Other(reason="x", proof=proof, **RITA).heard(NOW).claim().is_genuine(SECRET, "w")


def test_an_event_carries_the_claim_of_the_message_that_it_follows_from() -> None:
    sent = Cancel(**RITA).proven(SECRET, "w", NOW)
    event = new_event(EventType.JOB_CANCELLED, sent, event_id="1", at=1)
    assert event.claim == sent.heard(1).claim()
    bare = new_event(EventType.JOB_CANCELLED, sent.who(), event_id="1", at=1)
    assert bare.claim is None
    assert "claim" not in json.loads(bare.model_dump_json()), "rows look as they did"


def test_a_forged_proof_of_any_text_is_only_wrong() -> None:
    good = Claim(digest="d", heard_at=NOW).proven(SECRET, "w", NOW)
    assert good.is_genuine(SECRET, "w")
    mac = good.proof.partition("-")[2]
    for proof in ("", "-", "0" * 64, f"{NOW}-", f"{NOW}-{'ö' * 64}", "\x00", mac, f"{NOW + 1}-{mac}", f"٣-{mac}"):
        assert not good.model_copy(update={"proof": proof}).is_genuine(SECRET, "w"), proof


def test_a_proof_is_no_key_to_say_it_again_later() -> None:
    """Histories can be read, and an environment's workflow has the same id for ever."""
    sent = Cancel(**RITA).proven(SECRET, "w", NOW)
    for after in (-GOOD_FOR_MS, 0, GOOD_FOR_MS):
        assert sent.heard(NOW + after).claim().is_genuine(SECRET, "w")
    for after in (-GOOD_FOR_MS - 1, GOOD_FOR_MS + 1, 10**12):
        assert not sent.heard(NOW + after).claim().is_genuine(SECRET, "w")
    assert not sent.claim().is_genuine(SECRET, "w"), "nobody says when it was heard"
    event = new_event(EventType.JOB_CANCELLED, sent.heard(NOW), event_id="1", at=NOW + 2 * GOOD_FOR_MS)
    assert event.claim is not None
    assert not event.claim.is_genuine(SECRET, "w"), "whatever a sender says of that time"
