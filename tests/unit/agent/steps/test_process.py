"""Real commands that behave badly."""

import asyncio
import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from agent.steps.process import EndReason, Kept, SpawnError, StopSignal, cookie_of, run_process
from tests.unit.processes import ENV, alive, at_rest, bash, pid_in, until

ESCAPES = {
    "background": "sleep 1000 & echo $! > pid",
    "nohup": "nohup sleep 1000 > /dev/null 2>&1 & echo $! > pid",
    "setsid": "setsid bash -c 'echo $$ > pid; exec sleep 1000' & while [ ! -s pid ]; do sleep 0.01; done",
    "setsid without the pipe": (
        "setsid bash -c 'echo $$ > pid; exec sleep 1000' > /dev/null 2>&1 < /dev/null &"
        " while [ ! -s pid ]; do sleep 0.01; done"
    ),
    "double fork": (
        "(setsid bash -c '(echo $BASHPID > pid; exec sleep 1000) & disown') > /dev/null 2>&1;"
        " while [ ! -s pid ]; do sleep 0.01; done"
    ),
    "job control": "set -m; sleep 1000 & echo $! > pid",
    "deaf": (
        "bash -c 'trap \"\" INT TERM HUP; echo $$ > pid; while :; do sleep 1; done' &"
        " while [ ! -s pid ]; do sleep 0.01; done"
    ),
}
NAMELESS = (
    "env -i setsid bash -c 'echo $$ > pid; exec -a x sleep 1000' > /dev/null 2>&1 &"
    " while [ ! -s pid ]; do sleep 0.01; done"
)
ADOPTING_AGENT = """
import asyncio, json, sys
from pathlib import Path
from agent.steps import orphans
from agent.steps.process import StopSignal, run_process

async def main():
    assert orphans.adopt_orphans(exclusive=True)
    ends = {}
    for number, script in enumerate(json.load(sys.stdin)):
        folder = Path(sys.argv[1], str(number))
        folder.mkdir()
        end = await run_process(["bash", "-c", script], cwd=folder, env={"PATH": "/usr/bin:/bin"},
            on_output=lambda data: None, stop=StopSignal(), timeout_seconds=30, cookie=f"adopt-{number}")
        ends[number] = end.exit_code
    children = Path(f"/proc/self/task/{__import__('os').getpid()}/children").read_text().split()
    print(json.dumps([ends, children]))

asyncio.run(main())
"""


@pytest.fixture
def cookie() -> str:
    return cookie_of(str(uuid.uuid4()), 1)


@pytest.mark.parametrize("escape", ESCAPES)
async def test_nothing_outlives_its_step(escape: str, tmp_path: Path, cookie: str) -> None:
    began = time.monotonic()
    end = await bash(ESCAPES[escape], tmp_path, cookie=cookie)
    assert (end.exit_code, end.reason) == (0, EndReason.EXITED)
    assert time.monotonic() - began < 30
    assert not alive(pid_in(tmp_path / "pid"))


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_an_adopting_agent_ends_escaped_processes_and_leaves_no_zombie(tmp_path: Path) -> None:
    many = "for i in $(seq 50); do setsid true & done; wait; (setsid true &) ; exit 3"
    scripts = [*ESCAPES.values(), NAMELESS, many]
    done = subprocess.run(
        [sys.executable, "-c", ADOPTING_AGENT, str(tmp_path)],
        input=json.dumps(scripts), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ends, children = json.loads(done.stdout)
    assert list(ends.values()) == [0] * (len(scripts) - 1) + [3]
    assert children == []
    for number in range(len(scripts) - 1):
        assert not alive(pid_in(tmp_path / str(number) / "pid")), scripts[number]


async def test_a_process_in_a_substitution_may_flush(tmp_path: Path, cookie: str) -> None:
    received = bytearray()
    script = "exec > >(while read -r line; do sleep 0.1; echo got $line; done); echo one; echo two"
    await bash(script, tmp_path, cookie=cookie, on_output=received.extend)
    assert bytes(received) == b"got one\ngot two\n"


@pytest.mark.parametrize(
    ("script", "exit_code", "number"),
    [("exit 0", 0, None), ("exit 7", 7, None), ("kill -TERM $$", 143, 15), ("kill -KILL $$", 137, 9)],
)
async def test_exit_codes(script: str, exit_code: int, number: int | None, tmp_path: Path, cookie: str) -> None:
    before = time.time() * 1000
    end = await bash(script, tmp_path, cookie=cookie)
    assert (end.exit_code, end.signal, end.reason) == (exit_code, number, EndReason.EXITED)
    assert before - 1 <= end.started_at <= end.finished_at <= time.time() * 1000 + 1


async def test_output_is_binary_safe_and_in_order(tmp_path: Path, cookie: str) -> None:
    received = bytearray()
    await bash(
        r"printf 'a\000\377\376b'; printf 'c' >&2; printf 'd'", tmp_path, cookie=cookie, on_output=received.extend
    )
    assert bytes(received) == b"a\0\xff\xfebcd"


async def test_200_mb_of_output_in_bounded_memory(tmp_path: Path, cookie: str) -> None:
    total = 0

    def count(data: bytes) -> None:
        nonlocal total
        total += len(data)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await bash("head -c 200000000 /dev/zero", tmp_path, cookie=cookie, on_output=count)
    assert total == 200_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


async def test_a_slow_reader_slows_the_command_and_loses_nothing(tmp_path: Path, cookie: str) -> None:
    calls, received = 0, 0
    go_on = asyncio.Event()

    async def slow(data: bytes) -> None:
        nonlocal calls, received
        calls += 1
        await go_on.wait()
        received += len(data)

    script = "echo $$ > pid.new; mv pid.new pid; exec head -c 1000000 /dev/zero"
    running = asyncio.create_task(bash(script, tmp_path, cookie=cookie, on_output=slow))
    await until((tmp_path / "pid").exists)
    command = psutil.Process(pid_in(tmp_path / "pid"))
    await until(
        lambda: calls > 0 and command.name() == "head" and command.status() == psutil.STATUS_SLEEPING,
        what="a command that waits for its reader",
    )
    for _ in range(100):
        await asyncio.sleep(0)  # its pipe is full: whoever would read on, would do it now
    assert calls == 1
    go_on.set()
    await running
    assert received == 1_000_000


async def test_what_the_reader_raises_ends_the_command(tmp_path: Path, cookie: str) -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        await bash("echo $$ > pid; echo x; sleep 1000", tmp_path, cookie=cookie, on_output=full)
    assert not alive(pid_in(tmp_path / "pid"))


async def test_stop_interrupts_the_group_and_lets_it_clean_up(tmp_path: Path, cookie: str) -> None:
    received = bytearray()
    stop = StopSignal()
    script = "trap 'echo cleaned; exit 5' INT; touch ready; sleep 1000 & wait"
    running = asyncio.create_task(bash(script, tmp_path, cookie=cookie, stop=stop, on_output=received.extend))
    await until((tmp_path / "ready").exists)
    stop.request()
    end = await running
    assert (end.exit_code, end.reason, bytes(received)) == (5, EndReason.STOPPED, b"cleaned\n")


DEAF = "trap '' INT TERM; echo $$ > pid.new; mv pid.new pid; while :; do sleep 0.1; done"


async def test_a_deaf_command_is_killed_after_its_grace(tmp_path: Path, cookie: str) -> None:
    stop = StopSignal()
    running = asyncio.create_task(bash(DEAF, tmp_path, cookie=cookie, stop=stop, grace_seconds=0.5))
    await until((tmp_path / "pid").exists)
    began = time.monotonic()
    stop.request()
    end = await running
    assert (end.signal, end.reason) == (signal.SIGKILL, EndReason.STOPPED)
    assert 0.4 < time.monotonic() - began < 30
    assert not alive(pid_in(tmp_path / "pid"))


async def test_the_grace_can_be_shortened_while_it_runs(tmp_path: Path, cookie: str) -> None:
    stop = StopSignal()
    script = DEAF.replace("''", "'touch interrupted'")
    running = asyncio.create_task(bash(script, tmp_path, cookie=cookie, stop=stop, grace_seconds=60))
    await until((tmp_path / "pid").exists)
    stop.request()
    await until((tmp_path / "interrupted").exists)
    assert not running.done()
    began = time.monotonic()
    stop.request(grace_seconds=0.3)
    stop.request(grace_seconds=100)  # never longer again
    assert (await running).reason is EndReason.STOPPED
    assert time.monotonic() - began < 30


async def test_a_timeout_ends_the_command(tmp_path: Path, cookie: str) -> None:
    end = await bash("echo $$ > pid; sleep 1000", tmp_path, cookie=cookie, timeout_seconds=2)
    assert (end.exit_code, end.signal, end.reason) == (130, signal.SIGINT, EndReason.TIMED_OUT)
    assert not alive(pid_in(tmp_path / "pid"))


async def test_a_stop_asked_before_the_start_ends_it_at_once(tmp_path: Path, cookie: str) -> None:
    stop = StopSignal()
    stop.request(grace_seconds=1)
    assert (await bash("sleep 1000", tmp_path, cookie=cookie, stop=stop)).reason is EndReason.STOPPED


async def test_cancelling_the_task_kills_everything(tmp_path: Path, cookie: str) -> None:
    running = asyncio.create_task(bash(DEAF, tmp_path, cookie=cookie))
    await until((tmp_path / "pid").exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not alive(pid_in(tmp_path / "pid"))


async def test_an_interrupt_reaches_jobs_of_an_agent_that_ignores_it(tmp_path: Path, cookie: str) -> None:
    earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as after `hybridci agent &` in a script
    try:
        end = await bash("sleep 1000", tmp_path, cookie=cookie, timeout_seconds=0.2, grace_seconds=5)
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert end.signal == signal.SIGINT


async def test_the_cookie_is_in_every_process_and_descriptors_are_not(tmp_path: Path, cookie: str) -> None:
    received = bytearray()
    secret, other = os.pipe()
    os.set_inheritable(secret, True)
    try:
        script = f"echo $HYBRIDCI_ATTEMPT; [ -e /proc/$$/fd/{secret} ] || echo closed"
        await bash(script, tmp_path, cookie=cookie, on_output=received.extend)
    finally:
        os.close(secret)
        os.close(other)
    assert received.decode().split() == [cookie, "closed"]


async def test_commands_that_cannot_be_started(tmp_path: Path, cookie: str) -> None:
    async def start(*argv: str, cwd: Path = tmp_path) -> SpawnError:
        with pytest.raises(SpawnError) as caught:
            await run_process(
                argv, cwd=cwd, env=ENV, on_output=lambda _: None, stop=StopSignal(), timeout_seconds=1, cookie=cookie
            )
        return caught.value

    before = len(os.listdir("/proc/self/fd"))
    assert (await start("no-such-program")).exit_code == 127
    assert (await start(str(tmp_path))).exit_code == 126
    assert (await start("true", "x" * 3_000_000)).exit_code == 126
    assert "does not exist" in str(await start("true", cwd=tmp_path / "gone"))
    assert len(os.listdir("/proc/self/fd")) == before


async def test_many_at_once_leak_nothing(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    ends = await asyncio.gather(*(bash(f"exit {n}", tmp_path, cookie=f"many-{n}") for n in range(20)))
    assert [end.exit_code for end in ends] == list(range(20))
    assert len(os.listdir("/proc/self/fd")) == before


async def test_the_grace_is_the_whole_groups_also_of_those_that_write_nowhere(tmp_path: Path, cookie: str) -> None:
    """A command in the background ignores SIGINT: it is told when its shell has died, and had 2 s then."""
    stop = StopSignal()
    slow = (
        "import signal, sys, time\n"
        "def end(*_):\n    open('told', 'a').write('x'); time.sleep(2.5); open('saved', 'w').close(); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); open('ready', 'w').close(); time.sleep(1000)"
    )
    script = f"python3 -c {shlex.quote(slow)} > /dev/null 2>&1 & wait $!"
    running = asyncio.create_task(bash(script, tmp_path, cookie=cookie, stop=stop))
    await until((tmp_path / "ready").exists)
    stop.request()
    end = await running
    assert (end.reason, end.left) == (EndReason.STOPPED, ())
    assert (tmp_path / "saved").exists()
    assert (tmp_path / "told").read_text() == "x", "a second one would begin its cleaning up again"


@pytest.mark.parametrize(
    ("trap", "said"),
    [
        ("trap 'echo term; exit 7' TERM", "term"),
        ("trap 'echo int; exit 7' INT", "int"),
        ("trap 'echo int' INT; trap 'echo exit; exit 7' EXIT", "int exit"),
        ("trap 'echo exit; exit 7' EXIT", "exit"),
    ],
)
async def test_whatever_a_script_traps_its_trap_runs(trap: str, said: str, tmp_path: Path, cookie: str) -> None:
    received = bytearray()
    stop = StopSignal()
    script = f"{trap}; touch ready; sleep 1000; exit 0"
    pids: list[int] = []
    running = asyncio.create_task(
        bash(script, tmp_path, cookie=cookie, stop=stop, on_output=received.extend, on_started=pids.append)
    )
    await until((tmp_path / "ready").exists)
    await until(lambda: at_rest(pids[0]))
    stop.request()
    assert (await running).reason is EndReason.STOPPED
    assert received.decode().split() == said.split()


async def test_a_script_below_the_steps_shell_gets_what_it_traps(tmp_path: Path, cookie: str) -> None:
    (tmp_path / "deploy.sh").write_text("trap 'echo undone; exit 3' TERM; touch ready; sleep 1000; exit 0\n")
    received = bytearray()
    stop = StopSignal()
    script = "sh deploy.sh"
    pids: list[int] = []
    command = f"{script}; exit $?"
    running = asyncio.create_task(
        bash(command, tmp_path, cookie=cookie, stop=stop, on_output=received.extend, on_started=pids.append)
    )
    await until((tmp_path / "ready").exists)
    await until(lambda: at_rest(pids[0]))
    stop.request()
    await running
    assert bytes(received) == b"undone\n"


async def test_the_signal_can_be_said(tmp_path: Path, cookie: str) -> None:
    received = bytearray()
    stop = StopSignal()
    script = "trap 'echo usr1; exit 4' USR1; touch ready; sleep 1000 & wait"
    running = asyncio.create_task(
        bash(script, tmp_path, cookie=cookie, stop=stop, on_output=received.extend, interrupt=signal.SIGUSR1)
    )
    await until((tmp_path / "ready").exists)
    stop.request()
    assert ((await running).exit_code, bytes(received)) == (4, b"usr1\n")


async def test_what_reads_from_the_command_may_finish(tmp_path: Path, cookie: str) -> None:
    """The file was lost, and the step a success."""
    end = await bash("echo data > >(sleep 1; cat > out.txt)", tmp_path, cookie=cookie)
    assert (tmp_path / "out.txt").read_text() == "data\n"
    assert (end.exit_code, end.left) == (0, ())


async def test_what_is_ended_is_told(tmp_path: Path, cookie: str) -> None:
    end = await bash("sleep 1000 & sleep 1000 > /dev/null & sleep 0.3", tmp_path, cookie=cookie)
    assert sorted(member.name for member in end.left) == ["sleep", "sleep"]
    assert not any(alive(member.pid) for member in end.left)
    stop = StopSignal()
    running = asyncio.create_task(bash(DEAF, tmp_path, cookie=cookie, stop=stop))
    await until((tmp_path / "pid").exists)
    stop.request(grace_seconds=0.2)
    assert "bash" in [member.name for member in (await running).left]
    assert (await bash("true", tmp_path, cookie=cookie)).left == ()


async def test_what_is_kept_runs_on_until_the_end(tmp_path: Path, cookie: str) -> None:
    received = bytearray()
    kept = Kept()
    server = (
        "trap 'echo bye > ended; exit 0' TERM; echo $$ > pid.new; mv pid.new pid;"
        " while :; do echo beat; sleep 0.05; done"
    )
    begin = (
        f"setsid sleep 1000 & echo $! > escaped; bash -c {shlex.quote(server)} &"
        " until [ -e pid ]; do sleep 0.01; done; exit 3"
    )
    end = await bash(begin, tmp_path, cookie=cookie, kept=kept, on_output=received.extend)
    server_pid, escaped = pid_in(tmp_path / "pid"), pid_in(tmp_path / "escaped")
    assert (end.exit_code, end.left) == (3, ())
    beats = received.count(b"beat")
    assert (await bash("sleep 0.3 & sleep 0.2", tmp_path, cookie=cookie)).exit_code == 0
    assert alive(server_pid)
    assert alive(escaped)
    assert received.count(b"beat") > beats, "what it prints is not lost, and does not end it"
    left = await kept.end(5)
    assert {server_pid, escaped} <= {member.pid for member in left}
    assert (tmp_path / "ended").exists(), "it could clean up"
    assert not alive(server_pid)
    assert not alive(escaped)
    assert await kept.end(5) == []


async def test_all_that_is_kept_is_told_to_end_at_once(tmp_path: Path, cookie: str) -> None:
    kept = Kept()
    for name, script in {
        "slow": "trap '' TERM; echo $$ > slow; until [ -e told ]; do sleep 0.02; done",
        "quick": "trap 'touch told; exit 0' TERM; echo $$ > quick; while :; do sleep 0.02; done",
    }.items():
        begin = f"bash -c {shlex.quote(script)} & until [ -s {name} ]; do sleep 0.01; done"
        assert (await bash(begin, tmp_path, cookie=cookie, kept=kept)).exit_code == 0
    await kept.end(30)
    assert (tmp_path / "told").exists(), "one that is slow to end takes nobody's grace"


async def test_one_whose_output_nobody_takes_does_not_save_the_others(tmp_path: Path, cookie: str) -> None:
    class Full(Exception):
        pass

    def refuse(_: bytes) -> None:
        raise Full

    kept = Kept()
    talk = "bash -c 'until [ -e talk ]; do sleep 0.01; done; echo a; touch said; sleep 1000' & echo $! > one"
    assert (await bash(talk, tmp_path, cookie=cookie, kept=kept, on_output=refuse)).exit_code == 0
    assert (await bash("sleep 1000 & echo $! > two", tmp_path, cookie=cookie, kept=kept)).exit_code == 0
    (tmp_path / "talk").touch()
    await until((tmp_path / "said").exists)
    with pytest.raises(Full):
        await kept.end(0)
    assert [alive(pid_in(tmp_path / name)) for name in ("one", "two")] == [False, False]


async def test_nothing_to_keep_is_a_step_like_any_other(tmp_path: Path, cookie: str) -> None:
    kept = Kept()
    assert (await bash("exit 5", tmp_path, cookie=cookie, kept=kept)).exit_code == 5
    assert await kept.end(5) == []
