"""One attempt from claim to clean-up, in a fixed order of phases:

announce the start, open the log, check signatures and the turn, unlock secrets, check out (or go on in the workspace
of an attempt that was lost), run the steps, upload the artifacts, send the log, report, clean up.

Whatever happens inside is a verdict, never an exception. Deliberately not here: how each phase is done
(``git.checkout``, ``steps.executors``, ``artifacts.upload``, ``logs.sender``), and when an attempt must stop
(``lease``, ``worker``), which ``interrupt`` it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from agent.artifacts.inputs import fetch_inputs
from agent.artifacts.upload import UploadFailed, upload_artifacts
from agent.attempt.bookmark import Bookmark, begin
from agent.attempt.directory import AttemptDir
from agent.attempt.files import Files, tidy
from agent.attempt.git_access import GitAccess
from agent.attempt.hooks import hooks_of, how_it_ended
from agent.attempt.host import Host
from agent.attempt.progress import AttemptProgress as AttemptProgress
from agent.attempt.removal import remove_all
from agent.attempt.sequence import StepSequence
from agent.attempt.verdict import GONE, Interruption, Verdict, interrupted, of_exception
from agent.git.errors import CheckoutError, redact
from agent.hooks.folder import AFTER_CHECKOUT, AFTER_JOB, BEFORE_CHECKOUT
from agent.hooks.running import HookRefused, Hooks
from agent.logs.masked import MaskedLog
from agent.logs.sender import LogOrigin
from agent.logs.spool import LogSpool, epoch_ms
from agent.own_environment import own_path
from agent.safety.specifications import Verified
from agent.secrets import Unlocked
from agent.secrets.redact import mask_text
from agent.steps.environment import build_environment, sealed_names
from agent.steps.process import StopSignal, cookie_of
from workflows.contracts.attempts import MAX_OUTPUT_BYTES, MAX_REPORTED_ARTIFACTS, AttemptInput, AttemptResult
from workflows.contracts.statuses import Outcome

_UPLOAD_SECONDS: Final = 600.0
_LOG_FIRST_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)

T = TypeVar("T")
Report = Callable[[AttemptResult], Coroutine[Any, Any, None]]
Look = Callable[[], None]


class AttemptRun:
    """One attempt on this agent. ``run`` it once; ``interrupt`` may come at any time, from the same event loop.

    ``look`` is called before something that ended is judged: it may ``interrupt``.
    """

    def __init__(
        self, host: Host, attempt: AttemptInput, *, report_by: float | None = None, look: Look = lambda: None
    ) -> None:
        self._host, self._attempt = host, attempt
        self._report_by, self._look = report_by, look
        self._origin = LogOrigin(attempt.job_id, attempt.attempt, attempt.delivery_key)
        self._cookie = cookie_of(attempt.job_id, attempt.attempt)
        self._deadline = time.monotonic() + attempt.timeout_seconds
        self._steps: StepSequence | None = None
        self._why: Interruption | None = None
        self._abortable: asyncio.Task[Any] | None = None
        self._files: Files | None = None
        self._bookmark: Bookmark | None = None
        self._ended: Verdict | None = None
        self._hooks: Hooks | None = None
        self._git_access = GitAccess(host, self._cookie)
        self._after_job = StopSignal()
        self._unlocked = Unlocked(attempt)
        self.progress = AttemptProgress()

    def interrupt(self, why: Interruption, *, grace_seconds: float | None = None) -> None:
        """End the attempt early: interrupt, grace (None: 10 s), kill. Again with a shorter grace is fine."""
        if why is Interruption.JOB_TIMEOUT and self._steps is not None and self._steps.afterwards:
            return  # it has failed already, and what still runs has a limit of its own
        if self._why is None:
            self._why = why
            self._say(f"[hybridci] {interrupted(why, self._attempt).message}")
        if self._abortable is not None:
            self._abortable.cancel()
        if self._steps is not None:
            self._steps.stop(why, grace_seconds)
        if why in GONE or why is Interruption.AGENT_STOPPED:
            self._after_job.request(grace_seconds=grace_seconds)

    async def run(self, report: Report) -> None:
        """All phases but the announcement, which the caller makes beside it. Raises only what ``report`` raises."""
        timer = asyncio.get_running_loop().call_later(
            self._attempt.timeout_seconds, self.interrupt, Interruption.JOB_TIMEOUT
        )
        try:
            self._ended = verdict = await self._verdict(timer)
            timer.cancel()
            self._ended = verdict = await self._after(verdict)
            self._close_log(verdict)
            if self._bookmark is not None and verdict.outcome not in {Outcome.SUCCEEDED, Outcome.AGENT_LOST}:
                self._bookmark.clear()
            result = self._result(verdict)
            await self._log_first()
            await report(result)
        finally:
            timer.cancel()
            self._clean_up()

    async def _verdict(self, timer: asyncio.TimerHandle) -> Verdict:
        try:
            self._files = files = await self._open()
            verified = await self._verify()
            await self._host.fences.enter(self._attempt.fence, self._attempt.deployment_id)
            await self._unlock(files, verified)
            self._hooks = hooks = hooks_of(self._host, self._attempt, files, self._unlocked.patterns)
            await self._unless_interrupted(hooks.run(BEFORE_CHECKOUT, stop=StopSignal()))
            await self._check_out(files)
            await self._fetch_inputs(files)
            await self._unless_interrupted(hooks.run(AFTER_CHECKOUT, stop=StopSignal()))
            verdict = await self._run_steps(files, hooks)
            timer.cancel()
            return await self._upload_artifacts(files, verdict)
        except asyncio.CancelledError:
            if self._why is None:
                raise  # not ours: the process is ending
            return interrupted(self._why, self._attempt)
        except Exception as error:
            self._look()
            if self._why is not None:
                return interrupted(self._why, self._attempt)
            return of_exception(error)

    async def _verify(self) -> Verified | None:
        """First of all: nothing is believed of a job that may be forged, not even whose turn it is."""
        known, approvals = self._host.specifications, self._host.approvals
        verified = None if known is None else known.verified(self._attempt, epoch_ms())
        if approvals is not None:
            await asyncio.to_thread(approvals.check, self._attempt, epoch_ms())
        return verified

    async def _open(self) -> Files:
        await self._displace_earlier_run()
        beginning = begin(
            self._host.resume,
            self._host.places,
            self._attempt,
            self._host.agent_id,
            tells=self._tells,
            say=self._say,
        )
        place, self._bookmark, self.progress.resumed = beginning.place, beginning.bookmark, beginning.words
        try:
            directory = AttemptDir.create(self._host.state_dir, self._cookie, place)
            log = LogSpool.create(directory.spool, max_bytes=self._host.max_log_bytes)
        except OSError:
            if self._bookmark is not None:
                self._bookmark.clear()
            await asyncio.to_thread(remove_all, self._host.places.give_back(place))
            self._host.tidying.start(self._cookie, AttemptDir.of(self._host.state_dir, self._cookie).remove())
            raise
        return Files(directory, place, MaskedLog(log), self._host.shipper.ship(self._origin, log))

    async def _displace_earlier_run(self) -> None:
        """The same attempt can come back, when a job was moved between pools just as it was claimed."""
        await self._host.shipper.forget(self._origin)
        await self._host.tidying.wait_for(self._cookie)

    async def _unlock(self, files: Files, verified: Verified | None) -> None:
        """From here on nothing of the secrets leaves this host: the log, the result and the artifacts are masked."""
        self._git_access.hold_word(files.place.number)
        self._unlocked = unlocked = await self._unless_interrupted(
            self._host.vault.unlock(self._attempt, files.directory.temp, verified)
        )
        files.log.mask(unlocked.patterns)
        for note in unlocked.notes:
            files.log.line(note)

    async def _after(self, verdict: Verdict) -> Verdict:
        """The hook at the job's end, also of one that failed: not when the attempt is not ours any more."""
        if self._hooks is None or self._after_job.requested:
            return verdict
        left = None if self._report_by is None else self._report_by - time.monotonic()
        try:
            await self._hooks.run(AFTER_JOB, how_it_ended(verdict), stop=self._after_job, most=left)
        except (HookRefused, OSError) as error:
            if self._why is not None and self._after_job.requested:
                return interrupted(self._why, self._attempt)
            if verdict.outcome is Outcome.SUCCEEDED:
                return of_exception(error)
            if str(error) != verdict.message:
                self._say(f"[hybridci] {error}")
        return verdict

    async def _check_out(self, files: Files) -> None:
        attempt = self._attempt
        if self.progress.resumed is not None:
            files.log.line(f"[hybridci] {self.progress.resumed}")
        if self._bookmark is not None and self._bookmark.saved is not None:
            await self._go_on(files)
            return
        if attempt.checkout.none and attempt.deployment_id is None:
            files.log.line("--- No checkout, as the job asks")
            await asyncio.to_thread(files.directory.workspace.mkdir, parents=True, exist_ok=True)
            return
        files.log.line(f"--- Check out {attempt.git_commit_sha[:12]} of {redact(attempt.git_repo)}")
        await self._unless_interrupted(
            self._host.checkout.into(
                self._checked_out(files),
                repo=attempt.git_repo,
                sha=attempt.git_commit_sha,
                ref=attempt.git_ref,
                timeout_seconds=self._deadline - time.monotonic() + 5,  # our own timer comes first and says it better
                write=files.log.write,
                cookie=self._cookie,
                options=attempt.checkout,
            )
        )
        if attempt.deployment_id is not None:
            await self._read_people(files)
        if attempt.on_ref is not None:
            await self._see_on_ref(files, attempt.on_ref)
        files.log.end_output()

    async def _go_on(self, files: Files) -> None:
        """What was running when the attempt was lost runs again, in the files that it left."""
        files.log.line("--- No checkout: the workspace is as the lost attempt left it")
        self.progress.git_people = None if self._bookmark is None else self._bookmark.git_people
        if self._attempt.checkout.none:
            return
        await self._unless_interrupted(
            self._host.checkout.again(
                self._checked_out(files),
                repo=self._attempt.git_repo,
                sha=self._attempt.git_commit_sha,
                ref=self._attempt.git_ref,
                timeout_seconds=self._deadline - time.monotonic() + 5,
                cookie=self._cookie,
                options=self._attempt.checkout,
            )
        )

    async def _fetch_inputs(self, files: Files) -> None:
        """What other jobs left, before the first step."""
        if self._attempt.inputs and (self._bookmark is None or self._bookmark.saved is None):
            files.log.line("--- Fetch files of other jobs")
            fetching = fetch_inputs(self._host.control_plane, self._attempt, files.directory.workspace, self._say)
            await self._unless_interrupted(fetching)

    def _checked_out(self, files: Files) -> Path:
        """The folder that gets the commit."""
        return files.directory.workspace / (self._attempt.checkout.path or "")

    async def _read_people(self, files: Files) -> None:
        """For the deployment, whose writers do not approve it. Without an answer it goes by what its starter says."""
        looking = self._host.checkout.people(
            self._checked_out(files),
            sha=self._attempt.git_commit_sha,
            timeout_seconds=self._deadline - time.monotonic() + 5,
            cookie=self._cookie,
        )
        try:
            self.progress.git_people = await self._unless_interrupted(looking)
            if self._bookmark is not None:
                self._bookmark.git_people = self.progress.git_people
        except CheckoutError as error:
            files.log.line(f"[hybridci] {error.message}")

    async def _see_on_ref(self, files: Files, ref: str) -> None:
        attempt = self._attempt
        await self._unless_interrupted(
            self._host.checkout.on_ref(
                self._checked_out(files),
                repo=attempt.git_repo,
                sha=attempt.git_commit_sha,
                ref=ref,
                timeout_seconds=self._deadline - time.monotonic() + 5,
                write=files.log.write,
                cookie=self._cookie,
                options=attempt.checkout,
            )
        )

    async def _run_steps(self, files: Files, hooks: Hooks) -> Verdict:
        directory, attempt, user = files.directory, self._unlocked.attempt, self._host.job_user
        if self._bookmark is None or self._bookmark.saved is None:
            self._host.given.furnish(directory.home)
        if user is not None:
            self._host.guardian.close_to_others(self._cookie, (files.place.folder, files.place.short))
            await asyncio.to_thread(directory.give_to, user)
        env = build_environment(
            attempt,
            agent_id=self._host.agent_id,
            workspace=directory.workspace,
            home=self._host.given.home or directory.home,
            temp=directory.temp,
            path=own_path(),
            given=self._host.given.variables,
            sealed=sealed_names(self._attempt.env),
            secrets=self._unlocked.variables(),
            user=None if user is None else user.name,
        )
        async with self._git_access.during_steps(self._checked_out(files), env) as more:
            self._steps = StepSequence(
                self._host,
                self._attempt,
                attempt,
                files,
                self.progress,
                env={**env, **more},
                hooks=hooks,
                secret=frozenset(self._unlocked.variables()) | more.keys(),
                tells=self._tells,
                say=self._say,
                look=self._look,
                bookmark=self._bookmark,
            )
            if self._why is not None:
                self._steps.stop(self._why, None)
            self.progress.started_at = epoch_ms()
            self.progress.running.set()
            return await self._steps.run()

    async def _upload_artifacts(self, files: Files, verdict: Verdict) -> Verdict:
        """Also after a failure, for that is when reports are wanted; not when somebody wants the attempt gone."""
        unwanted = self._why is not None and self._why is not Interruption.JOB_TIMEOUT
        if unwanted or not self._attempt.artifacts:
            return verdict
        seconds = _UPLOAD_SECONDS
        if self._report_by is not None:
            seconds = max(5.0, min(seconds, self._report_by - time.monotonic()))
        files.log.line("--- Upload artifacts")
        upload = upload_artifacts(
            self._host.control_plane,
            self._attempt,
            files.directory.workspace,
            max_bytes=self._host.max_artifact_bytes,
            seconds=seconds,
            say=self._say,
            patterns=self._unlocked.patterns,
        )
        try:
            self.progress.artifacts = await self._unless_interrupted(upload)
        except UploadFailed as error:
            self.progress.artifacts = error.stored
            self._say(f"[hybridci] {error}")
            if verdict.outcome is Outcome.SUCCEEDED:
                return of_exception(error)
        return verdict

    async def _unless_interrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a phase that has no process of a step to stop: an interruption cancels it."""
        if self._why is not None and self._why is not Interruption.JOB_TIMEOUT:
            work.close()
            raise asyncio.CancelledError
        self._abortable = phase = asyncio.create_task(work)
        try:
            return await phase
        finally:
            self._abortable = None

    def _result(self, verdict: Verdict) -> AttemptResult:
        log = self._files.log if self._files is not None else None
        return AttemptResult(
            attempt=self._attempt.attempt,
            agent_id=self._host.agent_id,
            outcome=verdict.outcome,
            exit_code=verdict.exit_code,
            cause=verdict.cause,
            message=None if verdict.message is None else mask_text(self._unlocked.patterns, verdict.message),
            retryable=verdict.retryable,
            claimed_at=self.progress.claimed_at,
            started_at=self.progress.started_at,
            finished_at=epoch_ms(),
            steps=self.progress.steps,
            artifacts=self.progress.artifacts[:MAX_REPORTED_ARTIFACTS],
            log_bytes=log.size if log is not None else 0,
            log_sha256=log.sha256 if log is not None else None,
            log_cut_off=log.cut_off if log is not None else None,
            git_people=self.progress.git_people,
            outputs=self._masked_outputs(),
            summary=None if self.progress.summary is None else self._masked(self.progress.summary)[:MAX_OUTPUT_BYTES],
            resumed=self.progress.resumed,
        )

    def _masked(self, text: str) -> str:
        return mask_text(self._unlocked.patterns, text)

    def _tells(self, text: str) -> bool:
        """Whether it holds a secret."""
        return self._masked(text) != text

    def _masked_outputs(self) -> dict[str, str]:
        """What a mask makes longer than may be is left out: of a file of secrets nothing is of use."""
        masked = {name: self._masked(text) for name, text in self.progress.outputs.items()}
        size = sum(len(text.encode()) for text in masked.values())
        return masked if size <= MAX_OUTPUT_BYTES else {}

    def _close_log(self, verdict: Verdict) -> None:
        if self._files is None:
            return
        if verdict.outcome in {Outcome.CHECKOUT_FAILED, Outcome.AGENT_ERROR}:
            self._say(f"[hybridci] {verdict.message}")
        try:
            self._files.log.finish()
        except OSError as error:
            logger.error("The log of attempt %s could not be finished: %s", self._cookie, error)

    async def _log_first(self) -> None:
        """Who sees the attempt's end finds its whole log, unless the API is away: then the log follows later."""
        if self._files is not None:
            await asyncio.wait({self._files.sending}, timeout=_LOG_FIRST_SECONDS)

    def _clean_up(self) -> None:
        """Started here, done in the background, where nothing that happens to the attempt can touch it."""
        self._unlocked.close()
        if self._files is not None:
            kept = self._bookmark is not None and self._bookmark.end(self._ended and self._ended.outcome)
            aside = [] if kept else self._host.places.give_back(self._files.place)
            self._host.checkout.leave(self._files.directory.workspace)
            self._host.tidying.start(self._cookie, tidy(self._files, aside))

    def _say(self, line: str) -> None:
        """A line in the log, when there is one that can take it."""
        if self._files is None:
            return
        try:
            self._files.log.line(line)
        except OSError as error:
            logger.error("The log of attempt %s cannot be written: %s", self._cookie, error)
