"""What people see of a deployment, and what is made of what they type. No server; real git."""

import json
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import pytest
from rich.console import Console

from api.cli.client.connection import USAGE, ApiConnection, CliError
from api.cli.client.http import ApiClient
from api.cli.commands.deployments.advice import next_steps
from api.cli.commands.deployments.freeze_times import freeze_period, moment_given
from api.cli.commands.deployments.output import print_deployment
from api.cli.commands.deployments.source import SourceOptions, git_fields
from api.cli.commands.deployments.view import in_git, outcome, settled, state, waits_for_approval, way_rows
from api.cli.commands.deployments.watch import facts, picture
from api.cli.commands.service_text import service_yaml
from workflows.contracts.deployments.deployment import (
    Approval,
    Decision,
    Deployment,
    DeploymentStatus,
    Rollback,
    RollbackStatus,
    Stage,
    StageStatus,
    Timing,
)
from workflows.contracts.deployments.environments import EnvironmentState, Hold, LiveVersion
from workflows.contracts.deployments.services import Service, ServiceSpec
from workflows.contracts.identity.people import GitPeople, GitPerson
from workflows.yaml_text import yaml_to_json

NOW = 1_700_000_000_000
ID = "11111111-2222-3333-4444-555555555555"
JOB = "99999999-2222-3333-4444-555555555555"
STEPS = [{"name": "go", "run": "set -e\n./deploy.sh\n"}]
SPEC: dict[str, Any] = {
    "git_repo": "https://example.com/shop.git",
    "build": {"steps": STEPS},
    "test": {"steps": STEPS},
    "environments": [
        {"name": "staging", "steps": STEPS},
        {"name": "production", "steps": STEPS, "approval": {"required": 2}, "rollout": {"percent": [10, 100]}},
    ],
}


def deployment(**changes: Any) -> Deployment:
    made = Deployment(
        deployment_id=ID,
        service_name="checkout",
        service_version=1,
        version="1.4.2",
        git_repo="https://example.com/shop.git",
        git_commit_sha="a" * 40,
        git_author="ann <ann@example.com>",
        definition=ServiceSpec.model_validate(SPEC),
        stages=[Stage(environment="staging"), Stage(environment="production")],
        created_at=NOW,
        updated_at=NOW,
    )
    return made.model_copy(update=changes)


def in_production(status: StageStatus, **changes: Any) -> list[Stage]:
    return [
        Stage(environment="staging", status=StageStatus.DEPLOYED),
        Stage(environment="production", status=status, **changes),
    ]


def approved(by: str, decision: Decision = Decision.APPROVE) -> Approval:
    return Approval(environment="production", decision=decision, by=by, at=NOW, git_commit_sha="a" * 40)


def rollback(status: RollbackStatus, **changes: Any) -> Rollback:
    return Rollback(
        environment="production", target_version="1.4.1", reason="orders fail", by="bob", status=status,
        requested_at=NOW, **changes,
    )  # fmt: skip


@pytest.fixture
def api() -> ApiClient:
    return ApiClient(ApiConnection("http://127.0.0.1:1", "key", " --data-dir /srv/d"))


class TestStages:
    def test_jobs_before_the_environments(self) -> None:
        def early(**changes: Any) -> list[str]:
            return [row.status for row in way_rows(deployment(**changes))[:2]]

        assert early() == ["pending", "pending"]
        assert early(build_job_id=JOB) == ["running", "pending"]
        assert early(build_job_id=JOB, test_job_id=JOB) == ["success", "running"]
        assert early(build_job_id=JOB, test_job_id=JOB, stages=in_production(StageStatus.WAITING)) == ["success"] * 2
        failed = {"status": DeploymentStatus.FAILED, "cause": "build_failed", "build_job_id": JOB}
        assert early(**failed) == ["failed", "not reached"]
        assert early(**{**failed, "cause": "cancelled"}) == ["stopped", "not reached"]

    def test_environments(self) -> None:
        stages = in_production(StageStatus.DEPLOYING, percent=10, job_ids=[JOB], previous_version="1.4.1")
        timed = way_rows(deployment(test_job_id="j", timings={"test": Timing(started_at=1000, ended_at=4000)}))
        assert [(row.started_at, row.ended_at) for row in timed if row.name == "test"] == [(1000, 4000)]
        row = way_rows(deployment(stages=stages, approvals=[approved("bob"), approved("cat")]))[-1]
        assert (row.status, row.percent, row.previous, row.job_ids) == ("deploying", 10, "1.4.1", (JOB,))
        assert row.approvals == "2 of 2 (bob, cat)"
        rejected = deployment(approvals=[approved("bob"), approved("dan", Decision.REJECT)])
        assert [row.approvals for row in way_rows(rejected)][2:] == [None, "rejected (dan)"]
        assert way_rows(deployment(status=DeploymentStatus.FAILED))[-1].status == "not reached"

    @pytest.mark.parametrize(
        ("changes", "over"),
        [
            ({}, False),
            ({"status": DeploymentStatus.PRODUCTION}, False),
            ({"status": DeploymentStatus.LIVE}, True),
            ({"status": DeploymentStatus.LIVE, "rollback": rollback(RollbackStatus.RUNNING)}, False),
            ({"status": DeploymentStatus.ROLLED_BACK, "rollback": rollback(RollbackStatus.SUCCEEDED)}, True),
            ({"status": DeploymentStatus.FAILED, "rollback": rollback(RollbackStatus.FAILED)}, True),
            ({"status": DeploymentStatus.SUPERSEDED}, True),
        ],
    )
    def test_when_nothing_more_happens_by_itself(self, changes: dict[str, Any], over: bool) -> None:
        assert settled(deployment(**changes)) is over

    def test_in_words(self) -> None:
        live = deployment(status=DeploymentStatus.LIVE, environment="production", live_at=NOW + 65_000)
        assert outcome(live) == "checkout 1.4.2 is live in production after 1 min 5 s."
        assert state(live.model_copy(update={"rollback": rollback(RollbackStatus.RUNNING)})) == (
            "rolling back to 1.4.1 in production"
        )
        rolling = deployment(
            status=DeploymentStatus.PRODUCTION,
            environment="production",
            stages=in_production(StageStatus.DEPLOYING, percent=10),
        )
        assert state(rolling) == "production (deploying 10 %)"
        back = deployment(status=DeploymentStatus.ROLLED_BACK, rollback=rollback(RollbackStatus.SUCCEEDED))
        assert outcome(back) == "checkout 1.4.2 was rolled back to 1.4.1 in production: orders fail"


class TestAdvice:
    def test_each_state_has_its_commands(self, api: ApiClient) -> None:
        def advice(**changes: Any) -> str:
            return "\n".join(next_steps(deployment(**changes), api))

        waiting: dict[str, Any] = {"status": DeploymentStatus.STAGED, "environment": "production"}
        for_approval = advice(**waiting, stages=in_production(StageStatus.WAITING))
        assert f"`hybridci deploy approve {ID[:8]} --data-dir /srv/d`" in for_approval
        assert "deploy reject" in for_approval
        in_line = advice(**waiting, stages=in_production(StageStatus.WAITING, approved_at=NOW))
        assert "deploy approve" not in in_line
        assert "deploy cancel" in in_line
        paused = advice(**waiting, stages=in_production(StageStatus.PAUSED, started_at=NOW))
        assert "deploy resume" in paused
        assert "deploy rollback" in paused
        external = in_production(StageStatus.DEPLOYING, external=True, waits_for="another CI")
        assert f"deploy record {ID[:8]} production --job-id" in advice(**waiting, stages=external)
        assert "deploy rollback" in advice(status=DeploymentStatus.LIVE)
        broken = advice(status=DeploymentStatus.FAILED, rollback=rollback(RollbackStatus.FAILED), closed=False)
        assert "NOBODY KNOWS WHAT RUNS IN PRODUCTION" in broken
        assert "--job-id NAME-OF-THE-REPAIR" in broken
        failed = advice(status=DeploymentStatus.FAILED, closed=True)
        assert f"--sha {'a' * 40} --author 'ann <ann@example.com>' --data-dir" in failed
        assert "deploy show other" in advice(status=DeploymentStatus.SUPERSEDED, superseded_by="other")

    def test_a_hold_is_lifted_where_it_is(self, api: ApiClient) -> None:
        hold = Hold(by="bob", reason="rolled back", at=NOW)
        environment = EnvironmentState(service_name="checkout", environment="eu", hold=hold)
        lines = next_steps(deployment(status=DeploymentStatus.ROLLED_BACK), api, environment)
        assert any("`hybridci deploy release checkout --environment eu --data-dir /srv/d`" in line for line in lines)

    def test_only_a_policy_asks_for_approval(self) -> None:
        waiting = {"environment": "production", "stages": in_production(StageStatus.WAITING)}
        assert waits_for_approval(deployment(**waiting))
        staging = [Stage(environment="staging", status=StageStatus.WAITING), Stage(environment="production")]
        assert not waits_for_approval(deployment(environment="staging", stages=staging))


class TestWatching:
    def test_lines_say_what_changed_with_its_command(self, api: ApiClient) -> None:
        now = deployment(
            status=DeploymentStatus.STAGED,
            environment="production",
            stages=in_production(StageStatus.WAITING, job_ids=[JOB]),
            approvals=[approved("bob")],
            waits_for=f"1 of 2 approvals. `hybridci deploy approve {ID}`",
        )
        said = dict(facts(now, api))
        assert said["status"] == "checkout 1.4.2: staged, now at production (waiting)"
        assert said["stage production"] == "production: waiting"
        assert said[f"job {JOB}"].endswith(f"`hybridci job logs -f {JOB[:8]} --data-dir /srv/d`")
        assert said["approval 0"] == "production: approved by bob"
        assert said["waits"].endswith(f"`hybridci deploy approve {ID[:8]} --data-dir /srv/d`")

    def test_a_start_that_nobody_vouches_for_says_so(self, api: ApiClient, capsys: pytest.CaptureFixture[str]) -> None:
        closed = deployment(status=DeploymentStatus.FAILED, closed=True)
        print_deployment(closed.model_copy(update={"start_doubt": "it was sent straight to Temporal"}), api)
        assert "Unverified  nobody knows who started it: it was sent straight to Temporal" in capsys.readouterr().out

    def test_the_picture_has_every_stage_and_no_control_characters(self, api: ApiClient) -> None:
        now = deployment(
            status=DeploymentStatus.PRODUCTION,
            environment="production",
            git_author="e\x1b[2Jvil [red]",
            stages=in_production(StageStatus.DEPLOYING, percent=10, job_ids=[JOB, ID]),
            rollback=rollback(RollbackStatus.RUNNING, job_ids=[JOB]),
        )
        sink = StringIO()
        Console(file=sink, width=200, markup=False).print(picture(now, api))
        drawn = sink.getvalue()
        assert "\x1b" not in drawn
        assert "vil [red]" in drawn
        names = [line.split()[0] for line in drawn.splitlines()[2:6]]
        assert names == ["build", "test", "staging", "production"]
        assert "11111111-2222 (+1)" in drawn
        assert "Rollback to 1.4.1 in production: running, by bob: orders fail" in drawn
        assert f"`hybridci job logs -f {JOB[:8]} --data-dir /srv/d`" in drawn


class TestTimes:
    def test_a_period(self) -> None:
        begins = moment_given("2026-12-24T18:00+01:00", "--from")
        assert begins == 1_798_131_600_000
        assert freeze_period("2026-12-24T18:00+01:00", None, "2h") == {"starts_at": begins, "duration_seconds": 7200}
        assert freeze_period(None, "2026-12-24T18:00+01:00", None, now=NOW) == {"ends_at": begins}
        assert moment_given("2026-12-24T17:00Z", "--from") == begins
        assert moment_given("2026-12-24", "--from") < begins + 86_400_000

    @pytest.mark.parametrize(
        ("typed", "message"),
        [
            ((None, None, None), "Say when it ends"),
            ((None, "2026-12-24", "2h"), "Say when it ends"),
            ((None, "tomorrow", None), "is no time"),
            (("soon", None, "2h"), "is no time"),
            (("2026-12-25", "2026-12-24", None), "is not after"),
            ((None, "2020-01-01", None), "is not after now"),
            ((None, None, "soon"), "is no duration"),
            ((None, "9999-12-31T23:59-12:00", None), "is no time"),
        ],
    )
    def test_what_is_no_period(self, typed: tuple[str | None, str | None, str | None], message: str) -> None:
        with pytest.raises(CliError, match=message) as caught:
            freeze_period(*typed, now=NOW)
        assert caught.value.exit_code == USAGE


def test_a_service_reads_back_as_it_was() -> None:
    labels = {"team": "shop", "mode": "0777", "size": "1e3"}
    spec = ServiceSpec.model_validate({**SPEC, "description": "Line one\nline two", "labels": labels})
    service = Service(name="checkout", version=3, spec=spec, created_at=NOW, updated_at=NOW, updated_by="ann")
    live = LiveVersion(version="1.4.1", deployment_id=ID, workflow_id="w", git_commit_sha="a" * 40, since=NOW)
    hold = Hold(by="bob", reason="first\nsecond", at=NOW)
    text = service_yaml(
        service, [EnvironmentState(service_name="checkout", environment="production", live=live, hold=hold)]
    )
    content = json.loads(yaml_to_json(text.encode()))
    assert content.pop("name") == "checkout"
    assert ServiceSpec.model_validate(content) == spec
    assert "    run: |\n" in text
    assert "definition 3 of checkout" in text.splitlines()[0].lower()
    assert "# production: Live: 1.4.1 since" in text
    assert "ON HOLD by bob" in text.splitlines()[1]
    assert text.index("git_repo") < text.index("environments")


class TestSource:
    @pytest.fixture
    def repository(self, tmp_path: Path) -> Path:
        folder = tmp_path / "shop"
        folder.mkdir()
        _git(folder, "init", "-q", "-b", "main")
        _git(folder, "commit", "-q", "--allow-empty", "-m", "first")
        return folder

    def test_the_checked_out_commit_of_this_folder(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(repository)
        assert git_fields(SourceOptions(), _never, _never) == {
            "git_commit_sha": _git(repository, "rev-parse", "HEAD"),
            "git_author": "ann@example.com",
            "git_ref": "main",
            "git_commit_message": "first",
        }
        named = git_fields(SourceOptions(author="bob", message="why"), _never, _never)
        assert (named["git_author"], named["git_commit_message"]) == ("bob", "why")

    def test_a_dirty_folder_is_told(self, repository: Path) -> None:
        (repository / "new").write_text("n")
        warnings: list[str] = []
        git_fields(SourceOptions(repo=str(repository)), _never, warnings.append)
        assert len(warnings) == 1

    def test_everything_given_needs_no_git(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PATH", "")
        found = git_fields(SourceOptions(sha="b" * 40, author="ann"), _never, _never)
        assert found == {"git_commit_sha": "b" * 40, "git_author": "ann"}

    def test_elsewhere_the_service_tells_its_repository(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        url = repository.as_uri()
        found = git_fields(SourceOptions(ref="main"), lambda: url, _never)
        assert found["git_commit_sha"] == _git(repository, "rev-parse", "HEAD")
        assert found["git_ref"] == "main"
        assert git_fields(SourceOptions(sha="c" * 40), lambda: url, _never)["git_commit_sha"] == "c" * 40

    def test_nothing_to_go_by(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for options in (SourceOptions(), SourceOptions(sha="abc123")):
            with pytest.raises(CliError, match="Say what to deploy") as caught:
                git_fields(options, _never, _never)
            assert caught.value.exit_code == USAGE


def _never(*_: str) -> NoReturn:
    raise AssertionError("was not to be called")


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_whom_the_commit_names_is_shown_as_git_has_it() -> None:
    ann = GitPerson(name="Ann", address="ann@example.com")
    forge = GitPerson(name="GitHub", address="noreply@github.com")
    found = [GitPeople(author=ann, committer=forge), GitPeople(author=ann, committer=GitPerson(address="x@y"))]
    assert in_git(deployment()) is None
    assert in_git(deployment(git_people=found)) == (
        "author Ann <ann@example.com>, committer GitHub <noreply@github.com>; an agent says otherwise: "
        "author Ann <ann@example.com>, committer <x@y>"
    )
    assert "git_people" not in deployment().model_dump(), "as before, where nobody has looked"
