"""Steps as users write them: the shell they run in and the environment they see."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.attempt.directory import AttemptDir
from agent.attempt.places import Places
from agent.settings import AgentSettings, SettingsError
from agent.steps import environment
from agent.steps.environment import build_environment, step_environment
from agent.steps.executors import DEFAULT_EXECUTOR, EXECUTORS, executor_named
from agent.steps.executors.shell import ShellExecutor
from agent.steps.process import EndReason, ProcessEnd, StopSignal
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.jobs import Step

JOB_ID = "5f0c8f1e-3f4e-4a54-9d4f-0a3f6f0c1d11"


def attempt(**fields: object) -> AttemptInput:
    given: dict[str, object] = {
        "job_id": JOB_ID, "attempt": 2, "job_type": "test", "pool": "linux", "git_repo": "https://example.com/shop.git",
        "git_commit_sha": "a" * 40, "git_ref": "main", "git_author": "ann@example.com", "timeout_seconds": 60,
        "fence": {"name": "shop/production", "number": 7},
        "on_ref": "main",
    }  # fmt: skip
    return AttemptInput.model_validate(given | fields)


class Steps:
    """Runs steps in a fresh attempt's folder."""

    def __init__(self, folder: Path) -> None:
        self.directory = AttemptDir.create(folder, f"{JOB_ID}-2", Places.load(folder).take())
        self.output = bytearray()

    def environment(self, given: AttemptInput, **secrets: str) -> dict[str, str]:
        directory = self.directory
        return build_environment(
            given, agent_id="agent-1", workspace=directory.workspace, home=directory.home, temp=directory.temp,
            path=os.environ["PATH"], secrets=secrets,
        )  # fmt: skip

    async def run(self, run: str, *, job: AttemptInput | None = None, **fields: object) -> ProcessEnd:
        self.output.clear()
        return await EXECUTORS[DEFAULT_EXECUTOR](None).run(
            Step.model_validate({"name": "a step", "run": run, **fields}),
            workspace=self.directory.workspace,
            scripts=self.directory.scripts,
            env=self.environment(job or attempt()),
            on_output=self.output.extend,
            stop=StopSignal(),
            timeout_seconds=30,
            cookie=self.directory.cookie,
        )


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    steps = Steps(tmp_path)
    yield steps
    shutil.rmtree(steps.directory.home.parent.parent)


@pytest.mark.parametrize(
    ("script", "exit_code"),
    [
        ("false; true", 1),
        ("false | true", 1),
        ("exit 3", 3),
        ("true", 0),
        ("no-such-command", 127),
        ("[[ 1 == 1 ]]", 0),
    ],
)
async def test_bash_stops_at_the_first_failure(script: str, exit_code: int, steps: Steps) -> None:
    end = await steps.run(script)
    assert (end.exit_code, end.reason) == (exit_code, EndReason.EXITED)


async def test_a_step_starts_in_a_clean_workspace(steps: Steps) -> None:
    await steps.run("pwd; ls -A; echo äö; ls -A $HOME $TMPDIR")
    workspace, letters, *_ = steps.output.decode().split()
    assert (workspace, letters) == (str(steps.directory.workspace), "äö")


@pytest.mark.parametrize(
    ("shell", "script", "output"),
    [
        ("python3", "import sys; print(sys.argv[1:])", b"[]\n"),
        ("python3 {0} 'a b'", "import sys; print(sys.argv[1:])", b"['a b']\n"),
        ("sh -c 'cat {0}'", "as it is", b"as it is\n"),
        ("bash -x", "echo hi", b"+ echo hi\nhi\n"),
        ("cat", "a\r\nb\n", b"a\r\nb\n"),
    ],
)
async def test_a_shell_of_ones_own(shell: str, script: str, output: bytes, steps: Steps) -> None:
    assert (await steps.run(script, shell=shell)).exit_code == 0
    assert bytes(steps.output) == output


@pytest.mark.parametrize(
    ("shell", "exit_code", "word"),
    [
        ("no-such-shell -x", 127, b"not found"),
        ("bash 'x", 126, b"quotes"),
        ("  ", 126, b"empty"),
        ("/etc/passwd", 126, b""),
    ],
)
async def test_a_shell_that_cannot_run_is_a_failed_step(shell: str, exit_code: int, word: bytes, steps: Steps) -> None:
    end = await steps.run("true", shell=shell)
    assert (end.exit_code, end.reason) == (exit_code, EndReason.EXITED)
    assert word in steps.output


async def test_a_workspace_that_a_step_removed(steps: Steps) -> None:
    await steps.run("rm -rf $HYBRIDCI_WORKSPACE")
    assert (await steps.run("true")).exit_code == 126
    assert b"does not exist" in steps.output


async def test_nothing_of_the_agent_leaks(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HYBRIDCI_API_KEY", "TEMPORAL_API_KEY", "AWS_SECRET_ACCESS_KEY", "ANYTHING", "GIT_DIR"):
        monkeypatch.setenv(name, "the-agents-own")
    await steps.run("env -0 | tr '\\0' '\\n'", job=attempt(env={"A": "1", "EMPTY": ""}), env={"B": "2"})
    text = steps.output.decode()
    assert "the-agents-own" not in text
    seen = dict(line.split("=", 1) for line in text.splitlines())
    by_bash = {"PWD", "OLDPWD", "SHLVL", "_"}
    documented = {name.strip("` ") for line in _table() for name in line.split("|")[1].split(",")}
    assert seen.keys() - by_bash == documented | {"A", "B", "EMPTY"}
    assert (seen["CI"], seen["HYBRIDCI_COMMIT"], seen["HYBRIDCI_ATTEMPT_NUMBER"]) == ("true", "a" * 40, "2")
    assert (seen["HYBRIDCI_FENCE"], seen["HYBRIDCI_FENCE_NAME"]) == ("7", "shop/production")
    assert (seen["EMPTY"], seen["HYBRIDCI_ON_REF"]) == ("", "main")


def _table() -> list[str]:
    return [line for line in (environment.__doc__ or "").splitlines() if line.startswith("| `")]


def test_who_wins(steps: Steps) -> None:
    job = attempt(env={"A": "job", "B": "job", "C": "job", "PATH": "/job", "HYBRIDCI_ATTEMPT": "forged"})
    base = steps.environment(job, B="secret", C="secret")
    env = step_environment(base, Step(name="s", run="x", env={"C": "step", "HYBRIDCI_ATTEMPT": "forged"}))
    assert (env["A"], env["B"], env["C"], env["PATH"]) == ("job", "secret", "step", "/job")
    assert env["HYBRIDCI_ATTEMPT"] == f"{JOB_ID}-2"


def test_a_job_without_a_ref_has_no_ref(steps: Steps) -> None:
    assert "HYBRIDCI_REF" not in steps.environment(attempt(git_ref=None))


def test_a_job_without_a_fence_has_none(steps: Steps) -> None:
    assert not [name for name in steps.environment(attempt(fence=None)) if "FENCE" in name]


def test_a_job_that_asks_for_no_branch_is_told_of_none(steps: Steps) -> None:
    assert "HYBRIDCI_ON_REF" not in steps.environment(attempt(on_ref=None))


def test_an_executor_is_found_by_its_name_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    class Container(ShellExecutor):
        """One more way to run a step."""

    monkeypatch.setattr("agent.steps.executors.EXECUTORS", {**EXECUTORS, "container": Container})
    monkeypatch.setenv("HYBRIDCI_AGENT_EXECUTOR", "container")
    assert isinstance(executor_named(AgentSettings().executor), Container)
    monkeypatch.delenv("HYBRIDCI_AGENT_EXECUTOR")
    assert type(executor_named(AgentSettings().executor)) is ShellExecutor
    with pytest.raises(SettingsError, match="HYBRIDCI_AGENT_EXECUTOR is 'vm'; set it to one of: container, shell"):
        executor_named("vm")


async def test_sockets_fit_into_tmpdir(steps: Steps) -> None:
    """AF_UNIX paths end at 103 characters: PostgreSQL's and Python's managers put theirs into TMPDIR."""
    end = await steps.run("from multiprocessing import Manager\nprint(Manager().list([1]))", shell="python3")
    assert (end.exit_code, steps.output.decode()) == (0, "[1]\n")
