"""The steps of one attempt, in order: which of them run, when they are stopped, and what is said of each in the log.

A step runs when all before it succeeded, unless it says otherwise (``when``). Those that run after a failure, a timeout
or a cancel have AFTER_SECONDS together, which neither the job's timeout nor a cancel shortens; only when the attempt is
not this agent's any more, or the agent ends, they end too.
Deliberately not here: how a command runs (``steps.executors``) and the attempt's other phases (``run``).
"""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.attempt.bookmark import Bookmark
from agent.attempt.files import Files
from agent.attempt.host import Host
from agent.attempt.leftovers import record_running
from agent.attempt.progress import AttemptProgress
from agent.attempt.verdict import GONE, Interruption, Verdict, folder_gone, interrupted, of_exception, of_step
from agent.hooks.folder import AFTER_STEP, BEFORE_STEP
from agent.hooks.running import HookRefused, Hooks
from agent.steps.environment import expanded, sealed_names
from agent.steps.executors import StepEnding
from agent.steps.hints import TAIL_BYTES, hint
from agent.steps.orphans import Member
from agent.steps.outputs import GIVEN, OUTPUT, SUMMARY, OutputsUnreadable, make_file, parse_outputs, read_file
from agent.steps.process import EndReason, Kept, ProcessEnd, StopSignal
from workflows.contracts.attempts import CANCEL_GRACE_SECONDS, MAX_OUTPUT_BYTES, MAX_OUTPUTS, AttemptInput
from workflows.contracts.fields import in_brief
from workflows.contracts.jobs import Step, StepResult
from workflows.contracts.statuses import Outcome
from workflows.contracts.workspace.step_rules import AFTER_SECONDS, Background, When

_KEPT_GRACE_SECONDS: Final = 3.0
"""At the job's end, for what a step left to run on."""
_MOST_NAMED: Final = 5

Say = Callable[[str], None]


class StepSequence:
    """``run`` it once; ``stop`` may come at any time. ``given`` is the attempt as it came, ``opened`` with its secrets.

    ``look`` is called before something that ended is judged: it may ``stop``. ``secret`` are the names of secrets;
    ``tells`` is whether a text holds one.
    """

    def __init__(
        self,
        host: Host,
        given: AttemptInput,
        opened: AttemptInput,
        files: Files,
        progress: AttemptProgress,
        *,
        env: Mapping[str, str],
        hooks: Hooks,
        secret: frozenset[str],
        tells: Callable[[str], bool],
        say: Say,
        look: Callable[[], None],
        bookmark: Bookmark | None = None,
    ) -> None:
        self._host, self._given, self._attempt, self._files, self._progress = host, given, opened, files, progress
        self._env, self._hooks, self._say, self._look, self._bookmark = env, hooks, say, look, bookmark
        self._tells = tells
        self._cookie = files.directory.cookie
        hidden = secret | sealed_names(given.env)
        self._known = {name: value for name, value in env.items() if name not in hidden}
        self._stop, self._kept = StopSignal(), Kept()
        self._summary: Path | None = None
        self._why: Interruption | None = None
        self._over = self._barred = False
        self._after_until: float | None = None

    @property
    def afterwards(self) -> bool:
        """Whether the attempt has failed, or was ended, and only steps run that run then too."""
        return self._after_until is not None

    def stop(self, why: Interruption, grace_seconds: float | None) -> None:
        """End the step that runs; what runs afterwards ends only with the attempt itself."""
        self._over = self._over or why in GONE or why is Interruption.AGENT_STOPPED
        if self._after_until is not None and not self._over:
            return
        self._why = self._why or why
        self._stop.request(grace_seconds=grace_seconds)

    async def run(self) -> Verdict:
        """All steps. The verdict is the first failure's."""
        verdict = Verdict(Outcome.SUCCEEDED, exit_code=0)
        done = self._finished_before()
        try:
            for number, step in enumerate(self._attempt.steps[done:], done):
                verdict = self._before(verdict)
                if not self._wanted(step, verdict):
                    self._progress.steps.append(StepResult(name=step.name))
                    continue
                ended, refused = await self._between_hooks(number, step)
                if verdict.outcome is Outcome.SUCCEEDED and ended is not None:
                    verdict = ended
                if refused is not None:
                    verdict = self._refused(verdict, refused)
                await self._remember(verdict)
        finally:
            await self._end_kept()
        self._read_summary()
        return verdict

    def _finished_before(self) -> int:
        """How many of the first steps an attempt that was lost has finished: their word counts as if they ran here."""
        saved = self._bookmark.saved if self._bookmark is not None else None
        if saved is None:
            return 0
        elsewhere = dict[str, bool | None](resumed=True, log_start=None, log_end=None)
        self._progress.steps += [step.model_copy(update=elsewhere) for step in saved.steps]
        self._progress.outputs = dict(saved.outputs)
        if saved.summary is not None and (file := self._file("summary-")) is not None:
            file.write_text(saved.summary)
            self._summary = file
        for number, step in enumerate(saved.steps, 1):
            self._say(f"[hybridci] Step {number}, {in_brief(step.name)!r}, is not run again.")
        return len(saved.steps)

    async def _remember(self, verdict: Verdict) -> None:
        if self._bookmark is None:
            return
        if verdict.outcome is Outcome.SUCCEEDED:
            self._read_summary(quietly=True)
            await self._bookmark.note(list(self._progress.steps), dict(self._progress.outputs), self._progress.summary)
        elif verdict.outcome is not Outcome.AGENT_LOST:
            self._bookmark.clear()

    def _before(self, verdict: Verdict) -> Verdict:
        if verdict.outcome is not Outcome.SUCCEEDED:
            return verdict
        if self._why is not None:
            return interrupted(self._why, self._attempt)
        newer = self._host.fences.overtaken(self._given.fence, self._given.deployment_id)
        if newer is None:
            return verdict
        self._over = True
        return of_exception(newer)

    def _wanted(self, step: Step, verdict: Verdict) -> bool:
        if verdict.outcome is Outcome.SUCCEEDED:
            return step.when is not When.FAILURE
        if step.when is When.SUCCESS or self._over or self._barred or verdict.outcome is Outcome.AGENT_ERROR:
            return False
        self._begin_after()
        if self._after_until is None or self._after_until > time.monotonic():
            return True
        self._say(
            f"[hybridci] Step {in_brief(step.name)!r} did not run: the {AFTER_SECONDS} s for such steps are over."
        )
        return False

    def _begin_after(self) -> None:
        if self._after_until is None:
            self._after_until = time.monotonic() + AFTER_SECONDS
            self._stop = StopSignal()

    async def _between_hooks(self, number: int, step: Step) -> tuple[Verdict | None, HookRefused | None]:
        """The step's verdict, as ``_one`` has it, and what a hook of the agent's operator has against the job."""
        facts = {"HYBRIDCI_STEP_NAME": step.name, "HYBRIDCI_STEP_INDEX": str(number)}
        try:
            await self._hooks.run(BEFORE_STEP, facts, stop=self._stop, most=self._left())
        except HookRefused as error:
            self._progress.steps.append(StepResult(name=step.name))
            return None, error
        if self._stop.requested:
            self._progress.steps.append(StepResult(name=step.name))
            return None if self._why is None else interrupted(self._why, self._attempt), None
        ended = await self._one(number, step)
        if self._over:
            return ended, None
        if self._why is not None:
            self._begin_after()
        result = self._progress.steps[-1]
        facts["HYBRIDCI_STEP_OUTCOME"] = str(result.outcome)
        facts["HYBRIDCI_STEP_EXIT_CODE"] = str(result.exit_code)
        try:
            await self._hooks.run(AFTER_STEP, facts, stop=self._stop, most=self._left())
        except HookRefused as error:
            return ended, error
        return ended, None

    def _refused(self, verdict: Verdict, error: HookRefused) -> Verdict:
        """No step runs after it. A failure that was there before stays the job's."""
        self._barred = True
        if verdict.outcome is not Outcome.SUCCEEDED:
            self._say(f"[hybridci] {error}")
            return verdict
        return of_exception(error)

    def _left(self) -> float | None:
        """Seconds for what runs after the attempt has failed; None before that."""
        return None if self._after_until is None else self._after_until - time.monotonic()

    async def _one(self, number: int, step: Step) -> Verdict | None:
        """Run it. None when what it did changes nothing for the attempt."""
        if self._attempt.expand:
            step = expanded(step, self._known, sealed=sealed_names(self._given.steps[number].env))
        begun, directory = self._files.log.size, self._files.directory
        tail = _Tail(self._files.log.write)
        output = self._file("output-")
        end = await self._execute(step, tail, output)
        self._look()
        why = None if self._after_until is not None and not self._over else self._why
        ended = of_step(step, end, why, self._attempt)
        if ended.outcome is Outcome.FAILED and not directory.exists():
            ended = folder_gone(directory.root, end.exit_code)
        until = self._files.log.size
        self._tell(step, end, ended, tail.data)
        self._take_outputs(step, output)
        self._progress.steps.append(
            StepResult(
                name=step.name,
                outcome=ended.outcome,
                exit_code=end.exit_code,
                started_at=end.started_at,
                finished_at=end.finished_at,
                log_start=begun,
                log_end=until,
            )
        )
        return ended if end.reason is EndReason.STOPPED or why in GONE or not step.continue_on_error else None

    def _file(self, prefix: str) -> Path | None:
        """None where the attempt's folder has been removed: the step's end says it."""
        with suppress(FileNotFoundError):
            return make_file(self._files.directory.scripts, prefix, self._host.job_user)
        return None

    def _said_in_files(self, output: Path | None) -> dict[str, str]:
        self._summary = self._summary or self._file("summary-")
        given = {f"{GIVEN}{name}": text for name, text in self._progress.outputs.items()}
        files = {OUTPUT: output, SUMMARY: self._summary}
        return {**given, **{name: str(path) for name, path in files.items() if path is not None}}

    def _take_outputs(self, step: Step, output: Path | None) -> None:
        try:
            found = {} if output is None or not output.exists() else parse_outputs(read_file(output))
            if any(map(self._tells, found)):  # values are masked, and a mask is no name
                raise OutputsUnreadable("a name in it holds a secret of the job")
            together = {**self._progress.outputs, **found}
            if len(together) > MAX_OUTPUTS or sum(len(each.encode()) for each in together.values()) > MAX_OUTPUT_BYTES:
                raise OutputsUnreadable(f"a job has {MAX_OUTPUTS} outputs of 64 KiB together at most")
        except OutputsUnreadable as error:
            self._say(f"[hybridci] What step {in_brief(step.name)!r} wrote to {OUTPUT} is not kept: {error}.")
        else:
            self._progress.outputs = together

    def _read_summary(self, *, quietly: bool = False) -> None:
        if self._summary is None or not self._summary.exists():
            return
        try:
            self._progress.summary = read_file(self._summary) or None
        except OutputsUnreadable as error:
            if quietly:
                return
            self._say(f"[hybridci] What was written to {SUMMARY} is not kept: {error}.")

    async def _execute(self, step: Step, tail: "_Tail", output: Path | None) -> ProcessEnd:
        def started(group: int) -> None:
            self._host.guardian.register(self._cookie, group)
            record_running(self._files.directory, group)

        self._files.log.line(f"--- {step.name}")
        end = await self._host.executor.run(
            step,
            workspace=self._files.directory.workspace,
            scripts=self._files.directory.scripts,
            env={**self._env, **self._said_in_files(output)},
            on_output=tail.write,
            stop=self._stop,
            timeout_seconds=self._seconds(step),
            cookie=self._cookie,
            on_started=started,
            ending=self._ending(step),
        )
        self._files.log.end_output()
        return end

    def _seconds(self, step: Step) -> float | None:
        if self._after_until is None:
            return step.timeout_seconds
        left = max(1.0, self._after_until - time.monotonic())
        return left if step.timeout_seconds is None else min(left, step.timeout_seconds)

    def _ending(self, step: Step) -> StepEnding:
        rules = self._attempt.cancel
        number = None if rules is None or rules.signal is None else signal.Signals[f"SIG{rules.signal}"]
        grace = CANCEL_GRACE_SECONDS if rules is None or rules.grace_seconds is None else rules.grace_seconds
        return StepEnding(number, grace, self._kept if step.background is Background.KEEP else None)

    def _tell(self, step: Step, end: ProcessEnd, ended: Verdict, tail: bytes) -> None:
        if end.left and end.reason is EndReason.EXITED:
            self._say(_named(end.left, "that the step left", "ended"))
        elif end.left:
            self._say(_named(end.left, "that did not end in time", "killed"))
        stopped = end.reason is EndReason.STOPPED or self._why in GONE
        took = f"{max(0, end.finished_at - end.started_at) / 1000:.1f} s"
        if ended.outcome is Outcome.SUCCEEDED:
            self._say(f"[hybridci] Step {in_brief(step.name)!r} succeeded in {took} (exit code 0).")
        elif ended.message and not stopped and ended.outcome is not Outcome.AGENT_ERROR:
            self._say(f"[hybridci] {ended.message} It took {took}.")
        elif stopped and self._why not in GONE:
            self._say(f"[hybridci] Step {in_brief(step.name)!r} was ended after {took} (exit code {end.exit_code}).")
        if (told := hint(step.run, end.exit_code, tail)) is not None and end.reason is EndReason.EXITED:
            self._say(f"[hybridci] {told}")

    async def _end_kept(self) -> None:
        left = await self._kept.end(0 if self._over else _KEPT_GRACE_SECONDS)
        if left:
            self._files.log.end_output()
            self._say(_named(left, "that steps kept in the background", "ended"))


class _Tail:
    """Passes a step's output on and remembers its end."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data = (self.data + data[-TAIL_BYTES:])[-TAIL_BYTES:]
        self._write(data)


def _named(left: Sequence[Member], what: str, end: str) -> str:
    """The sentence for what the agent has ended: never in silence."""
    many = "1 process" if len(left) == 1 else f"{len(left)} processes"
    names = ", ".join(str(each) for each in left[:_MOST_NAMED])
    more = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
    return f"[hybridci] {many} {what} {'was' if len(left) == 1 else 'were'} {end}: {names}{more}"
