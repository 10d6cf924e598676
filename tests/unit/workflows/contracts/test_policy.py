"""Which part of a service is policy: every difference there is told, and none elsewhere."""

from typing import Any

import pytest

from workflows.contracts.deployments import policy
from workflows.contracts.deployments.policy import DecidePolicyChange, lacks_policy, no_second_person, policy_changes
from workflows.contracts.deployments.services import PolicyChange, ServiceSpec
from workflows.contracts.identity.people import Somebody

STEPS = [{"name": "d", "run": "./d"}]
STAGING: dict[str, Any] = {"name": "staging", "steps": STEPS}
PRODUCTION: dict[str, Any] = {"name": "production", "steps": STEPS, "approval": {"required": 2}}
BASE: dict[str, Any] = {
    "git_repo": "https://example.com/shop.git",
    "git_ref": "main",
    "build": {"steps": STEPS},
    "environments": [STAGING, PRODUCTION],
}
IN_REPOSITORY: dict[str, Any] = {
    "git_repo": "https://example.com/shop.git",
    "definition": {"path": "a.yml"},
    "policy": {"environments": [{"name": "production", "approval": {"required": 2}}]},
}
WINDOW = {"name": "w", "cron": "0 17 * * 5", "duration_seconds": 60}


def spec_of(**fields: Any) -> ServiceSpec:
    return ServiceSpec.model_validate({**BASE, **fields})


def production(**fields: Any) -> dict[str, Any]:
    return {"environments": [STAGING, {**PRODUCTION, **fields}]}


def fields_of(after: ServiceSpec, before: ServiceSpec | None = None) -> set[str]:
    return {change.partition(": ")[0] for change in policy_changes(before or spec_of(), after)}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"git_repo": "https://example.com/other.git"}, "git_repo"),
        ({"git_ref": "next"}, "git_ref"),
        ({"commit_on_ref": True}, "commit_on_ref"),
        ({"policy_change_needs_second_person": True}, "policy_change_needs_second_person"),
        ({"build": {"steps": STEPS, "pool": "big"}}, "build.pool"),
        (production(pool="other"), "environments.production.pool"),
        (production(approval={"required": 1}), "environments.production.approval.required"),
        (production(approval={"required": 2, "signed": True}), "environments.production.approval.signed"),
        (production(rollout={"percent": [10, 100]}), "environments.production.rollout.percent"),
        (production(verification={"max_error_rate": 0.1}), "environments.production.verification.max_error_rate"),
        (production(verification={"run": "true"}), "environments.production.verification.run"),
        (production(rollback={"steps": STEPS}), "environments.production.rollback.steps"),
        (production(supersede="older"), "environments.production.supersede"),
        (production(freeze_windows=[WINDOW]), "environments.production.freeze_windows"),
        (production(external=True), "environments.production.external"),
        ({"environments": [PRODUCTION]}, "environments.(order)"),
        ({"environments": [{"name": "qa", "steps": STEPS}, PRODUCTION]}, "environments.qa.pool"),
    ],
)  # fmt: skip
def test_what_is_policy_is_told_by_field(change: dict[str, Any], field: str) -> None:
    assert field in fields_of(spec_of(**change))
    assert field in fields_of(spec_of(), spec_of(**change)), "back again as well"


@pytest.mark.parametrize(
    "change",
    [
        {"description": "x"},
        {"labels": {"team": "shop"}},
        {"build": {"steps": [{"name": "other", "run": "./other"}], "env": {"A": "1"}}},
        production(steps=[{"name": "other", "run": "./other"}], env={"A": "1"}, health_check={"run": "true"}),
        production(secrets=["TOKEN"], timeout_seconds=60, requires=["gpu=a100"]),
    ],
)
def test_the_rest_is_not_policy(change: dict[str, Any]) -> None:
    assert policy_changes(spec_of(), spec_of(**change)) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"definition": {"path": "b.yml"}}, "definition.path"),
        ({"definition": {"path": "a.yml", "pool": "b"}}, "definition.pool"),
        (
            {"policy": {"environments": [{"name": "production", "approval": {"required": 1}}]}},
            "policy.environments.production.approval.required",
        ),
        ({"policy": {**IN_REPOSITORY["policy"], "pools": ["a"]}}, "policy.pools"),
        ({"policy": None}, "policy.environments.(order)"),
    ],
)
def test_the_policy_of_a_definition_in_the_repository(change: dict[str, Any], field: str) -> None:
    before = ServiceSpec.model_validate(IN_REPOSITORY)
    assert field in fields_of(ServiceSpec.model_validate({**IN_REPOSITORY, **change}), before)


def test_two_of_one_name_in_a_list_hide_no_difference() -> None:
    one, other = {**WINDOW, "duration_seconds": 60}, {**WINDOW, "duration_seconds": 3600}
    two, swapped = production(freeze_windows=[one, other]), production(freeze_windows=[one, one])
    assert policy_changes(spec_of(**two), spec_of(**swapped)) != []


def test_words_are_short_and_show_no_steps() -> None:
    secret = production(rollback={"steps": [{"name": "b", "run": "./b", "env": {"TOKEN": "s3cret"}}]})
    groups = [{"name": f"g{number}", "members": ["ann"]} for number in range(20)]
    changes = policy_changes(spec_of(), spec_of(**secret))
    assert "environments.production.rollback.steps: changed" in changes
    assert "s3cret" not in "".join(changes)
    long = policy_changes(spec_of(), spec_of(**production(approval={"required": 2, "groups": groups})))
    assert all(len(change) < 400 for change in long)
    lines = policy_changes(spec_of(), spec_of(**production(verification={"run": "a\nb"})))
    assert not any("\n" in change for change in lines)


def test_every_field_of_a_service_is_policy_or_not() -> None:
    assert set(ServiceSpec.model_fields) == policy.SPEC_POLICY | policy.SPEC_OTHER


def test_a_spec_without_new_fields_is_written_as_before() -> None:
    """An older worker refuses fields that it does not know."""
    new = {"commit_on_ref", "policy", "policy_change_needs_second_person"}
    assert not new & set(spec_of().model_dump(mode="json"))
    assert new < set(ServiceSpec.model_fields)


def test_only_a_definition_in_the_repository_can_lack_a_policy() -> None:
    assert lacks_policy(spec_of()) is None
    assert lacks_policy(ServiceSpec.model_validate(IN_REPOSITORY)) is None
    lacking = lacks_policy(ServiceSpec.model_validate({**IN_REPOSITORY, "policy": None}))
    assert lacking is not None
    assert lacking.field == "policy"


def test_a_second_person_is_another_one() -> None:
    change = PolicyChange(spec=spec_of(), changes=[], asked_by="key:Ann", asked_at=1)
    names = ("key:Ann", " KEY:ann ", "key:bob")
    assert [refusal(change, by) is None for by in names] == [False, False, True]


def test_one_person_with_two_keys_is_no_second_person() -> None:
    ann = Somebody(person="ann", names=["key:ann-laptop"])
    change = PolicyChange(spec=spec_of(), changes=[], asked_by="key:ann-laptop", asked_at=1, identity=ann)
    desktop = Somebody(person="ann", names=["key:ann-desktop"])
    assert refusal(change, "key:ann-desktop", desktop) == (
        "key:ann-desktop asked for it, as key:ann-laptop: another person must agree to it"
    )
    assert refusal(change, "key:bob", Somebody(person="bob")) is None
    assert refusal(change, "key:ci", Somebody(person="ci", machine=True)) == (
        "key:ci is a machine: a person must agree to it"
    )


def refusal(change: PolicyChange, by: str, identity: Somebody | None = None) -> str | None:
    decision = DecidePolicyChange(name="shop", version=1, approve=True, by=by, identity=identity)
    return no_second_person(change, decision)
