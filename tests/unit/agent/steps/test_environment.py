"""Steps as users write them: the shell they run in and the environment they see."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.attempt.directory import AttemptDir
from agent.attempt.places import SlotPlaces
from agent.settings import AgentSettings, SettingsError
from agent.steps.environment import build_environment, expanded, sealed_names, step_environment
from agent.steps.executors import DEFAULT_EXECUTOR, EXECUTORS, executor_named
from agent.steps.executors.shell import ShellExecutor
from agent.steps.given import Given
from agent.steps.outputs import OUTPUT, SUMMARY
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
        self.directory = AttemptDir.create(folder, f"{JOB_ID}-2", SlotPlaces.load(folder).take())
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
    of_the_sequence = {OUTPUT, SUMMARY}
    assert (seen.keys() - by_bash) | of_the_sequence == documented | {"A", "B", "EMPTY"}
    assert (seen["CI"], seen["HYBRIDCI_COMMIT"], seen["HYBRIDCI_ATTEMPT_NUMBER"]) == ("true", "a" * 40, "2")
    assert (seen["HYBRIDCI_FENCE"], seen["HYBRIDCI_FENCE_NAME"]) == ("7", "shop/production")
    assert (seen["EMPTY"], seen["HYBRIDCI_ON_REF"]) == ("", "main")


def _table() -> list[str]:
    page = Path(__file__).parents[4] / "docs" / "steps.md"
    section = page.read_text("utf-8").split("\n## What a step sees\n")[1].split("**What the operator gives**")[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


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


def read_with(steps: Steps, job: AttemptInput, given: dict[str, str] | None = None, **secrets: str) -> dict[str, str]:
    return build_environment(
        job, agent_id="agent-1", workspace=steps.directory.workspace, home=steps.directory.home,
        temp=steps.directory.temp, path="/bin", given=given, sealed=sealed_names(job.env), secrets=secrets,
    )  # fmt: skip


def test_path_in_a_path_is_the_one_before_and_all_else_is_exact(steps: Steps) -> None:
    job = attempt(env={"PATH": "/opt/x:$PATH", "A": "$PATH", "B": "$DB_URL", "C": "a$$b${HOME}"})
    env = read_with(steps, job, {"PATH": "/host:${PATH}", "D": "$PATH"}, S="$PATH")
    assert env["PATH"] == "/opt/x:/host:/bin"
    assert (env["A"], env["B"], env["C"]) == ("$PATH", "$DB_URL", "a$$b${HOME}")
    assert (env["D"], env["S"]) == ("$PATH", "$PATH")
    step = Step(name="s", run="x", env={"PATH": "$PATH:/end:$PATHS", "E": "$PATH"})
    assert step_environment(env, step)["PATH"] == "/opt/x:/host:/bin:/end:$PATHS"
    assert step_environment(env, step)["E"] == "$PATH"


def test_a_job_can_ask_for_more(steps: Steps) -> None:
    job = attempt(
        expand=True,
        git_ref="$HYBRIDCI_AUTHOR",
        env={
            "A": "$HYBRIDCI_REF-${HYBRIDCI_JOB_TYPE}", "B": "$A $SECRET $$HOME $NOBODY ${", "PATH": "/x:$PATH",
            "HYBRIDCI_VERSION": "$HYBRIDCI_POOL", "SEALED": "sealed:v1:$HYBRIDCI_POOL", "É": "$HYBRIDCI_POOLé",
        },
    )  # fmt: skip
    env = read_with(steps, job, {"GIVEN": "given"}, SECRET="$HYBRIDCI_POOL")
    assert env["A"] == "$HYBRIDCI_AUTHOR-test", "what a branch is called is not looked through again"
    assert env["B"] == "$A $SECRET $HOME $NOBODY ${", "neither the job's own nor its secrets"
    assert (env["PATH"], env["SECRET"]) == ("/x:/bin", "$HYBRIDCI_POOL")
    assert env["HYBRIDCI_VERSION"] == "$HYBRIDCI_POOL", "a version is what an event says"
    assert env["SEALED"] == "sealed:v1:$HYBRIDCI_POOL"
    assert env["É"] == "linuxé"
    known = {name: value for name, value in env.items() if name != "SECRET"}
    step = Step(name="s", run="x", env={"C": "$A/$SECRET/$GIVEN", "D": "$A", "PATH": "$HYBRIDCI_WORKSPACE:$PATH"})
    seen = step_environment(env, expanded(step, known, sealed={"D"}))
    assert (seen["C"], seen["D"]) == ("$HYBRIDCI_AUTHOR-test/$SECRET/given", "$A")
    assert seen["PATH"] == f"{steps.directory.workspace}:/x:/bin"


async def test_the_jobs_path_does_not_take_the_shell_away(steps: Steps) -> None:
    """The host has bash: the message blamed it."""
    end = await steps.run("echo here; type -P no-such-tool || echo none", job=attempt(env={"PATH": "/opt/x"}))
    assert (end.exit_code, steps.output.decode()) == (0, "here\nnone\n")
    assert (await steps.run("exit 4", shell="sh", job=attempt(env={"PATH": "/opt/x"}))).exit_code == 4


async def test_a_shell_of_the_jobs_path_comes_before_the_hosts(steps: Steps, tmp_path: Path) -> None:
    own = tmp_path / "bin" / "python3"
    own.parent.mkdir()
    own.write_text("#!/bin/sh\necho own\n")
    own.chmod(0o755)
    await steps.run("print('host')", shell="python3", job=attempt(env={"PATH": f"{own.parent}:$PATH"}))
    assert steps.output == b"own\n"
    here = steps.directory.workspace / "tools" / "of-the-commit"
    here.parent.mkdir()
    own.rename(here)
    await steps.run("x", shell="of-the-commit", job=attempt(env={"PATH": "tools:$PATH"}))
    assert steps.output == b"own\n", "a folder of the PATH that begins in the workspace"
    end = await steps.run("x", shell="no-such-shell", job=attempt(env={"PATH": "/opt/x"}))
    assert end.exit_code == 127
    assert b"neither in the step's PATH (/opt/x) nor in the agent's" in steps.output


async def test_git_commits_with_an_identity_that_a_repository_can_change(steps: Steps) -> None:
    Given().furnish(steps.directory.home)
    script = (
        "git init -q r; cd r; git commit -q --allow-empty -m one; git log -1 --format='%an <%ae>'\n"
        "git config user.name other; git commit -q --allow-empty -m two; git log -1 --format=%an"
    )
    assert (await steps.run(script)).exit_code == 0, steps.output
    assert steps.output.decode().splitlines()[-2:] == ["hybridci <hybridci@localhost>", "other"]


def given_by(**settings: str) -> Given:
    return Given.load(AgentSettings.model_validate({f"steps_{name}": value for name, value in settings.items()}), None)


def test_what_the_operator_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("RUSTUP_HOME", "/rust")
    monkeypatch.setenv("HOME", "/home/agent")
    file = tmp_path / "steps.env"
    file.write_text("# for all\nRUSTUP_HOME=/other\nexport A='b c'\nEMPTY=\nPATH=/opt/bin:$PATH\n")
    given = given_by(pass_env="HTTPS_PROXY, RUSTUP_HOME,NOT_SET", env_file=str(file))
    assert given.variables == {
        "HTTPS_PROXY": "http://proxy:3128", "RUSTUP_HOME": "/other", "A": "b c", "EMPTY": "", "PATH": "/opt/bin:$PATH",
    }  # fmt: skip
    assert given.home is None
    assert given_by(home="agent").home == Path("/home/agent")
    given_by(home="agent").furnish(tmp_path)
    assert not (tmp_path / ".gitconfig").exists(), "the agent's own says who it is"


@pytest.mark.parametrize(
    ("settings", "text", "why"),
    [
        ({"pass_env": "HYBRIDCI_API_KEY"}, "", "HYBRIDCI_AGENT_PASS_ENV has HYBRIDCI_API_KEY"),
        ({"pass_env": "NPM_TOKEN"}, "", "a secret by its name"),
        ({"pass_env": "A B"}, "", "no variable's name"),
        ({"env_file": "/nonexistent"}, "", "HYBRIDCI_AGENT_ENV_FILE names /nonexistent, which cannot be read"),
        ({}, "TEMPORAL_X=1\n", "HYBRIDCI_AGENT_ENV_FILE has TEMPORAL_X"),
        ({}, "ALONE\n", "has ALONE without a value"),
        ({}, "# two words\n\nA B=1\n", "HYBRIDCI_AGENT_ENV_FILE has a line 3 that is no NAME=value"),
        ({}, "A='1\nB=2\n", "has a line 1 that is no NAME=value, with its quotes closed"),
        ({}, "A=1\nB: 2\n", "has a line 2 that is no NAME=value"),
        ({}, "A=1\0\n", "has a line 1 that is no NAME=value"),
    ],
)
def test_what_it_may_not_give(settings: dict[str, str], text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "steps.env"
    file.write_text(text)
    with pytest.raises(SettingsError, match=re.escape(why)):
        given_by(**{"env_file": str(file), **settings})
