"""Stuck workflows as people see them: the list, and a line below a record whose workflow is one of them."""

from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from api.cli.client.connection import CliError
from api.cli.client.http import ApiClient
from api.cli.output import Column, note, print_table, say
from workflows.contracts.repairs import Kind, StuckWorkflow

HEALTH: Final = "/health/system"
_PREFIXES: Final = ("WorkflowTaskFailedCause", "WorkflowTaskTimedOutCause")


def read_health(api: ApiClient) -> Any:
    """What is stuck, and in ``errors`` which parts of the whole are not well."""
    answer: Any = api.request("GET", HEALTH, also=frozenset({HTTPStatus.SERVICE_UNAVAILABLE}))
    return answer if "items" in answer else api.get(HEALTH)  # an answer of somebody else: told as ever


def print_stuck(api: ApiClient, health: Any) -> None:
    """All that the API names, each with the command that cures it."""
    found = [StuckWorkflow.model_validate(each) for each in health["items"]]
    columns = (Column("STUCK", keep=True), Column("CAUSE"), Column("REPAIR IT WITH", key=True))
    print_table(columns, [(str(each), _word(each.cause), _command(api, each)) for each in found])
    more = int(health["stuck"]) - len(found)
    if more:
        say(f"… and {more} more.")


def tell_if_stuck(api: ApiClient, kind: Kind, subject_id: str) -> None:
    """A note when the workflow of this job or deployment is stuck; an API that cannot tell is no reason to fail."""
    found: Sequence[StuckWorkflow] = ()
    with suppress(CliError):
        found = [StuckWorkflow.model_validate(each) for each in read_health(api)["items"]]
    for each in found:
        if each.kind is kind and subject_id in (each.job_id, each.deployment_id):
            note(f"Its workflow cannot go on ({_word(each.cause)}). Repair it with `{_command(api, each)}`.")


def _command(api: ApiClient, stuck: StuckWorkflow) -> str:
    own = stuck.command.removeprefix("hybridci ")
    return own if own == stuck.command else api.command(own)


def _word(cause: str) -> str:
    for prefix in _PREFIXES:
        cause = cause.removeprefix(prefix)
    return cause or "its task fails"
