"""Which part of a service is its policy, how two of them differ, and what is asked of a change that waits. Pure.

Policy is what whoever owns the environments asks of a version; the rest (steps, their variables, health checks) is how
it is done. Deliberately not here: tightening it by a commit's file (``workflows.deployment.rules.policy``).
"""

import json
from typing import Annotated, Any, Final, cast

from pydantic import Field, StrictBool, StringConstraints

from workflows.contracts.deployments.services import PolicyChange, ServiceName, ServiceSpec
from workflows.contracts.errors import FieldError
from workflows.contracts.fields import Text
from workflows.contracts.identity.people import Somebody, identity_of, same_person
from workflows.contracts.who import Named

ENVIRONMENT_POLICY: Final = frozenset(
    {
        "name",
        "pool",
        "external",
        "approval",
        "rollout",
        "verification",
        "rollback",
        "supersede",
        "older_commits",
        "freeze_windows",
        "allow_windows",
        "freeze_during_rollout",
    }
)
"""The fields of an environment that are policy."""
ENVIRONMENT_WORK: Final = frozenset(
    {
        "requires",
        "steps",
        "env",
        "secrets",
        "artifacts",
        "artifact_rules",
        "checkout",
        "timeout_seconds",
        "retry",
        "health_check",
        "expand",
        "cancel",
        "resume",
        "inputs",
    }
)
"""The others, which a commit may say as it likes."""
SPEC_POLICY: Final = frozenset(
    {
        "git_repo",
        "git_ref",
        "commit_on_ref",
        "allow_version_reuse",
        "definition",
        "policy",
        "policy_change_needs_second_person",
        "triggers",
    }
)
SPEC_OTHER: Final = frozenset({"description", "labels", "build", "test", "environments"})
"""Of ``build`` and ``test`` the pool is policy, of ``environments`` ``ENVIRONMENT_POLICY`` and the order."""
_ORDER: Final = "(order)"  # no environment can have this name
_SHOWN: Final = 120
_MOST_CHANGES: Final = 50
HOW_TO_WRITE: Final = (
    "the definition is in the repository, so the service must say what each commit's file has to keep: "
    "`policy: {environments: [{name: staging}, {name: production, pools: [default], approval: {required: 1}}]}`"
)


class DecidePolicyChange(Named):
    """Yes or no to the change that waits in this very version of a service: what was read is what is decided."""

    name: ServiceName
    version: Annotated[int, Field(ge=1)]
    approve: StrictBool
    reason: Annotated[Text, StringConstraints(max_length=1024)] = ""
    identity: Somebody | None = Field(default=None, exclude_if=lambda identity: identity is None)


def lacks_policy(spec: ServiceSpec) -> FieldError | None:
    """What is to be written, when the definition is in the repository and nobody has said what it must keep."""
    if spec.definition is None or spec.policy is not None:
        return None
    return FieldError(field="policy", message=HOW_TO_WRITE)


def definition_errors(spec: ServiceSpec) -> list[FieldError]:
    """Why nothing can be deployed by a definition in the repository: no policy, or an agent reads it that the version's
    last environment does not trust. What that agent says the commit holds is signed and run there.
    """
    if (lacking := lacks_policy(spec)) is not None:
        return [lacking]
    if spec.definition is None or spec.policy is None:
        return []
    own = [environment for environment in spec.policy.environments if not environment.external]
    if not own or spec.definition.pool in own[-1].pools:
        return []
    pool, last = spec.definition.pool, own[-1]
    message = (
        f"{pool} is none of {last.name}'s pools ({', '.join(last.pools)}), and whoever reads the definition says what"
        f" runs in {last.name}: name one of those"
    )
    return [FieldError(field="definition.pool", message=message)]


def policy_changes(before: ServiceSpec, after: ServiceSpec) -> list[str]:
    """What differs between two policies, in words, by field; empty when nothing does."""
    was, now = _flat(policy_of(before)), _flat(policy_of(after))
    differing = [field for field in sorted(was.keys() | now.keys()) if was.get(field) != now.get(field)]
    said = [_said(field, was.get(field), now.get(field)) for field in differing[:_MOST_CHANGES]]
    more = len(differing) - len(said)
    return [*said, f"and {more} more"] if more else said


def policy_of(spec: ServiceSpec) -> dict[str, Any]:
    """The policy of a service as plain data. Environments stand by their names, with their order beside them."""
    whole = spec.model_dump(mode="json")
    pools = {f"{name}.pool": whole[name]["pool"] for name in ("build", "test") if whole[name] is not None}
    return {
        **{name: whole.get(name) for name in SPEC_POLICY},
        **pools,
        "environments": _by_name(whole["environments"], ENVIRONMENT_POLICY),
        "policy": _policy_by_name(whole.get("policy")),
    }


def no_second_person(change: PolicyChange, decision: DecidePolicyChange) -> str | None:
    """Why whoever decides is not a second person, None when it is one: somebody else than who asked, and no machine."""
    asker = identity_of(change.asked_by) if change.identity is None else change.identity
    decider = identity_of(decision.by) if decision.identity is None else decision.identity
    if decider.machine:
        return f"{decision.by} is a machine: a person must agree to it"
    if not same_person(asker, decider):
        return None
    alias = "" if decision.by.strip().casefold() == change.asked_by.strip().casefold() else f", as {change.asked_by}"
    return f"{decision.by} asked for it{alias}: another person must agree to it"


def _policy_by_name(policy: dict[str, Any] | None) -> dict[str, Any] | None:
    return policy and {**policy, "environments": _by_name(policy["environments"], None)}


def _by_name(environments: list[dict[str, Any]], fields: frozenset[str] | None) -> dict[str, Any]:
    """No two have one name: a model of the contracts has seen to that. None as ``fields``: all."""
    named = {
        each["name"]: {field: value for field, value in each.items() if fields is None or field in fields}
        for each in environments
    }
    return {_ORDER: [each["name"] for each in environments], **named}


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """By path. Lists are values of their own: what stands in them may have the same name twice."""
    found: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, dict) and each:
            found |= _flat(cast("dict[str, Any]", each), f"{prefix}{name}.")
        elif each is not None:
            found[f"{prefix}{name}"] = each
    return found


def _said(field: str, was: Any, now: Any) -> str:
    if field.endswith(".steps"):  # long, and what they hold in variables is nothing for the trail
        return f"{field}: changed"
    return f"{field}: {_shown(was)} → {_shown(now)}"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value, ensure_ascii=True)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
