"""A definition that a commit holds, made to keep the policy of its service: what only tightens is merged, the stricter
wins; what cannot be merged is refused, field by field. Pure.

What holds: whoever is let in by the result is let in by the policy as well. One line for each field, so that a field
without a rule fails a test. Deliberately not here: what is policy at all (``contracts.deployments.policy``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from workflows.contracts.deployments.rollouts import tightened_rollout
from workflows.contracts.deployments.rules import (
    ApprovalGroup,
    ApprovalPolicy,
    DuringFreeze,
    FreezeWindow,
    MetricCheck,
    OlderCommits,
    RollbackSteps,
    Rollout,
    SupersedePolicy,
    Verification,
)
from workflows.contracts.deployments.services import (
    Environment,
    EnvironmentPolicy,
    JobDefinition,
    ServiceDefinition,
    ServicePolicy,
)
from workflows.contracts.errors import FieldError, errors_text, field_errors

_LIMITS: Final = ("max_error_rate", "max_latency_ms", "min_requests_per_sec", "metrics")
Rule = Callable[[Any, Any, str], Any]
"""The policy, the file, the name of a field of both → the value that keeps both. Raises _LooserError."""


class LooserThanPolicy(Exception):
    """The file asks for what the policy does not allow."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(errors_text(errors))
        self.errors = errors


class _LooserError(Exception):
    def __init__(self, message: str, below: str = "") -> None:
        super().__init__(message)
        self.below = below


def tightened(policy: ServicePolicy, definition: ServiceDefinition) -> ServiceDefinition:
    """The definition with the policy kept. Raises LooserThanPolicy with every field that does not fit."""
    names = [environment.name for environment in definition.environments]
    wanted = [environment.name for environment in policy.environments]
    if names != wanted:
        words = f"are {', '.join(names) or 'none'}; the policy has {', '.join(wanted)}, in this order"
        raise LooserThanPolicy([FieldError(field="environments", message=words)])
    errors = [
        FieldError(field=f"{name}.pool", message=_other_pool(stage.pool, policy.pools))
        for name, stage in (("build", definition.build), ("test", definition.test))
        if stage is not None and stage.pool not in policy.pools
    ]
    kept: list[Environment] = []
    for rules, environment in zip(policy.environments, definition.environments, strict=True):
        fields, looser = _environment(rules, environment)
        kept.append(environment.model_copy(update=fields))
        errors += [FieldError(field=f"environments.{environment.name}.{field}", message=text) for field, text in looser]
    if errors:
        raise LooserThanPolicy(errors)
    try:
        return ServiceDefinition.model_validate(definition.model_copy(update={"environments": kept}).model_dump())
    except ValidationError as error:  # each is well, both together are not: a group that nobody is left in
        raise LooserThanPolicy(field_errors(error)) from None


def _environment(policy: EnvironmentPolicy, file: Environment) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The fields that are policy, as they are to be, and what is looser, by field."""
    fields: dict[str, Any] = {}
    looser: list[tuple[str, str]] = []
    for name, rule in ENVIRONMENT_RULES.items():
        try:
            fields[name] = rule(policy, file)
        except _LooserError as error:
            looser.append((f"{name}{error.below}", str(error)))
    return fields, looser


def _pool(policy: EnvironmentPolicy, file: JobDefinition) -> str:
    if file.pool not in policy.pools:
        raise _LooserError(_other_pool(file.pool, policy.pools))
    return file.pool


def _external(policy: EnvironmentPolicy, file: Environment) -> bool:
    if file.external is not policy.external:
        raise _LooserError(f"must be {str(policy.external).lower()}, as the policy says")
    return policy.external


def _supersede(policy: EnvironmentPolicy, file: Environment) -> SupersedePolicy:
    if file.supersede not in {SupersedePolicy.NONE, policy.supersede}:
        raise _LooserError(f"must be left out or {policy.supersede}, as the policy says")
    return policy.supersede


def _older_commits(policy: EnvironmentPolicy, file: Environment) -> OlderCommits:
    if file.older_commits not in {OlderCommits.SUPERSEDE, policy.older_commits}:
        raise _LooserError(f"must be left out or {policy.older_commits}, as the policy says")
    return policy.older_commits


def _rollback(policy: EnvironmentPolicy, file: Environment) -> RollbackSteps | None:
    if file.rollback is not None and file.rollback != policy.rollback:
        raise _LooserError("must be left out: the service's policy holds how to roll back")
    return policy.rollback


def _approval(policy: EnvironmentPolicy, file: Environment) -> ApprovalPolicy | None:
    return _both(policy.approval, file.approval, APPROVAL_RULES)


def _verification(policy: EnvironmentPolicy, file: Environment) -> Verification | None:
    return _both(policy.verification, file.verification, VERIFICATION_RULES)


def _rollout(policy: EnvironmentPolicy, file: Environment) -> Rollout:
    rule = policy.rollout
    if rule is not None and (rule.steps is not None or file.rollout.steps is not None):
        return tightened_rollout(rule, file.rollout)
    return _both(policy.rollout, file.rollout, ROLLOUT_RULES) or file.rollout


def _freeze_windows(policy: EnvironmentPolicy, file: Environment) -> list[FreezeWindow]:
    return [*policy.freeze_windows, *(window for window in file.freeze_windows if window not in policy.freeze_windows)]


def _allow_windows(policy: EnvironmentPolicy, file: Environment) -> list[FreezeWindow]:
    """Each window more would open the environment for longer."""
    if any(window not in policy.allow_windows for window in file.allow_windows) and policy.allow_windows:
        raise _LooserError("must be left out or some of those of the policy: any other would open more")
    return file.allow_windows or policy.allow_windows


def _during_freeze(policy: EnvironmentPolicy, file: Environment) -> DuringFreeze:
    """Which of both the file asks for cannot be told from its default: pausing is the stricter one."""
    return policy.freeze_during_rollout


def _both(policy: Any, file: Any, rules: Mapping[str, Rule]) -> Any:
    """Two of one model as one: field by field; where one of them says nothing, the other holds."""
    if policy is None or file is None:
        return file if policy is None else policy
    fields: dict[str, Any] = {}
    for name, rule in rules.items():
        try:
            fields[name] = rule(policy, file, name)
        except _LooserError as error:
            raise _LooserError(str(error), f".{name}{error.below}") from None
    return policy.model_copy(update=fields)


def _of(choose: Callable[[Any, Any], Any]) -> Rule:
    """By the two values alone."""
    return lambda policy, file, name: choose(getattr(policy, name), getattr(file, name))


def _least(policy: Any, file: Any) -> Any:
    return min((value for value in (policy, file) if value is not None), default=None)


def _most(policy: Any, file: Any) -> Any:
    return max((value for value in (policy, file) if value is not None), default=None)


def _either(policy: bool, file: bool) -> bool:
    return policy or file


def _only_both(policy: bool, file: bool) -> bool:
    return policy and file


def _least_allowed(policy: bool | None, file: bool | None) -> bool | None:
    """False forbids it, True allows it, None leaves it to the installation: which may be either."""
    return min((policy, file), key=(False, None, True).index)


def _command(policy: str | None, file: str | None) -> str | None:
    if policy is not None and file not in {None, policy}:
        raise _LooserError("must be left out: the service's policy holds this command")
    return file if policy is None else policy


def _with_command(policy: Verification, file: Verification, name: str) -> Any:
    """Of whoever says the command: a default beside limits alone says nothing of it."""
    return getattr(file if policy.run is None else policy, name)


def _with_limits(policy: Verification, file: Verification, name: str) -> Any:
    """The least of those who set limits."""
    setting = [each for each in (policy, file) if any(getattr(each, limit) not in (None, []) for limit in _LIMITS)]
    return min(getattr(each, name) for each in setting or [policy])


def _checks(policy: list[MetricCheck], file: list[MetricCheck]) -> list[MetricCheck]:
    """The file may limit more metrics; what the policy says of one holds as it is."""
    held = {check.name: check for check in policy}
    other = [check.name for check in file if check.name in held and check != held[check.name]]
    if other:
        raise _LooserError(f"{', '.join(other)}: must be left out, the service's policy limits it")
    return [*policy, *(check for check in file if check.name not in held)]


def _percentages(policy: list[int], file: list[int]) -> list[int]:
    return sorted({*policy, *file})


def _either_none(policy: object, file: object) -> None:
    return None


def _groups(policy: list[ApprovalGroup], file: list[ApprovalGroup]) -> list[ApprovalGroup]:
    """Members of any group may approve: so where the policy names groups, the file's may hold none but their members.
    The file's stand beside them; one of the same name and its narrower form ask for both.
    """
    allowed = {member.casefold() for group in policy for member in group.members}
    strangers = sorted({member for group in file for member in group.members if member.casefold() not in allowed})
    if policy and strangers:
        raise _LooserError(f"{', '.join(strangers[:5])}: in none of the policy's groups, so they may not approve")
    return [*policy, *(group for group in file if group not in policy)]


def _other_pool(pool: str, allowed: Sequence[str]) -> str:
    return f"{pool} is none of the pools that the policy allows: {', '.join(allowed)}"


ENVIRONMENT_RULES: Final[Mapping[str, Callable[[EnvironmentPolicy, Environment], Any]]] = {
    "pool": _pool,
    "external": _external,
    "approval": _approval,
    "rollout": _rollout,
    "verification": _verification,
    "rollback": _rollback,
    "supersede": _supersede,
    "older_commits": _older_commits,
    "freeze_windows": _freeze_windows,
    "allow_windows": _allow_windows,
    "freeze_during_rollout": _during_freeze,
}
APPROVAL_RULES: Final[Mapping[str, Rule]] = {
    "required": _of(_most),
    "allow_author": _of(_only_both),
    "allow_machines": _of(_only_both),
    "allow_unverified": _of(_least_allowed),
    "one_person_many_groups": _of(_only_both),
    "signed": _of(_either),
    "expires_seconds": _of(_least),
    "groups": _of(_groups),
}
VERIFICATION_RULES: Final[Mapping[str, Rule]] = {
    "run": _of(_command),
    "timeout_seconds": _with_command,
    "bake_seconds": _of(_most),
    "max_error_rate": _of(_least),
    "max_latency_ms": _of(_least),
    "min_requests_per_sec": _of(_most),
    "consecutive_breaches": _with_limits,
    "metrics": _of(_checks),
}
ROLLOUT_RULES: Final[Mapping[str, Rule]] = {
    "percent": _of(_percentages),
    "pause_seconds": _of(_most),
    "steps": _of(_either_none),  # ``tightened_rollout`` is for those
}
