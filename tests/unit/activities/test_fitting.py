"""What a store refuses is written shorter, and what was cut is said."""

import pytest

from activities.fitting import shorter_deployment, shorter_environment, shorter_events, written
from activities.stores.event_rules import check_event
from activities.stores.packing import check_summary
from tests.unit.deployment_records import make_deployment
from workflows.contracts.audit.details import JobAmended
from workflows.contracts.audit.events import AuditEvent, new_event
from workflows.contracts.audit.types import EventType
from workflows.contracts.deployments.deployment import DeploymentWrite
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite, Hold
from workflows.contracts.errors import FieldError, ValidationFailed
from workflows.contracts.who import Who

LONG = "\u0416" * 90_000


async def test_only_a_refused_write_is_made_shorter_and_its_refusal_passes() -> None:
    tried: list[int] = []

    async def write(size: int) -> str:
        tried.append(size)
        if size > 1:
            raise ValidationFailed("too large", [FieldError(field="job", message="is too large")])
        return "kept"

    assert await written(write, 1, lambda size: size - 1) == "kept"
    assert await written(write, 2, lambda size: size - 1) == "kept"
    with pytest.raises(ValidationFailed):
        await written(write, 9, lambda size: size - 1)
    assert tried == [1, 2, 1, 9, 8]


def test_an_event_keeps_what_fits_of_its_texts() -> None:
    told = new_event(EventType.JOB_CANCELLED, Who(by="ann"), event_id="1", at=1, reason=LONG, message=LONG, job_id="7")
    assert told.reason == told.message
    assert (told.reason or "").endswith("(cut: it had 90000 characters)")
    check_event(told)


def test_an_event_that_no_store_takes_loses_its_details_and_says_so() -> None:
    amended = JobAmended(labels={f"l{n}": "x" * 9000 for n in range(9)}, tags=["t"])
    event = new_event(amended, Who(by="ann", role=LONG), event_id="1", at=1, job_id="7")
    fine = AuditEvent(event_id="2", at=1, action="job.cancelled", by="bob")
    with pytest.raises(ValidationFailed):
        check_event(event)
    kept, same = shorter_events([event, fine])
    check_event(kept)
    assert (kept.by, kept.job_id, kept.action, same) == ("ann", "7", event.action, fine)
    assert kept.details == {"cut": "The details of this event were too long to be kept: labels, tags."}


def test_records_are_shortened_where_people_and_agents_write() -> None:
    deployment = make_deployment(error_message=LONG * 4, waits_for=LONG)
    with pytest.raises(ValidationFailed):
        check_summary(deployment.summary().model_dump_json(), "deployment", "1")
    short = shorter_deployment(DeploymentWrite(deployment=deployment)).deployment
    check_summary(short.summary().model_dump_json(), "deployment", "1")
    assert short.definition == deployment.definition
    state = EnvironmentState(service_name="s", environment="e", hold=Hold(by="ann", reason=LONG, at=1))
    held = shorter_environment(EnvironmentWrite(state=state)).state.hold
    assert held is not None
    assert (held.by, len(held.reason)) == ("ann", 500)
