"""Where the steps of an attempt are in its log, by line.

Of an attempt that has ended its agent said where. While it runs, a step is known by the line that its agent writes
before it (``--- name``), in the order of the job's steps, some of which may not run: a command that writes such a line
can be taken for a step that may be next, until the attempt has ended. Deliberately not here: HTTP (``step_routes``).
"""

from typing import Final

from activities.stores.interfaces.logs import LogStore
from api.logs.needle import Wanted, needle_of
from api.logs.search import LogSearch
from workflows.contracts.base import Tolerant
from workflows.contracts.jobs import Attempt, Job
from workflows.contracts.workspace.step_rules import When

MARK: Final = "--- "
_MOST_HITS: Final = 1000
_COMPARED: Final = 100
"""Characters of a mark; a hit is shown by its first 500 bytes."""


class StepLines(Tolerant):
    """A step's part of the log: ``first_line`` is its mark. ``last_line`` is null while it runs.

    Times are its agent's, in epoch milliseconds; they and how it ended are known once the attempt has ended.
    """

    number: int
    name: str
    first_line: int
    last_line: int | None = None
    outcome: str | None = None
    exit_code: int | None = None
    started_at: int | None = None
    finished_at: int | None = None


class LogSteps(Tolerant):
    """The steps that have begun. ``next_cursor``: where to look for the rest while the attempt runs; null once it has
    ended.
    """

    attempt: int
    steps: list[StepLines]
    next_cursor: str | None = None


async def steps_of_ended(logs: LogStore, job_id: str, attempt: Attempt) -> LogSteps:
    """As the agent said. Raises Unavailable."""
    placed = [
        (number, step, step.log_start, step.log_end)
        for number, step in enumerate(attempt.steps, start=1)
        if step.log_start is not None and step.log_end is not None
    ]
    # The byte behind the first is in the mark, also where the agent had to end the line before it first.
    offsets = [offset for _, _, start, end in placed for offset in (start + 1, max(start + 1, end - 1))]
    lines = await logs.lines_at(job_id, attempt.number, offsets) if offsets else []
    found = [
        StepLines(
            number=number, name=step.name, first_line=lines[2 * index], last_line=lines[2 * index + 1],
            outcome=step.outcome, exit_code=step.exit_code, started_at=step.started_at, finished_at=step.finished_at,
        )
        for index, (number, step, _, _) in enumerate(placed)
    ]  # fmt: skip
    return LogSteps(attempt=attempt.number, steps=found)


async def steps_of_running(logs: LogStore, job: Job, attempt: int, known: int, cursor: str) -> LogSteps:
    """By their marks: those behind the first ``known`` ones, from the line of the cursor on. Raises Unavailable."""
    if known >= len(job.steps):
        return LogSteps(attempt=attempt, steps=[], next_cursor=f"{known}:{cursor}")
    offset, line = (int(word) for word in cursor.split(":"))
    search = LogSearch(needle_of(Wanted(regex=f"^{MARK}")), _MOST_HITS, offset, line)
    found, at = list[StepLines](), known
    for hit in (await search.run(logs, job.job_id, attempt)).hits:
        number = _begun(job, attempt, at, hit.text)
        if number is not None:
            found.append(StepLines(number=number + 1, name=job.steps[number].name, first_line=hit.line))
            at = number + 1
    ends: list[int | None] = [each.first_line - 1 for each in found[1:]]
    steps = [step.model_copy(update={"last_line": end}) for step, end in zip(found, [*ends, None], strict=False)]
    return LogSteps(attempt=attempt, steps=steps, next_cursor=f"{at}:{search.whole}")


def _begun(job: Job, attempt: int, first: int, text: str) -> int | None:
    """The step, this one or one behind it, whose mark this is: steps can be left out, the others come in order. Which
    may be left out: those that an attempt before has finished, those for a failure, and after one all but these.
    """
    resumes = job.resume is not None and attempt > 1 and first == 0
    for number, step in enumerate(job.steps[first:], first):
        left_out = job.steps[first:number]
        may_be = resumes or step.when is not When.SUCCESS or all(each.when is When.FAILURE for each in left_out)
        if may_be and text.startswith(f"{MARK}{step.name}"[:_COMPARED]):
            return number
    return None
