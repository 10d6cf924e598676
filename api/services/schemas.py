"""Services and environments as callers send and see them."""

from types import GenericAlias
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, Field, StringConstraints, create_model, model_validator

from api.deployments.schemas import MAX_MILLIS, SignedBody
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.environments import PerhapsWhy, Why
from workflows.contracts.deployments.line import EnvironmentShown
from workflows.contracts.fields import Line, Millis, Prose

FREEZE_ID_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"
MAX_FREEZE_SECONDS: Final = 366 * 24 * 3600

_shown: dict[str, Any] = {
    name: (field.annotation, field) for name, field in EnvironmentShown.model_fields.items() if name != "sequence"
}
EnvironmentOut: Final[type[BaseModel]] = create_model(
    "EnvironmentOut", __doc__="What is live in an environment, who waits for it, what holds or freezes it.", **_shown
)
"""For the documentation only: derived from ``EnvironmentShown``."""
_listed: dict[str, Any] = {"items": (GenericAlias(list, (EnvironmentOut,)), ...)}
EnvironmentList: Final[type[BaseModel]] = create_model(
    "EnvironmentList",
    __doc__="The environments of a service, in the order in which a version passes them.",
    **_listed,
)

EXAMPLE_SERVICE: Final[dict[str, Any]] = {
    "git_repo": "https://example.com/shop.git",
    "build": {"pool": "default", "steps": [{"name": "build", "run": "make"}]},
    "test": {"pool": "default", "steps": [{"name": "unit", "run": "make test"}]},
    "environments": [
        {
            "name": "staging",
            "pool": "default",
            "steps": [{"name": "deploy", "run": './deploy.sh staging "$HYBRIDCI_VERSION"'}],
            "health_check": {"run": "curl -fsS https://staging.example.com/health"},
        },
        {
            "name": "production",
            "pool": "default",
            "steps": [{"name": "deploy", "run": './deploy.sh production "$HYBRIDCI_VERSION"'}],
            "approval": {"required": 1, "allow_author": False, "expires_seconds": 259_200},
            "rollout": {"percent": [10, 50, 100], "pause_seconds": 60},
            "verification": {"run": "./smoke.sh", "bake_seconds": 300, "max_error_rate": 0.02, "max_latency_ms": 500},
            "rollback": {"steps": [{"name": "back", "run": './deploy.sh production "$HYBRIDCI_VERSION"'}]},
        },
    ],
}


class HoldRequest(SignedBody):
    """Let nothing be rolled out until the hold is lifted."""

    reason: Why


class ReleaseRequest(SignedBody):
    """Lift the hold."""

    reason: Prose = ""


class FreezeRequest(SignedBody):
    """From ``starts_at`` (default now) to ``ends_at``, or for ``duration_seconds``. Times are epoch milliseconds.

    The same ``freeze_id`` again replaces it; without one it gets an id of its own.
    """

    name: Annotated[Line, StringConstraints(min_length=1, max_length=256)]
    starts_at: int | None = Field(default=None, ge=0, le=MAX_MILLIS)
    ends_at: int | None = Field(default=None, ge=0, le=MAX_MILLIS)
    duration_seconds: int | None = Field(default=None, ge=1, le=MAX_FREEZE_SECONDS)
    reason: Prose = ""
    freeze_id: Annotated[str, StringConstraints(pattern=FREEZE_ID_PATTERN)] | None = None

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.ends_at is None) == (self.duration_seconds is None):
            raise ValueError("give either ends_at or duration_seconds")
        return self


class UnfreezeRequest(SignedBody):
    """Why the freeze is ended."""

    reason: Prose = ""


def environment_json(state: EnvironmentShown) -> bytes:
    """The state as callers see it."""
    return state.model_dump_json(exclude={"sequence"}).encode()


class EnvironmentStates(Frozen):
    """What ``EnvironmentList`` documents."""

    items: list[EnvironmentShown]

    def to_json(self) -> bytes:
        """The list as callers see it."""
        return self.model_dump_json(exclude={"items": {"__all__": {"sequence"}}}).encode()


_Waiting = Annotated[int, Field(ge=1, le=10**9, description="The service's version in which the change waits.")]


class ApprovePolicyRequest(Frozen):
    """Yes to what waits in this version."""

    version: _Waiting
    reason: PerhapsWhy = ""


class RejectPolicyRequest(Frozen):
    """No to what waits in this version."""

    version: _Waiting
    reason: Why


class DefinitionError(Frozen):
    """What is wrong with a document, where: by field, and by line where it has one."""

    field: str
    message: str
    line: int | None = None


class DefinitionCheck(Frozen):
    """What would come of a document. ``version``: the present one, 0 where there is none; ``difference`` to it, as the
    lines of a unified difference, empty where it is the same; ``policy_changes``: in words, by field.
    """

    name: str
    errors: list[DefinitionError] = Field(default_factory=list[DefinitionError])
    version: int = 0
    updated_by: str = ""
    difference: list[str] = Field(default_factory=list[str])
    policy_changes: list[str] = Field(default_factory=list[str])


class ServiceVersion(Frozen):
    """One definition that a service has or had."""

    version: int
    updated_at: Millis
    updated_by: str


class ServiceVersions(Frozen):
    """One page, newest first. ``next_before``: go on below it."""

    items: list[ServiceVersion]
    next_before: int | None = None
