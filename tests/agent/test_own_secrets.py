"""What an agent keeps to itself: its own keys and the secrets that nobody asked for are neither where a step could look
nor in any log; with a user of their own, steps are kept from all of it by the system.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from temporalio.client import Client

from tests.agent.agent_process import AgentProcess, Repository
from tests.agent.helpers import begin, eventually, result_of
from tests.control_plane_server import KEY, TOKEN, ControlPlaneServer
from workflows.contracts.statuses import Outcome

ASKED, UNASKED, FILED, TOLD = (f"{name}-9fK2mQ7zLp40sTbV" for name in ("asked", "unasked", "filed", "told"))
NOBODY = "nobody"


def with_secrets_of_its_own(agent: AgentProcess, folder: Path) -> AgentProcess:
    (folder / "filed").write_text(FILED)
    (folder / "secrets.yml").write_text(
        "ASKED: {env: VALUE_ASKED}\nUNASKED: {env: VALUE_UNASKED}\nPUBLIC: {env: VALUE_PUBLIC, mask: false}\n"
        f"FILED: {{file: {folder / 'filed'}}}\nHANDED: {{env: VALUE_ASKED, as: file}}\n"
    )
    agent.environment |= {
        "HYBRIDCI_SECRETS_FILE": str(folder / "secrets.yml"),
        "VALUE_ASKED": ASKED,
        "VALUE_UNASKED": UNASKED,
        "VALUE_PUBLIC": "public-9fK2mQ7zLp40",
        "DEPLOY_TOKEN": TOLD,
    }
    return agent


async def test_an_agent_shows_no_secret_in_its_environment(
    lone: AgentProcess, tmp_path: Path, starter: Client, repository: Repository
) -> None:
    """Not even to root, who reads /proc of everybody; and it writes no core file."""
    with_secrets_of_its_own(lone, tmp_path).start()
    await asyncio.to_thread(lone.wait_for_log, " works for pool ")
    shown = environ(lone.ps.pid)
    assert b"HYBRIDCI_AGENT_POOL=" in shown
    for name, value in {
        "HYBRIDCI_API_KEY": KEY,
        "VALUE_ASKED": ASKED,
        "VALUE_UNASKED": UNASKED,
        "DEPLOY_TOKEN": TOLD,
    }.items():
        assert value.encode() not in shown, name
    for child in lone.ps.children(recursive=True):
        assert KEY.encode() not in environ(child.pid)
    given = repository.attempt(f'test "$ASKED" = "{ASKED[:5]}""{ASKED[5:]}"', pool=lone.pool, secrets=["ASKED"])
    assert (await result_of(starter, given)).outcome is Outcome.SUCCEEDED, "it still has them"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to look at a process as another user")
async def test_a_step_of_the_same_user_cannot_look_into_the_agent(
    lone: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    """As root without root's rights, for that is how a user sees a process of its own."""
    lone.start()
    await asyncio.to_thread(lone.wait_for_log, " works for pool ")
    pid = lone.ps.pid
    look = f"for f in environ mem maps fd/0; do cat /proc/{pid}/$f >/dev/null 2>&1 && echo READ $f; done; true"
    seen = repository.attempt(f"setpriv --bounding-set=-all --inh-caps=-all bash -c '{look}'", pool=lone.pool)
    assert (await result_of(starter, seen)).outcome is Outcome.SUCCEEDED
    await eventually(lambda: api.log(seen.job_id).final, "the log")
    assert b"READ " not in api.log(seen.job_id).data.replace(look.encode(), b"")


async def test_what_nobody_asked_for_is_masked_in_every_log(
    lone: AgentProcess, tmp_path: Path, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    """A step can come by it in other ways: here it is in the commands themselves."""
    with_secrets_of_its_own(lone, tmp_path).start()
    said = " ".join((UNASKED, FILED, TOLD, KEY, TOKEN, "public-9fK2mQ7zLp40"))
    none = repository.attempt(f"cat <<'E' | sed s/_//\n_{said}\nE", pool=lone.pool)
    some = repository.attempt(f"cat <<'E' | sed s/_//\n_{said}\nE", pool=lone.pool, secrets=["ASKED"])
    for attempt in (none, some):
        assert (await result_of(starter, attempt)).outcome is Outcome.SUCCEEDED
        await eventually(lambda job_id=attempt.job_id: api.log(job_id).final, "the log")
        log = api.log(attempt.job_id).data
        assert b"\n*** *** *** *** *** public-9fK2mQ7zLp40\n" in log, log


@pytest.fixture
def passable(lone: AgentProcess, tmp_path: Path) -> Iterator[AgentProcess]:
    """The agent's folder is where another user can get to, and so are the repositories."""
    folder = Path(tempfile.mkdtemp(prefix="hybridci-job-user-", dir="/var/tmp"))
    folder.chmod(0o711)
    lone.directory = folder / "a"
    lone.environment["HYBRIDCI_AGENT_JOB_USER"] = NOBODY
    yield with_secrets_of_its_own(lone, tmp_path)
    lone.ensure_dead()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which alone may run steps as another user")
async def test_steps_run_as_another_user_and_see_nothing_of_the_agents(
    passable: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository, tmp_path: Path
) -> None:
    passable.start()
    await asyncio.to_thread(passable.wait_for_log, " works for pool ")
    state, pid = passable.directory, passable.ps.pid
    reach = " ".join(
        f"'{command}'"
        for command in (
            f"cat {tmp_path}/secrets.yml", f"cat /proc/{pid}/environ", f"ls {state}", f"ls {state}/attempts",
            f"ls {state}/git", "cat ../spool/*", "touch ../x", "touch ../scripts/x", f"kill -0 {pid}",
            "id -G | grep -qw 0", "cat /etc/shadow",
        )
    )  # fmt: skip
    attempt = repository.attempt(
        'id -un; echo "$USER $LOGNAME"; echo mine > new.txt; echo more >> hello.txt; touch "$HOME/h" "$TMPDIR/t"',
        "git log --format=%s -1; git status --short; git -c user.name=n -c user.email=n@x commit -qam x",
        f'test "$(cat "$HANDED")" = "{ASKED[:5]}""{ASKED[5:]}" && python3 -c "import subprocess,os;'
        'print(len(subprocess.check_output([\'cat\', os.environ[\'HANDED\']])))"',
        f"for c in {reach}; do if bash -c \"$c\" >/dev/null 2>&1; then echo REACHED; exit 9; fi; done",
        "ln -s /etc/shadow out.txt; (setsid sleep 300 &) ; sleep 0.1",
        pool=passable.pool,
        secrets=["HANDED"],
        artifacts=["new.txt", "out.txt"],
    )  # fmt: skip
    result = await result_of(starter, attempt)
    await eventually(lambda: api.log(attempt.job_id).final, "the log")
    log = api.log(attempt.job_id).data.decode()
    assert (result.outcome, result.exit_code) == (Outcome.SUCCEEDED, 0), log
    assert "\nnobody\nnobody nobody\n" in log
    assert "\nfirst\n M hello.txt\n?? new.txt\n" in log
    assert f"\n{len(ASKED)}\n" in log
    assert [each.path for each in result.artifacts] == ["new.txt"]
    await eventually(lambda: not _of_nobody(passable), "the end of what it left behind")
    await eventually(lambda: not list((state / "attempts").iterdir()), "the removal of its folders")
    assert await asyncio.to_thread(passable.end) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which alone may run steps as another user")
async def test_a_step_of_another_user_is_ended_when_its_job_is_cancelled_or_its_agent_dies(
    passable: AgentProcess, starter: Client, api: ControlPlaneServer, repository: Repository
) -> None:
    passable.start()
    for end in ("cancel", "kill"):
        attempt = repository.attempt("echo begun; sleep 300 & sleep 300", pool=passable.pool)
        handle = await begin(starter, attempt)
        await eventually(lambda job_id=attempt.job_id: b"begun" in api.log(job_id).data, "the step")
        if end == "cancel":
            await handle.cancel()
        else:
            passable.running.kill()
            await asyncio.to_thread(passable.running.wait, 10)
        await eventually(lambda: not _sleeping(), f"the end after {end}")


@pytest.mark.parametrize(
    ("user", "why"), [("no-such-user", "no user of this host"), ("root", "another user than root")]
)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root; for another user the setting is refused as a whole")
def test_an_agent_does_not_start_with_a_user_that_it_cannot_use(lone: AgentProcess, user: str, why: str) -> None:
    lone.environment["HYBRIDCI_AGENT_JOB_USER"] = user
    assert lone.start().running.wait(20) == 2
    assert why in lone.log.read_text()


def environ(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def _of_nobody(agent: AgentProcess) -> list[Any]:
    return [each for each in agent.ps.children(recursive=True) if each.username() == NOBODY]


def _sleeping() -> bool:
    return any(
        each.info["username"] == NOBODY and each.info["cmdline"] == ["sleep", "300"]
        for each in psutil.process_iter(["username", "cmdline"])
    )
