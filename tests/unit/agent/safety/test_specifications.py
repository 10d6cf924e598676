"""Jobs that the control plane has signed: whatever of one is changed, an agent with its keys refuses it."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from nacl.signing import SigningKey
from typer.testing import CliRunner

from activities.deployments.signing import (
    LIFETIME_BACK_MS,
    LIFETIME_MS,
    LIFETIME_TASK_MS,
    SpecSigner,
    UnusableSigningKeyError,
)
from agent.safety.specifications import Specifications, SpecificationUnverified, Verified, load_specifications
from agent.settings import AgentSettings, SettingsError
from api.cli.main import app
from workflows import followed
from workflows.contracts import tasks
from workflows.contracts.attempts import NOT_SIGNED, AttemptInput, signed_bytes
from workflows.contracts.commands import JobInput
from workflows.contracts.jobs import Fence, JobSpec, Step
from workflows.contracts.sealed import SignedApproval, SpecSignature
from workflows.contracts.statuses import OnPartition
from workflows.contracts.tasks import AncestryQuestion, TaskInput
from workflows.contracts.workspace.checkout import CheckoutOptions
from workflows.contracts.workspace.globs import ArtifactRules
from workflows.contracts.workspace.inputs import InputFiles
from workflows.contracts.workspace.resume import LostAttempts, ResumeAt
from workflows.contracts.workspace.step_rules import Background, CancelRules, CancelSignal, When
from workflows.job.record import attempt_input, submitted

NOW = 1_800_000_000_000
KEYS = {name: SigningKey(bytes([number]) * 32) for number, name in enumerate(("old", "new", "foreign"))}
STEP = Step(
    name="deploy",
    run="./deploy.sh",
    shell="bash -e",
    env={"REGION": "eu"},
    timeout_seconds=60,
    continue_on_error=True,
    when=When.ALWAYS,
    background=Background.KEEP,
)
APPROVAL = SignedApproval(
    service="checkout", version="1", git_commit_sha="a" * 40, environment="production", expires_at=NOW,
    key_id="0" * 16, signature="A" * 86 + "==",
)  # fmt: skip
SPEC = JobSpec(
    job_type="deploy",
    git_repo="https://example.com/checkout.git",
    git_commit_sha="a" * 40,
    git_author="ann",
    git_ref="main",
    pool="production",
    steps=[STEP],
    env={"HYBRIDCI_VERSION": "1"},
    secrets=["TOKEN"],
    labels={"service": "checkout"},
    artifacts=["dist/*"],
    artifact_rules=ArtifactRules(if_none="fail"),
    checkout=CheckoutOptions(tags=True),
    timeout_seconds=600,
    on_partition=OnPartition.CONTINUE,
    fence=Fence(name="checkout/production", number=7),
    requires=["os=linux"],
    approvals=[APPROVAL],
    on_ref="main",
    expand=True,
    cancel=CancelRules(signal=CancelSignal.TERM, grace_seconds=30),
    resume=ResumeAt.STEP,
    inputs=[InputFiles(job="0" * 8, attempt=1)],
)


def a_start(**changes: Any) -> JobInput:
    return JobInput(job_id="j-1", spec=SPEC.model_copy(update=changes), deployment_id="d-1")


def an_attempt(start: JobInput | None = None, *, key: str = "old", number: int = 1) -> AttemptInput:
    """As the agent gets it: signed by the worker's activity, through the job's record."""
    start = start or a_start()
    signature = SpecSigner(KEYS[key], clock=lambda: NOW).sign(start)
    job = submitted(start.model_copy(update={"signature": signature}), NOW)
    attempt = attempt_input(job, number, avoid_agent="agent-9")
    return AttemptInput.model_validate_json(attempt.model_dump_json())


def public(name: str) -> str:
    return base64.b64encode(bytes(KEYS[name].verify_key)).decode()


def specifications(folder: Path, *names: str, pool: str = "production", **more: Any) -> Specifications:
    file = folder / "control.yml"
    file.write_text(yaml.safe_dump({"keys": [{"name": name, "key": public(name)} for name in names], **more}))
    return Specifications.load(file, pool)


def refusal(of: Specifications, attempt: AttemptInput, now: int = NOW) -> str:
    with pytest.raises(SpecificationUnverified) as caught:
        of.verified(attempt, now)
    return str(caught.value)


def otherwise(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case When() | Background():
            return type(value)(next(each for each in type(value) if each is not value))
        case OnPartition():
            return OnPartition.STOP
        case ResumeAt():
            return None
        case str():
            return f"{value}x"
        case int():
            return value + 1
        case list():
            return []
        case dict():
            return {}
        case ArtifactRules() | CheckoutOptions():
            return type(value)()
        case _:
            return None


def changed() -> Iterator[tuple[str, AttemptInput]]:
    """The attempt with one field another, for every field that the models have: a new one is tried unasked."""
    attempt = an_attempt().model_copy(update={"lease_seconds": 31, "delivery_key": "0" * 64})
    attempt = attempt.model_copy(update={"signature": resigned(attempt)})
    for name in (each for each in AttemptInput.model_fields if each not in NOT_SIGNED):
        yield name, attempt.model_copy(update={name: otherwise(getattr(attempt, name))})
    for name in Step.model_fields:
        step = STEP.model_copy(update={name: otherwise(getattr(STEP, name))})
        yield f"steps.{name}", attempt.model_copy(update={"steps": [step]})
    for name in Fence.model_fields:
        fence = attempt.fence and attempt.fence.model_copy(update={name: otherwise(getattr(attempt.fence, name))})
        yield f"fence.{name}", attempt.model_copy(update={"fence": fence})
    signature = attempt.signature
    assert signature is not None
    shaped = {"key_id": "0" * 16, "signature": base64.b64encode(bytes(64)).decode()}
    for name in SpecSignature.model_fields:
        value = shaped.get(name) or otherwise(getattr(signature, name))
        yield f"signature.{name}", attempt.model_copy(update={"signature": signature.model_copy(update={name: value})})


def resigned(attempt: AttemptInput) -> SpecSignature:
    assert attempt.signature is not None
    raw = KEYS["old"].sign(signed_bytes(attempt, attempt.signature)).signature
    return attempt.signature.model_copy(update={"signature": base64.b64encode(raw).decode()})


def test_what_is_tried_fills_every_field() -> None:
    """Else a field that is left at its default would be changed into itself."""
    lost = LostAttempts(agent_id="a", numbers=[1])
    attempt = an_attempt().model_copy(update={"lease_seconds": 31, "delivery_key": "0" * 64, "lost": lost})
    assert set(attempt.model_dump(exclude_defaults=True)) == set(AttemptInput.model_fields)
    assert set(STEP.model_dump(exclude_defaults=True)) == set(Step.model_fields)


def test_what_a_deployment_asks_for_runs_each_attempt_of_it(tmp_path: Path) -> None:
    known = specifications(tmp_path, "old")
    for number in (1, 2, 40):
        assert known.verified(an_attempt(number=number), NOW) == Verified("checkout", "d-1")
    assert known.verified(an_attempt().model_copy(update={"avoid_agent": None}), NOW) is not None


@pytest.mark.parametrize(("field", "attempt"), [pytest.param(*each, id=each[0]) for each in changed()])
def test_whatever_is_changed_it_is_refused(tmp_path: Path, field: str, attempt: AttemptInput) -> None:
    said = refusal(specifications(tmp_path, "old"), attempt)
    if field == "signature.key_id":
        assert "which is none of those in HYBRIDCI_CONTROL_KEYS_FILE (old)" in said
    else:
        assert "it was changed or forged, or of another job" in said


def test_a_signature_of_another_job_of_the_same_deployment_is_refused(tmp_path: Path) -> None:
    other = an_attempt(a_start(steps=[]).model_copy(update={"job_id": "j-2"}))
    taken = an_attempt().model_copy(update={"signature": other.signature})
    assert "of another job" in refusal(specifications(tmp_path, "old"), taken)


def test_a_job_that_is_not_signed_is_refused_unless_the_operator_says_otherwise(tmp_path: Path) -> None:
    free = an_attempt().model_copy(update={"signature": None})
    said = refusal(specifications(tmp_path, "old"), free)
    assert said.startswith("This agent runs only jobs that the control plane has signed (HYBRIDCI_CONTROL_KEYS_FILE)")
    lenient = specifications(tmp_path, "old", required=False)
    assert "is none of those" in refusal(lenient, an_attempt(key="foreign"))
    plain: dict[str, Any] = {"job_type": "test", "fence": None, "approvals": [], "deployment_id": None}
    assert lenient.verified(free.model_copy(update=plain), NOW) is None
    for name, value in plain.items():
        posing = free.model_copy(update={**plain, name: getattr(free, name)})
        assert "runs only jobs in a deployment's name that the control plane has signed" in refusal(lenient, posing), (
            value
        )


def test_several_keys_hold_at_once_for_rotation(tmp_path: Path) -> None:
    both = specifications(tmp_path, "old", "new")
    for key in ("old", "new"):
        assert both.verified(an_attempt(key=key), NOW) is not None
    assert "(old, new)" in refusal(both, an_attempt(key="foreign"))
    assert "(new)" in refusal(specifications(tmp_path, "new"), an_attempt(key="old"))


def test_another_pool_another_service_and_no_deployment_are_refused(tmp_path: Path) -> None:
    said = refusal(specifications(tmp_path, "old", pool="staging"), an_attempt())
    assert "it is signed for pool production, not for staging" in said
    assert "is of service checkout" in refusal(specifications(tmp_path, "old", services=["cart*"]), an_attempt())
    assert specifications(tmp_path, "old", services=["check*"]).verified(an_attempt(), NOW) is not None
    nobodys = an_attempt(a_start().model_copy(update={"deployment_id": None}))
    assert "it names no deployment" in refusal(specifications(tmp_path, "old"), nobodys)


@pytest.mark.parametrize(
    ("job_type", "lifetime"),
    [("deploy", LIFETIME_MS), ("build", LIFETIME_MS), ("rollback", LIFETIME_BACK_MS), ("health", LIFETIME_BACK_MS)],
)
def test_a_signature_expires_that_of_a_rollback_late(tmp_path: Path, job_type: str, lifetime: int) -> None:
    attempt, known = an_attempt(a_start(job_type=job_type)), specifications(tmp_path, "old")
    assert known.verified(attempt, NOW + lifetime - 1) is not None
    assert "its signature has expired" in refusal(known, attempt, NOW + lifetime)


def test_what_is_signed_is_the_same_in_every_version() -> None:
    """An agent and a worker of two versions must agree. A change here refuses every job until both are upgraded."""
    attempt = AttemptInput(
        job_id="j", attempt=3, job_type="deploy", pool="p", git_repo="file:///r", git_commit_sha="a" * 40,
        timeout_seconds=5, steps=[Step(name="ä", run="x")], env={"B": "2", "A": "1"}, deployment_id="d",
    )  # fmt: skip
    signature = SpecSignature(service="s", issued_at=1, expires_at=2, key_id="0" * 16, signature="A" * 86 + "==")
    assert signed_bytes(attempt, signature).decode() == (
        'hybridci-specification-v1\n{"signed":{"expires_at":2,"issued_at":1,"service":"s"},"specification":'
        '{"deployment_id":"d","env":{"A":"1","B":"2"},"git_commit_sha":"' + "a" * 40 + '","git_repo":"file:///r",'
        '"job_id":"j","job_type":"deploy","pool":"p","steps":[{"name":"\\u00e4","run":"x"}],"timeout_seconds":5}}'
    )


def test_without_a_key_nothing_is_signed_and_records_look_as_before() -> None:
    assert SpecSigner.load(None).sign(a_start()) is None
    job = submitted(a_start().model_copy(update={"deployment_id": None}), NOW)
    assert {"signature", "deployment_id"}.isdisjoint(job.model_dump())
    assert {"signature", "deployment_id"}.isdisjoint(attempt_input(job, 1, avoid_agent=None).model_dump())


def test_a_key_that_the_command_makes_signs_and_is_known(tmp_path: Path) -> None:
    file = tmp_path / "control.key"
    made = CliRunner().invoke(app, ["control-key", "keygen", "--out", str(file)])
    assert made.exit_code == 0, made.output
    assert file.stat().st_mode & 0o777 == 0o600
    key = made.stdout.strip()
    again = CliRunner().invoke(app, ["control-key", "keygen", "--out", str(file)])
    assert again.exit_code == 2
    assert "is there already" in again.output
    keys = tmp_path / "keys.yml"
    keys.write_text(yaml.safe_dump({"keys": [{"name": "control", "key": key}]}))
    start = a_start()
    signature = SpecSigner.load(file, clock=lambda: NOW).sign(start)
    attempt = attempt_input(submitted(start.model_copy(update={"signature": signature}), NOW), 1, avoid_agent=None)
    settings = AgentSettings(control_keys_file=keys, pool="production")
    known = load_specifications(settings)
    assert known is not None
    assert known.verified(attempt, NOW) is not None
    assert load_specifications(AgentSettings()) is None


@pytest.mark.parametrize("content", [b"", b"# none\n", b"AAAA\n", b"not base64!\n", b"\xff\xfe"])
def test_a_worker_does_not_start_on_a_key_that_is_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "control.key"
    with pytest.raises(UnusableSigningKeyError, match=r"control\.key.*cannot be read"):
        SpecSigner.load(file)
    file.write_bytes(content)
    with pytest.raises(UnusableSigningKeyError, match="HYBRIDCI_SPEC_KEY_FILE"):
        SpecSigner.load(file)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({}, "keys: is needed"),
        ({"keys": []}, "keys: "),
        ({"keys": [{"name": "a", "key": "short"}]}, "keys.0.key"),
        ({"keys": [{"name": "a", "key": public("old")}] * 2}, "the same name is there twice"),
        ({"keys": [{"name": "a", "key": public("old")}], "require": False}, "require"),
    ],
)
def test_an_agent_does_not_start_on_keys_it_cannot_use(tmp_path: Path, content: dict[str, Any], why: str) -> None:
    file = tmp_path / "control.yml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(SettingsError, match=r"HYBRIDCI_CONTROL_KEYS_FILE") as caught:
        Specifications.load(file, "production")
    assert why in str(caught.value)


QUESTION = AncestryQuestion(git_repo="https://example.com/checkout.git", ancestor="a" * 40, descendant="b" * 40)


def a_task(*, key: str = "old", service: str | None = None, pool: str = "production") -> TaskInput:
    task = TaskInput(task_id="t-1", pool=pool, question=QUESTION)
    signature = SpecSigner(KEYS[key], clock=lambda: NOW).sign_task(task, service)
    return TaskInput.model_validate_json(task.model_copy(update={"signature": signature}).model_dump_json())


def test_a_question_that_the_control_plane_has_signed_is_answered_and_no_other(tmp_path: Path) -> None:
    known = specifications(tmp_path, "old")
    known.require_task(a_task(), NOW)
    task = a_task()
    changed = {
        "another task": task.model_copy(update={"task_id": "t-2"}),
        "another commit": task.model_copy(update={"question": QUESTION.model_copy(update={"ancestor": "c" * 40})}),
        "another repository": task.model_copy(
            update={"question": QUESTION.model_copy(update={"git_repo": "https://example.com/other.git"})}
        ),
        "a foreign key": a_task(key="foreign"),
        "another pool": a_task(pool="staging"),
        "unsigned": task.model_copy(update={"signature": None}),
    }
    for each in changed.values():
        with pytest.raises(SpecificationUnverified):
            known.require_task(each, NOW)
    known.require_task(task, NOW + LIFETIME_TASK_MS - 1)
    with pytest.raises(SpecificationUnverified, match="expired"):
        known.require_task(task, NOW + LIFETIME_TASK_MS)


def test_an_agent_for_some_services_answers_their_guards_only(tmp_path: Path) -> None:
    known = specifications(tmp_path, "old", services=["check*"])
    known.require_task(a_task(service="checkout"), NOW)
    for service in (None, "search"):
        with pytest.raises(SpecificationUnverified, match="does not name"):
            known.require_task(a_task(service=service), NOW)


def test_where_free_jobs_run_free_questions_are_answered(tmp_path: Path) -> None:
    known = specifications(tmp_path, "old", required=False)
    known.require_task(a_task().model_copy(update={"signature": None}), NOW)
    with pytest.raises(SpecificationUnverified):
        known.require_task(a_task(key="foreign"), NOW)


def test_a_signed_job_is_no_signed_question() -> None:
    """Both are of one key: what is signed says which it is."""
    task, attempt = a_task(), an_attempt()
    assert task.signature is not None
    assert attempt.signature is not None
    assert tasks.signed_bytes(task, task.signature).startswith(b"hybridci-task-v1\n")
    assert signed_bytes(attempt, attempt.signature).startswith(b"hybridci-specification-v1\n")


def test_a_changed_file_is_read_again_and_one_of_no_use_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "LOOK_SECONDS", 0)
    file = tmp_path / "control.yml"

    def written(content: str) -> None:
        (tmp_path / "new").write_text(content)
        (tmp_path / "new").replace(file)

    known = specifications(tmp_path, "old")
    old, new = an_attempt(key="old"), an_attempt(key="new")
    assert known.verified(old, NOW) is not None
    assert "which is none of those" in refusal(known, new)
    written(yaml.safe_dump({"keys": [{"name": name, "key": public(name)} for name in ("new", "old")]}))
    assert known.verified(old, NOW) is not None
    assert known.verified(new, NOW) is not None
    written("keys: [")
    assert known.verified(new, NOW) is not None
    assert "no YAML" in followed.troubles()["HYBRIDCI_CONTROL_KEYS_FILE"]
    file.unlink()
    assert known.verified(new, NOW) is not None
    assert "cannot be read" in followed.troubles()["HYBRIDCI_CONTROL_KEYS_FILE"]
    written(yaml.safe_dump({"keys": [{"name": "new", "key": public("new")}]}))
    assert "which is none of those" in refusal(known, old)
    assert "HYBRIDCI_CONTROL_KEYS_FILE" not in followed.troubles()
