"""How far an attempt is whose job may resume: written down after each step that is well, and gone once one is not.

So nothing goes on behind a red command, a timeout or a cancel, and only the loss of the agent leaves a bookmark behind.
Deliberately not here: what is kept, for how long, and whether it fits (``resume``).
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.attempt.places import SlotPlace, SlotPlaces
from agent.attempt.resume import ResumeStore, SavedSteps, definition_of
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.fields import in_brief
from workflows.contracts.identity.people import GitPeople
from workflows.contracts.jobs import StepResult
from workflows.contracts.statuses import Outcome
from workflows.contracts.workspace.step_rules import Background


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where an attempt begins. ``words`` say it, where there is something to say."""

    place: SlotPlace
    bookmark: "Bookmark | None" = None
    words: str | None = None


@dataclass(slots=True)
class Bookmark:
    """How far one attempt is, for its successor. ``tells`` is whether a text holds a secret: such a one is not kept.
    ``git_people``: whom the commit names, as read before any step could write into the workspace.
    """

    store: ResumeStore
    attempt: AttemptInput
    place: SlotPlace
    tells: Callable[[str], bool]
    say: Callable[[str], None]
    saved: SavedSteps | None = None
    git_people: GitPeople | None = None
    _given_up: bool = False

    async def note(self, steps: list[StepResult], outputs: dict[str, str], summary: str | None) -> None:
        """All of these steps are finished, and well."""
        if self._given_up or self.store.limits.seconds <= 0:
            return
        last = self.attempt.steps[len(steps) - 1]
        if last.background is Background.KEEP and steps[-1].outcome is not None:
            self._give_up(
                f"step {in_brief(last.name)!r} keeps processes in the background, which do not outlive the agent"
            )
            return
        if any(map(self.tells, (*outputs.values(), summary or ""))):
            self._give_up("an output or the summary holds a secret, which is not written to a disk")
            return
        saved = SavedSteps(
            job_id=self.attempt.job_id,
            attempt=self.attempt.attempt,
            slot=self.place.number,
            home=str(self.place.home),
            definition=definition_of(self.attempt),
            steps=steps,
            outputs=outputs,
            summary=summary,
            git_people=self.git_people,
        )
        try:
            await self.store.write(saved, (self.place.workspace, self.place.home))
        except OSError as error:
            self._give_up(f"the agent could not write it down ({error.strerror})")
        else:
            self.saved = saved

    def clear(self) -> None:
        """The attempt is not well any more, or over: nothing goes on here."""
        if self.saved is not None:
            self.store.discard(self.attempt.job_id)
            self.saved = None

    def end(self, outcome: Outcome | None) -> bool:
        """The attempt is over; None: nobody knows how. True when its place is kept, for it was lost."""
        if self.saved is None:
            return False
        if outcome not in {None, Outcome.AGENT_LOST}:
            self.clear()
            return False
        self.store.put_aside(self.saved)
        return True

    def _give_up(self, why: str) -> None:
        self._given_up = True
        self.say(f"[hybridci] Should the agent be lost from here on, the job begins at its beginning: {why}.")
        self.clear()


def begin(
    store: ResumeStore | None,
    places: SlotPlaces,
    attempt: AttemptInput,
    agent_id: str,
    *,
    tells: Callable[[str], bool],
    say: Callable[[str], None],
) -> Beginning:
    """In a new place, or in that of an attempt that was lost, behind what it has finished. Raises OSError."""
    if store is None or attempt.resume is None:
        return Beginning(places.take())
    found = store.take(attempt, agent_id)
    if not isinstance(found, tuple):
        place = places.take()
        words = None if found is None else f"From the beginning: {found}."
        return Beginning(place, Bookmark(store, attempt, place, tells, say), words)
    saved, place = found
    words = (
        f"Resumed behind step {len(saved.steps)} of {len(attempt.steps)} on agent {agent_id}, which had finished it in "
        f"attempt {saved.attempt}."
    )
    return Beginning(place, Bookmark(store, attempt, place, tells, say, saved, saved.git_people), words)
