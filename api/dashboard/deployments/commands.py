"""What the forms of a deployment's page ask of the API, and what the page itself refuses: a name that was to be typed,
a page that has become old.

Deliberately not here: whether it may be done, which the API says.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.dashboard.answers import Fields
from api.http.errors import ProblemCode
from api.http.problems import Problem
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.errors import ErrorCode, FieldError

_DEPLOYMENTS: Final = "/api/dashboard/deployments"
_SERVICES: Final = "/api/dashboard/services"
_OF_PAGE: Final = frozenset({"csrf", "typed", "seen", "at", "what"})
_FLAGS: Final = frozenset({"full", "ban", "lift_ban"})
_WHERE_IT_STOOD: Final = frozenset({"promote", "skip-step", "resume"})
"""What is said of a step is said of the step that the page showed."""
_OF_ENVIRONMENT: Final = frozenset({"retire", "hold", "release"})
_BANS: Final[Mapping[str, str]] = {"ban": "POST", "unban": "DELETE"}


@dataclass(frozen=True, slots=True)
class ToAsk:
    """A request to the API."""

    method: str
    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FilledIn:
    """What was filled in of the form that is refused; of no form, without a ``command``."""

    command: str
    form: Fields

    def __call__(self, name: str, *commands: str) -> str:
        """What this field of the form of one of these commands was."""
        return self.form[name] if self.command in commands else ""


def asked(command: str, form: Fields, deployment: Deployment) -> ToAsk:
    """What a form asks. Raises ValueError for a signature that cannot be read."""
    body = {name: _value(name, value) for name, value in form.items() if value and name not in _OF_PAGE}
    service = f"{_SERVICES}/{deployment.service_name}"
    if command in _BANS:
        what = form["what"]
        named = {"version": deployment.version, "git_commit_sha": deployment.git_commit_sha}
        return ToAsk(_BANS[command], f"{service}/bans", {**body, **{k: v for k, v in named.items() if what in {"", k}}})
    if command in _OF_ENVIRONMENT:
        return ToAsk("POST", f"{service}/environments/{where(deployment)}/{command}", body)
    return ToAsk("POST", f"{_DEPLOYMENTS}/{deployment.deployment_id}/{command}", body)


def where(deployment: Deployment) -> str | None:
    """The environment where it stands; of one that has ended before any, the last one."""
    names = [stage.environment for stage in deployment.stages]
    return deployment.environment or (names[-1] if names else None)


def position(deployment: Deployment) -> str:
    """Where it stands, as precisely as a step is spoken of."""
    stage = deployment.stage(deployment.environment) if deployment.environment else None
    asks = deployment.needs_decision
    parts = [deployment.status, deployment.environment, stage and stage.status, stage and stage.percent]
    return ".".join(str(each) for each in [*parts, asks and asks.at] if each is not None)


def refused_here(command: str, form: Fields, deployment: Deployment) -> Problem | None:
    """What the page refuses by itself; None when the API is to say."""
    if command == "rollback" and form["typed"].strip() != deployment.service_name:
        return _problem(
            422,
            ErrorCode.VALIDATION_FAILED,
            "Nothing was rolled back",
            f"To roll back, type the service's name: {deployment.service_name}.",
            [FieldError(field="typed", message=f"is not {deployment.service_name}")],
        )
    if command in _WHERE_IT_STOOD and form["at"] and form["at"] != position(deployment):
        return _problem(
            409,
            ErrorCode.INVALID_STATE,
            "Nothing was done",
            "It has moved on since this page was shown, so your word was not taken for the step where it is now. Look "
            "at it again.",
        )
    return None


def unreadable_signature() -> Problem:
    """Of an approval."""
    said = "is not what `hybridci approver sign` prints"
    errors = [FieldError(field="signed", message=said)]
    return _problem(422, ProblemCode.MALFORMED_BODY, "Nothing was approved", f"The signature {said}.", errors)


def _value(name: str, value: str) -> Any:
    if name in _FLAGS:
        return value == "true"
    return json.loads(value) if name == "signed" else value


def _problem(status: int, code: str, title: str, detail: str, errors: list[FieldError] | None = None) -> Problem:
    return Problem(
        type="about:blank", title=title, status=status, detail=detail, code=code, errors=errors or [], instance="",
        request_id="",
    )  # fmt: skip
