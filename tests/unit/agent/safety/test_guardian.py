"""Agents that are killed or hang, and what ends their jobs."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from agent.safety.guardian import Guardian
from agent.safety.guardian_main import boot_clock
from tests.unit.processes import alive, pid_in, until

AGENT = """
import asyncio, sys
from pathlib import Path
from agent.safety.guardian import Guardian
from agent.steps.process import StopSignal, run_process

async def main():
    folder = Path(sys.argv[1])
    guardian = Guardian()
    await guardian.start()
    guardian.register("killed-1")
    (folder / "guardian.new").write_text(str(guardian.pid))
    (folder / "guardian.new").rename(folder / "guardian")
    script = '''
      (trap "" INT TERM HUP; echo $BASHPID > deaf.new; mv deaf.new deaf; while :; do sleep 0.1; done) &
      setsid bash -c 'echo $$ > escaped.new; mv escaped.new escaped; exec sleep 1000' < /dev/null > /dev/null 2>&1 &
      (env -i sleep 1000 & echo $! > nameless.new; mv nameless.new nameless)
      echo $$ > main.new; mv main.new main; sleep 1000
    '''
    await run_process(["bash", "-c", script], cwd=folder, env={"PATH": "/usr/bin:/bin"}, on_output=lambda data: None,
        stop=StopSignal(), timeout_seconds=None, cookie="killed-1",
        on_started=lambda group: guardian.register("killed-1", group))

asyncio.run(main())
"""
JOB = ("deaf", "escaped", "nameless", "main")


async def killed_agent(folder: Path, *, kill: signal.Signals) -> dict[str, int]:
    """Start an agent with a job, kill it, and return the pids of the job's processes and the guardian."""
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AGENT, str(folder), start_new_session=True, stderr=asyncio.subprocess.PIPE
    )
    await until(lambda: all((folder / name).exists() for name in (*JOB, "guardian")), what="the job's start")
    pids = {name: pid_in(folder / name) for name in (*JOB, "guardian")}
    assert all(alive(pid) for pid in pids.values())
    agent.send_signal(kill)
    await agent.communicate()
    return pids


async def test_kill_9_of_an_agent_ends_its_jobs(tmp_path: Path) -> None:
    pids = await killed_agent(tmp_path, kill=signal.SIGKILL)
    await until(lambda: not any(alive(pid) for pid in pids.values()), what="the end of the job and the guardian")


@pytest.fixture
async def guardian() -> AsyncIterator[Guardian]:
    guardian = Guardian()
    await guardian.start()
    yield guardian
    await guardian.close()


async def test_what_was_opened_to_the_steps_user_is_closed_when_the_agent_is_gone(tmp_path: Path) -> None:
    guardian, folders = Guardian(), [tmp_path / name for name in ("kept", "ended", "elsewhere", "a link")]
    for folder in folders[:3]:
        folder.mkdir()
        folder.chmod(0o711)
    folders[3].symlink_to(folders[2])
    guardian.register("lost-1")
    guardian.register("ended-1")
    guardian.close_to_others("lost-1", [folders[0], folders[3], tmp_path / "gone"])
    await guardian.start()  # one that is started anew hears of it as well
    guardian.close_to_others("ended-1", [folders[1]])
    guardian.close_to_others("nobody-1", [folders[2]])
    guardian.unregister("ended-1")
    await guardian.close()
    assert [oct(folder.stat().st_mode & 0o777) for folder in folders[:3]] == ["0o700", "0o711", "0o711"]


def sleeper(cookie: str) -> subprocess.Popen[bytes]:
    return session("sleep", "1000", HYBRIDCI_ATTEMPT=cookie)


def session(*command: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env={"PATH": "/usr/bin:/bin", **environment}, start_new_session=True)


async def test_closing_ends_what_is_registered_and_nothing_else() -> None:
    guardian = Guardian()
    await guardian.start()
    ours, forgotten, other = sleeper("ours-1"), sleeper("forgotten-1"), sleeper("other-1")
    try:
        guardian.register("ours-1")
        guardian.register("forgotten-1", forgotten.pid)
        guardian.unregister("forgotten-1")
        pid = guardian.pid
        await guardian.close()
        assert ours.wait(timeout=60) == -signal.SIGTERM
        assert (forgotten.poll(), other.poll()) == (None, None)
        assert pid is not None
        assert not alive(pid)
        assert guardian.pid is None
    finally:
        for process in (ours, forgotten, other):
            process.kill()
            process.wait()


async def test_a_group_number_that_was_given_away_is_left_alone(guardian: Guardian) -> None:
    """The guardian knows a group by its leader's start time, not by its number alone."""
    from agent.safety import guardian_main

    innocent = sleeper("innocent-1")
    try:
        assert guardian_main.find(set(), {innocent.pid: "12345"}) == []
        started = guardian_main.start_time(innocent.pid)
        assert guardian_main.find(set(), {innocent.pid: started}) == [innocent.pid]
    finally:
        innocent.kill()
        innocent.wait()


async def test_a_guardian_that_dies_is_replaced_and_told_everything(guardian: Guardian) -> None:
    job = sleeper("replaced-1")
    try:
        guardian.register("replaced-1", job.pid)
        first = guardian.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: guardian.pid not in {None, first}, what="a new guardian")
        await guardian.close()
        assert job.wait(timeout=60) == -signal.SIGTERM
    finally:
        job.kill()
        job.wait()


async def test_an_attempt_that_is_not_heard_of_in_time_is_ended_and_no_other(guardian: Guardian) -> None:
    processes = late, renewed, unfenced = [sleeper(cookie) for cookie in ("late-1", "renewed-1", "unfenced-1")]
    try:
        now = boot_clock()
        for cookie in ("late-1", "renewed-1", "unfenced-1"):
            guardian.register(cookie)
        for cookie in ("late-1", "renewed-1"):
            guardian.fence(cookie, now + 0.5, now + 20)
        guardian.fence("renewed-1", now + 100, now + 105)
        guardian.fence("unknown-1", now, now)
        assert await asyncio.to_thread(late.wait, 5) == -signal.SIGTERM
        assert 0.5 <= boot_clock() - now < 3
        processes.append(again := sleeper("late-1"))  # of one that nobody saw
        assert await asyncio.to_thread(again.wait, 15) == -signal.SIGTERM
        assert (renewed.poll(), unfenced.poll()) == (None, None)
        guardian.fence("renewed-1", now, now)
        assert await asyncio.to_thread(renewed.wait, 5) in {-signal.SIGTERM, -signal.SIGKILL}
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def test_who_does_not_heed_is_killed_at_the_second_time(guardian: Guardian, tmp_path: Path) -> None:
    script = f"trap 'touch {tmp_path}/asked' TERM; touch {tmp_path}/ready; while :; do sleep 0.05; done"
    deaf = session("bash", "-c", script)
    try:
        await until((tmp_path / "ready").exists)
        guardian.register("deaf-1", deaf.pid)
        now = boot_clock()
        guardian.fence("deaf-1", now + 0.2, now + 3)
        await until((tmp_path / "asked").exists, what="SIGTERM")
        assert await asyncio.to_thread(deaf.wait, 20) == -signal.SIGKILL
        assert boot_clock() - now >= 3
    finally:
        deaf.kill()
        deaf.wait()


async def test_a_replaced_guardian_is_told_the_times_too(guardian: Guardian) -> None:
    job = sleeper("told-1")
    try:
        guardian.register("told-1")
        now = boot_clock()
        guardian.fence("told-1", now + 1.5, now + 20)
        first = guardian.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert await asyncio.to_thread(job.wait, 20) == -signal.SIGTERM
        assert guardian.pid != first
        assert boot_clock() - now >= 1.5
    finally:
        job.kill()
        job.wait()


async def test_a_guardian_that_does_not_read_is_replaced(guardian: Guardian) -> None:
    first = guardian.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    for number in range(2000):
        guardian.register(f"{'x' * 50}-{number}")
        guardian.unregister(f"{'x' * 50}-{number}")
    await until(lambda: guardian.pid not in {None, first}, what="a new guardian")


async def test_it_is_small_and_survives_the_signals_of_a_terminal(guardian: Guardian) -> None:
    pid = guardian.pid
    assert pid is not None
    await until(lambda: b"guardian_main" in Path(f"/proc/{pid}/cmdline").read_bytes())
    await until(lambda: _ignores(pid, signal.SIGTERM), what="the guardian's start")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    guardian.register("still-1")
    assert guardian.pid == pid
    assert alive(pid)
    assert os.getsid(pid) == pid
    assert psutil.Process(pid).memory_info().rss < 16_000_000


def _ignores(pid: int, number: signal.Signals) -> bool:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigIgn:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False
