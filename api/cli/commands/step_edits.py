"""Other commands for a job's steps, as `dlq edit --run` and `--step` name them. Pure."""

from collections.abc import Sequence

from api.cli.client.connection import USAGE, CliError
from api.wording import counted, plural
from workflows.contracts.fields import in_brief
from workflows.contracts.jobs import Step


def with_commands(steps: Sequence[Step], run: Sequence[str], named: Sequence[str]) -> list[Step]:
    """The steps with these commands: ``run`` has one for each, in order; ``named`` says NAME=COMMAND.

    Raises CliError, saying which steps there are.
    """
    names = ", ".join(step.name for step in steps)
    are = plural(len(steps), "only step is", f"{len(steps)} steps are")
    there_are = f"its {are} {names}" if steps else "it has no steps"
    if run and named:
        raise CliError("Give --run for all steps, or --step for some.", USAGE)
    if run and len(run) != len(steps):
        raise CliError(
            f"--run was given {counted(len(run), 'time')}, and {there_are}: give one for each, or --step NAME=COMMAND.",
            USAGE,
        )
    if run:
        return [_with(step, command) for step, command in zip(steps, run, strict=True)]
    changed = list(steps)
    for text in named:
        index, command = _meant(steps, text, there_are)
        changed[index] = _with(changed[index], command)
    return changed


def _meant(steps: Sequence[Step], text: str, there_are: str) -> tuple[int, str]:
    """By the name, which may hold ``=`` itself, as a step does that is called like its command."""
    if "=" not in text:
        raise CliError(f"--step {text!r} is not NAME=COMMAND.", USAGE)
    found = [index for index, step in enumerate(steps) if text.startswith(f"{step.name}=")]
    if not found:
        raise CliError(f"It has no step {text.partition('=')[0]!r}: {there_are}.", USAGE)
    longest = max(len(steps[index].name) for index in found)
    found = [index for index in found if len(steps[index].name) == longest]
    if len(found) > 1:
        raise CliError(f"{len(found)} steps are called {steps[found[0]].name!r}: give --run for all of them.", USAGE)
    return found[0], text[longest + 1 :]


def _with(step: Step, command: str) -> Step:
    """A step that was called like its command is called like the new one."""
    own = step.name not in (step.run, in_brief(step.run))
    return step.model_copy(update={"run": command, "name": step.name if own else in_brief(command) or step.name})
