"""The catalogue of what can happen: nothing is written that is not in it, nothing in it is written by nobody, and what
was kept before stays readable.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.events import HOW_TO_RENEW, table, written
from workflows.contracts.access import CredentialKind, Grant, Role
from workflows.contracts.agents import PoolBounds
from workflows.contracts.audit import details
from workflows.contracts.audit.details import WITH_DETAILS, Details
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.audit.types import EventType
from workflows.contracts.commands import Amend, Cancel, Complete, Edit, JobInput, Redrive
from workflows.contracts.deployments.commands import Approve, ReportMetrics, RollbackCommand
from workflows.contracts.deployments.environments import HoldCommand
from workflows.contracts.jobs import RetryPolicy
from workflows.contracts.statuses import Priority
from workflows.contracts.who import Who, WhoAndWhy
from workflows.environment.recorded import content

ROOT = Path(__file__).parents[4]
PRODUCT = [path for name in ("workflows", "activities", "api", "agent") for path in (ROOT / name).rglob("*.py")]
CATALOGUE = ROOT / "workflows" / "contracts" / "audit"
ANN = Who(by="ann", via="cli", address="192.0.2.1", role="operator")


def named() -> Iterator[tuple[Path, str]]:
    """What the product names in its code: ``X`` of ``EventType.X``, of ``X(...)`` and of ``X.of(...)``."""
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case (
                    ast.Attribute(value=ast.Name(id="EventType"), attr=name)
                    | ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="of"))
                    | ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))
                ):
                    yield path, name
                case _:
                    pass


def calls_of(shape: str) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path, name in named() if name == shape}


def test_every_type_is_written_by_somebody_and_nothing_else_is() -> None:
    names = {name for path, name in named() if CATALOGUE not in path.parents}
    written_types = {each for each in EventType if each not in WITH_DETAILS and each.name in names}
    written_types |= {event for event, shape in WITH_DETAILS.items() if shape.__name__ in names}
    assert sorted(written_types) == sorted(EventType)


def test_an_event_is_made_in_one_place_only() -> None:
    assert calls_of("AuditEvent") == {"workflows/contracts/audit/events.py"}


def test_no_code_looks_for_a_refusal_in_an_events_words() -> None:
    """``event.action`` is compared with nothing that speaks of a refusal; the flag says it."""
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Compare):
                parts = [node.left, *node.comparators]
                texts = [each.value for each in parts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
                of_an_event = any(isinstance(each, ast.Attribute) and each.attr == "action" for each in parts)
                assert not (of_an_event and any("refused" in text for text in texts)), f"{path}:{node.lineno}"


def test_words_have_two_parts_and_refusals_say_so() -> None:
    for each in EventType:
        assert each.value == f"{each.subject}.{each.word}"
        assert each.value.replace(".", "_").upper() == each.name
        assert each.refused == each.word.endswith("refused")
        assert each.means.endswith(".")


def test_the_list_in_the_docs_is_that_of_the_code() -> None:
    assert written() == table(), HOW_TO_RENEW


# --- writing ----------------------------------------------------------------------------------------------------------


def test_an_event_says_who_what_and_whether_it_was_refused() -> None:
    event = new_event(EventType.AGENT_DRAINED, ANN, event_id="e", at=7, agent_id="a", reason="why", message="words")
    assert event == AuditEvent(
        event_id="e",
        at=7,
        action="agent.drained",
        by="ann",
        via="cli",
        address="192.0.2.1",
        role="operator",
        agent_id="a",
        reason="why",
        message="words",
        refused=False,
    )
    assert type(event.action) is str
    refused = new_event(EventType.SESSION_REFUSED, WhoAndWhy(via="api"), event_id="e", at=7)
    assert (refused.refused, refused.by) == (True, "")


def test_a_type_with_details_is_not_written_without_them() -> None:
    with pytest.raises(TypeError, match="PoolScaled"):
        new_event(EventType.POOL_SCALED, ANN, event_id="e", at=7)
    with pytest.raises(ValidationError, match="fence"):
        details.TurnGranted.model_validate({"fense": 1})


CREDENTIAL: dict[str, Any] = {
    "kind": CredentialKind.KEY,
    "credential_id": "c",
    "subject": "ann",
    "grants": [Grant(role=Role.VIEWER)],
    "expires_at": None,
}
SESSION: dict[str, Any] = {**CREDENTIAL, "kind": CredentialKind.SESSION}
KEPT: dict[str, Any] = {"credential_id": "c", "subject": "ann", "grants": [{"role": "viewer"}], "expires_at": None}
BOUNDS = {"min_agents": 0, "max_agents": 9, "target_wait_seconds": 30}


@pytest.mark.parametrize(
    ("said", "action", "document"),
    [
        (details.JobSubmitted(), "job.submitted", {}),
        (
            details.JobSubmitted(job_type="build", retry_of="j"),
            "job.submitted",
            {"job_type": "build", "retry_of": "j"},
        ),
        (details.AgentPaused(seconds=None, note=""), "agent.paused", {"seconds": None, "note": ""}),
        (details.AgentRegistered(pool="x", from_pool="y"), "agent.registered", {"pool": "x", "from_pool": "y"}),
        (details.CredentialIssued(**CREDENTIAL), "access.key_issued", KEPT),
        (
            details.CredentialRevoked(**SESSION, revoked_at=5),
            "session.closed",
            {**KEPT, "revoked_at": 5},
        ),
        (
            details.CredentialRotated(**CREDENTIAL, replaced_by="d"),
            "access.key_rotated",
            {**KEPT, "replaced_by": "d"},
        ),
    ],
)
def test_details_are_kept_in_the_shape_of_before(said: Details, action: str, document: dict[str, Any]) -> None:
    event = new_event(said, ANN, event_id="e", at=7)
    assert (event.action, event.details) == (action, document)


def test_a_pools_bounds_are_kept_whole() -> None:
    kept = details.PoolScaled(bounds=PoolBounds(max_agents=9), before=None).document()
    assert kept == {"bounds": PoolBounds(max_agents=9).model_dump(), "before": None}
    assert kept["bounds"].items() >= BOUNDS.items()


NOT_DETAILS = {*Who.model_fields, "reason", "error_message", "env"}
EDIT = Edit(by="ann", pool="big", env={"A": "1", "B": None}, retry=RetryPolicy(max_attempts=4))


@pytest.mark.parametrize(
    ("shape", "command"),
    [
        (details.JobAmended, Amend(by="ann", priority=Priority.HIGH, labels={"a": "b"}, requires=["gpu"])),
        (details.JobAmended, Amend()),
        (details.JobCompleted, Complete(exit_code=3, error_message="found elsewhere")),
        (details.JobEdited, EDIT),
        (details.JobRedriven, Redrive(by="ann", edit=EDIT, reason="again")),
        (details.JobRedriven, Redrive()),
    ],
)
def test_a_jobs_command_is_kept_as_f5dbbcf_kept_it(shape: type[Details], command: Who) -> None:
    """There: the whole command but for these fields, and for what was not given."""
    before = command.model_dump(mode="json", exclude=NOT_DETAILS, exclude_none=True)
    assert shape.of(command).document() == before


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "refused"),
    [("deployment.approval_refused", True), ("environment.refused", True), ("job.cancelled", False)],
)
def test_an_event_of_before_is_known_for_a_refusal_by_its_type(action: str, refused: bool) -> None:
    stored = {"event_id": "e", "at": 1, "action": action, "by": "ann", "details": {"whatever": [1]}}
    event = AuditEvent.model_validate_json(json.dumps(stored))
    assert (event.refused, event.details) == (refused, {"whatever": [1]})


def test_a_type_of_another_version_is_read_as_it_is() -> None:
    event = AuditEvent.model_validate({"event_id": "e", "at": 1, "action": "moon.refused", "later": True})
    assert (event.action, event.refused) == ("moon.refused", False)
    told = AuditEvent.model_validate({"event_id": "e", "at": 1, "action": "moon.refused", "refused": True})
    assert told.refused


def test_an_environments_event_has_the_id_that_f5dbbcf_gave_it() -> None:
    """Its content is part of the id: a task that ran before the upgrade can run again after it."""
    event = new_event(
        details.TurnGranted(fence=3), Who.itself(""), event_id="", at=7, service_name="shop", message="turn"
    )
    assert content(event) == (
        '{"event_id":"","at":0,"action":"environment.granted","by":"","via":"workflow","address":null,"role":null,'
        '"service_name":"shop","environment":null,"deployment_id":null,"job_id":null,"agent_id":null,"pool":null,'
        '"version":null,"reason":null,"message":"turn","details":{"fence":3}}'
    )


# --- who asks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (Cancel, '{"by":null,"via":"temporal","address":null,"role":null,"reason":null}'),
        (Approve, '{"via":"api","address":"192.0.2.1","role":"approver","by":"ann","comment":"","environment":null}'),
        (RollbackCommand, '{"via":"temporal","address":null,"role":null,"by":"ann","reason":"bad"}'),
        (ReportMetrics, '{"via":"temporal","address":null,"role":null,"by":"","error_rate":0.5}'),
        (HoldCommand, '{"via":"cli","address":null,"role":"operator","by":"ann","reason":"look"}'),
    ],
)
def test_commands_in_histories_of_f5dbbcf_are_read(kind: type[Who], document: str) -> None:
    command = kind.model_validate_json(document)
    assert command.who() == Who(by=command.by, via=command.via, address=command.address, role=command.role)
    assert kind.model_validate(command.model_dump(mode="json")) == command


def test_what_starts_a_job_says_who_asked() -> None:
    start = JobInput.model_validate(
        {"job_id": "j", "spec": _SPEC, "created_by": "ann", "via": "cli", "address": "192.0.2.1", "role": "operator"}
    )
    assert start.who() == ANN


def test_a_person_who_gives_no_name_is_refused() -> None:
    for given in ({}, {"by": None}, {"by": ""}, {"by": " "}):
        with pytest.raises(ValidationError, match="by"):
            HoldCommand.model_validate({**given, "reason": "look"})


_SPEC = {
    "job_type": "build",
    "git_repo": "file:///srv/shop.git",
    "git_commit_sha": "a" * 40,
    "git_author": "ann@example.com",
    "steps": [{"name": "build", "run": "make"}],
}
