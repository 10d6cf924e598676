"""A commit's definition under the policy of its service: what tightens is merged, what loosens is refused by name."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from workflows.contracts.deployments.deployment import Approval, Decision
from workflows.contracts.deployments.policy import ENVIRONMENT_POLICY, ENVIRONMENT_WORK
from workflows.contracts.deployments.rules import ApprovalPolicy, Rollout, Verification
from workflows.contracts.deployments.services import Environment, EnvironmentPolicy, ServiceDefinition, ServicePolicy
from workflows.deployment.rules import policy as rules
from workflows.deployment.rules.approvals import missing
from workflows.deployment.rules.policy import LooserThanPolicy, tightened

STEPS = [{"name": "deploy", "run": "./deploy.sh"}]
BACK = {"steps": [{"name": "back", "run": "./back.sh"}]}
WEEKEND = {"name": "weekend", "cron": "0 17 * * 5", "duration_seconds": 3600}
FAIR = {"name": "fair", "cron": "0 8 1 * *", "duration_seconds": 7200}


def policy_of(**production: Any) -> ServicePolicy:
    return ServicePolicy.model_validate({"environments": [{"name": "staging"}, {"name": "production", **production}]})


def file_of(**production: Any) -> ServiceDefinition:
    given = [{"name": "staging", "steps": STEPS}, {"name": "production", "steps": STEPS, **production}]
    return ServiceDefinition.model_validate({"environments": given})


def kept(policy: Mapping[str, Any], file: Mapping[str, Any]) -> Environment:
    return tightened(policy_of(**policy), file_of(**file)).environments[1]


def refused(policy: Mapping[str, Any], file: Mapping[str, Any]) -> list[str]:
    with pytest.raises(LooserThanPolicy) as caught:
        kept(policy, file)
    return [error.field.removeprefix("environments.production.") for error in caught.value.errors]


def test_a_file_without_approval_gets_the_policys() -> None:
    """The case of the issue: a branch that says nothing of approvals went live."""
    asked = {"required": 2, "groups": [{"name": "sre", "members": ["bob", "cat"]}]}
    assert kept({"approval": asked}, {}).approval == ApprovalPolicy.model_validate(asked)
    assert kept({"approval": asked}, {"approval": {"required": 1}}).approval == ApprovalPolicy.model_validate(asked)


def test_what_the_policy_says_nothing_of_is_the_files() -> None:
    said = {"approval": {"required": 3}, "verification": {"run": "./v", "max_latency_ms": 5}, "freeze_windows": [FAIR]}
    environment = kept({}, said)
    assert environment == file_of(**said).environments[1]


@pytest.mark.parametrize(
    ("field", "policy", "file", "result"),
    [
        ("required", 2, 1, 2),
        ("required", 1, 2, 2),
        ("allow_author", True, False, False),
        ("allow_author", False, True, False),
        ("allow_author", True, True, True),
        ("signed", True, False, True),
        ("signed", False, True, True),
        ("expires_seconds", 60, 600, 60),
        ("expires_seconds", 600, 60, 60),
    ],
)
def test_of_two_approvals_the_stricter_word_counts(field: str, policy: Any, file: Any, result: Any) -> None:
    approval = kept({"approval": {field: policy}}, {"approval": {field: file}}).approval
    assert getattr(approval, field) == result


@pytest.mark.parametrize(
    ("field", "policy", "file", "result"),
    [
        ("max_error_rate", 0.01, 0.5, 0.01),
        ("max_error_rate", 0.5, 0.01, 0.01),
        ("max_error_rate", 0.5, None, 0.5),
        ("max_error_rate", None, 0.5, 0.5),
        ("max_latency_ms", 100, 500, 100),
        ("max_latency_ms", 500, 0, 0),
        ("min_requests_per_sec", 5, 1, 5),
        ("min_requests_per_sec", 5, 9, 9),
        ("min_requests_per_sec", None, 9, 9),
        ("bake_seconds", 300, 0, 300),
        ("bake_seconds", 300, 600, 600),
        ("run", "./smoke.sh", None, "./smoke.sh"),
        ("run", "./smoke.sh", "./smoke.sh", "./smoke.sh"),
        ("run", None, "./own.sh", "./own.sh"),
    ],
)
def test_of_two_verifications_the_stricter_limit_counts(field: str, policy: Any, file: Any, result: Any) -> None:
    verification = kept({"verification": {field: policy}}, {"verification": {field: file}}).verification
    assert getattr(verification, field) == result


def test_the_number_of_breaches_is_of_who_sets_limits_and_the_timeout_of_who_says_the_command() -> None:
    patient = {"max_error_rate": 0.1, "consecutive_breaches": 3, "timeout_seconds": 900}
    assert kept({"verification": patient}, {"verification": {"run": "./v", "timeout_seconds": 1200}}).verification == (
        Verification(run="./v", timeout_seconds=1200, max_error_rate=0.1, consecutive_breaches=3)
    )
    both = kept({"verification": patient}, {"verification": {"max_error_rate": 0.5, "consecutive_breaches": 2}})
    assert both.verification is not None
    assert (both.verification.consecutive_breaches, both.verification.max_error_rate) == (2, 0.1)
    own = kept({"verification": {"run": "./v", "timeout_seconds": 900}}, {"verification": {"bake_seconds": 1}})
    assert own.verification is not None
    assert own.verification.timeout_seconds == 900


def test_freezes_add_up() -> None:
    windows = kept({"freeze_windows": [WEEKEND]}, {"freeze_windows": [FAIR, WEEKEND]}).freeze_windows
    assert [window.name for window in windows] == ["weekend", "fair"]


def test_a_rollout_stops_wherever_one_of_both_stops() -> None:
    slow = kept({"rollout": {"percent": [10, 100], "pause_seconds": 60}}, {"rollout": {"percent": [50, 100]}})
    assert slow.rollout == Rollout(percent=[10, 50, 100], pause_seconds=60)
    assert kept({"rollout": {"percent": [10, 100], "pause_seconds": 60}}, {}).rollout.percent == [10, 100]


def test_whether_older_commits_are_asked_about_is_the_policys_word() -> None:
    assert kept({"older_commits": "ask"}, {}).older_commits == "ask"
    assert kept({"older_commits": "ask"}, {"older_commits": "ask"}).older_commits == "ask"
    assert kept({}, {}).older_commits == "supersede"
    assert refused({}, {"older_commits": "ask"}) == ["older_commits"]
    assert "older_commits" not in kept({}, {}).model_dump(), "an older worker reads the rest"


def test_the_policys_rollback_and_order_in_line_are_taken() -> None:
    environment = kept({"rollback": BACK, "supersede": "older"}, {})
    assert environment.rollback is not None
    assert (environment.rollback.steps[0].run, environment.supersede) == ("./back.sh", "older")
    assert kept({"rollback": BACK}, {"rollback": BACK}).rollback == environment.rollback


@pytest.mark.parametrize(
    ("policy", "file", "fields"),
    [
        ({"pools": ["a", "b"]}, {"pool": "c"}, ["pool"]),
        ({}, {"external": True}, ["external"]),
        ({"external": True}, {}, ["external"]),
        ({"rollback": BACK}, {"rollback": {"steps": STEPS}}, ["rollback"]),
        ({}, {"rollback": BACK}, ["rollback"]),
        ({}, {"supersede": "older"}, ["supersede"]),
        ({"verification": {"run": "./smoke.sh"}}, {"verification": {"run": "true"}}, ["verification.run"]),
        (
            {"approval": {"groups": [{"name": "sre", "members": ["bob", "cat"]}]}},
            {"approval": {"groups": [{"name": "friends", "members": ["eve"]}]}},
            ["approval.groups"],
        ),
        ({"pools": ["a"], "rollback": BACK}, {"pool": "b", "rollback": {"steps": STEPS}}, ["pool", "rollback"]),
    ],
)
def test_what_is_looser_is_refused_by_name(policy: dict[str, Any], file: dict[str, Any], fields: list[str]) -> None:
    assert refused(policy, file) == fields


@pytest.mark.parametrize("names", [["production"], ["staging"], ["production", "staging"], ["staging", "live"], []])
def test_other_environments_or_another_order_are_refused(names: list[str]) -> None:
    file = ServiceDefinition.model_construct(
        build=None, test=None, environments=[Environment.model_validate({"name": n, "steps": STEPS}) for n in names]
    )
    with pytest.raises(LooserThanPolicy, match="staging, production, in this order") as caught:
        tightened(policy_of(), file)
    assert [error.field for error in caught.value.errors] == ["environments"]


def test_build_and_test_run_in_the_policys_pools() -> None:
    job = {"pool": "production", "steps": STEPS}
    given = {"build": job, "test": job, "environments": file_of().model_dump()["environments"]}
    with pytest.raises(LooserThanPolicy, match="production is none of the pools") as caught:
        tightened(policy_of(), ServiceDefinition.model_validate(given))
    assert [error.field for error in caught.value.errors] == ["build.pool", "test.pool"]
    allowed = ServicePolicy.model_validate({"pools": ["production"], "environments": policy_of().environments})
    assert tightened(allowed, ServiceDefinition.model_validate(given)).build is not None


def test_what_is_well_alone_and_not_together_is_refused() -> None:
    many = [{**WEEKEND, "name": f"w{number}"} for number in range(30)]
    more = [{**FAIR, "name": f"f{number}"} for number in range(30)]
    assert refused({"freeze_windows": many}, {"freeze_windows": more}) == ["environments.1.freeze_windows"]


def test_nobody_is_let_in_whom_the_policy_would_not_let_in() -> None:
    """Over many pairs of approvals: whatever lets a version in by both, lets it in by the policy alone."""
    people = ("ann", "bob", "cat", "dan")
    groups = [
        [],
        [{"name": "sre", "members": ["bob", "cat"]}],
        [{"name": "sre", "members": ["Bob"], "required": 1}, {"name": "qa", "members": ["cat", "bob"], "required": 2}],
    ]
    policies = [{"required": number, "groups": of} for number in (1, 2, 3) for of in groups]
    compared = 0
    for asked, given in itertools.product(policies, repeat=2):
        try:
            both = kept({"approval": asked}, {"approval": given}).approval
        except LooserThanPolicy:
            continue
        assert both is not None
        for some in itertools.chain.from_iterable(itertools.combinations(people, n) for n in range(5)):
            yes = [
                Approval(environment="production", decision=Decision.APPROVE, by=by, at=1, git_commit_sha="a" * 40)
                for by in some
            ]
            if missing(both, yes, "production") is None and _may_approve(both, some):
                assert missing(ApprovalPolicy.model_validate(asked), yes, "production") is None
                assert _may_approve(ApprovalPolicy.model_validate(asked), some)
                compared += 1
    assert compared > 100


def _may_approve(policy: ApprovalPolicy, people: tuple[str, ...]) -> bool:
    members = {member.casefold() for group in policy.groups for member in group.members}
    return not policy.groups or all(person in members for person in people)


@pytest.mark.parametrize(
    ("model", "table"),
    [
        (ApprovalPolicy, rules.APPROVAL_RULES),
        (Verification, rules.VERIFICATION_RULES),
        (Rollout, rules.ROLLOUT_RULES),
    ],
)
def test_every_field_has_a_rule(model: type[BaseModel], table: Mapping[str, object]) -> None:
    assert set(table) == set(model.model_fields), "say which of two values is the stricter one"


def test_every_field_of_an_environment_is_policy_or_work() -> None:
    assert set(Environment.model_fields) == ENVIRONMENT_POLICY | ENVIRONMENT_WORK
    assert set(rules.ENVIRONMENT_RULES) == ENVIRONMENT_POLICY - {"name"}
    assert set(EnvironmentPolicy.model_fields) == ENVIRONMENT_POLICY - {"pool"} | {"pools"}


OFFICE = {"name": "office", "cron": "0 9 * * 1-5", "duration_seconds": 3600}
NIGHT = {"name": "night", "cron": "0 1 * * *", "duration_seconds": 3600}


def test_a_file_may_not_open_more_than_the_policy() -> None:
    assert [each.name for each in kept({"allow_windows": [OFFICE]}, {}).allow_windows] == ["office"]
    assert [each.name for each in kept({}, {"allow_windows": [OFFICE]}).allow_windows] == ["office"]
    both = kept({"allow_windows": [OFFICE, NIGHT]}, {"allow_windows": [NIGHT]})
    assert [each.name for each in both.allow_windows] == ["night"]
    assert refused({"allow_windows": [OFFICE]}, {"allow_windows": [NIGHT]}) == ["allow_windows"]


def test_whether_rollouts_finish_in_a_freeze_the_policy_says() -> None:
    assert kept({}, {"freeze_during_rollout": "finish"}).freeze_during_rollout == "pause"
    assert kept({"freeze_during_rollout": "finish"}, {}).freeze_during_rollout == "finish"


@pytest.mark.parametrize(
    ("policy", "file", "result"),
    [
        ([10, {"seconds": 60}, 100], [10, 50, {"seconds": 5}, 100], [10, {"seconds": 60}, 50, {"seconds": 5}, 100]),
        ([10, "until_resumed", 100], [100], [10, "until_resumed", 100]),
        ([10, {"seconds": 60}, 100], [10, {"seconds": 90}, 100], [10, {"seconds": 90}, 100]),
        ([10, {"seconds": 60}, 100], [10, {"seconds": 5}, {"seconds": 5}, 100], [10, {"seconds": 60}, 100]),
        ([10, "until_resumed", 100], [10, {"seconds": 5}, 100], [10, {"seconds": 5}, "until_resumed", 100]),
    ],
)
def test_the_steps_of_both_are_kept_each_pause_where_it_was(policy: list[Any], file: list[Any], result: Any) -> None:
    assert kept(_steps(policy), _steps(file)).rollout == Rollout.model_validate(_steps(result)["rollout"])


def test_a_policy_of_percentages_keeps_its_pause_behind_each_step_of_a_file() -> None:
    rollout = kept({"rollout": {"percent": [10, 100], "pause_seconds": 60}}, _steps([50, 100])).rollout
    assert rollout == Rollout.model_validate(_steps([10, {"seconds": 60}, 50, {"seconds": 60}, 100])["rollout"])


@pytest.mark.parametrize(
    "steps",
    [[], [50], [100, 50], [{"seconds": 5}, 100], [100, {"seconds": 5}], [10, 10, 100], [10, {"seconds": 0}, 100]],
)
def test_steps_that_make_no_rollout_are_refused(steps: list[Any]) -> None:
    with pytest.raises(ValidationError):
        Rollout.model_validate(_steps(steps)["rollout"])


def test_steps_and_percentages_are_not_mixed() -> None:
    for more in ({"percent": [10, 100]}, {"pause_seconds": 5}):
        with pytest.raises(ValidationError, match="either `steps`, or"):
            Rollout.model_validate({**_steps([10, 100])["rollout"], **more})
    assert Rollout.model_validate(Rollout.model_validate(_steps([10, 100])["rollout"]).model_dump()).steps is not None
    assert "steps" not in Rollout().model_dump()  # an older worker reads it


def _steps(given: list[Any]) -> dict[str, Any]:
    return {"rollout": {"steps": [{"percent": each} if isinstance(each, int) else {"pause": each} for each in given]}}
