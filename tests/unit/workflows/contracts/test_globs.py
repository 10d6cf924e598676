"""Artifacts as they are asked for: written out, refused at submission, or demanded of an agent that knows them."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from workflows.contracts.commands import Amend
from workflows.contracts.deployments.services import JobDefinition
from workflows.contracts.errors import field_errors
from workflows.contracts.fields import INCOMING
from workflows.contracts.jobs import JobSpec, new_job, spec_of
from workflows.contracts.statuses import JobStatus
from workflows.contracts.workspace.checkout import CheckoutOptions
from workflows.contracts.workspace.features import ARTIFACT_RULES
from workflows.contracts.workspace.globs import means, written_out
from workflows.contracts.workspace.inputs import InputFiles
from workflows.job.record import amended, attempt_input, finished

DEMAND = f"{ARTIFACT_RULES}=*"


def spec(**fields: Any) -> JobSpec:
    values = {"job_type": "t", "git_repo": "https://example.com/x.git", "git_commit_sha": "a" * 40, "git_author": "ann"}
    return JobSpec.model_validate_json(json.dumps(values | fields), strict=True, context=INCOMING)


@pytest.mark.parametrize(
    ("pattern", "plain"),
    [
        ("dist/*.whl", ["dist/*.whl"]),
        ("dist/*.{whl,tar.gz}", ["dist/*.whl", "dist/*.tar.gz"]),
        ("{a,b}/{c,d}", ["a/c", "a/d", "b/c", "b/d"]),
        ("a{,.txt}", ["a", "a.txt"]),
        ("!out/{x,y}", ["!out/x", "!out/y"]),
        ("[{]x[}]", ["[{]x[}]"]),
        ("[ab]{c,d}", ["[ab]c", "[ab]d"]),
    ],
)
def test_choices_are_written_out(pattern: str, plain: list[str]) -> None:
    assert written_out(pattern) == plain
    assert spec(artifacts=["kept", pattern]).artifacts == ["kept", *plain]


@pytest.mark.parametrize(
    "artifacts",
    [
        ["a{b"], ["a}b"], ["${NAME}.whl"], ["{a,{b,c}}"], ["{a}"], ["!"], ["!/etc"], ["!a"], ["{.,a}./x"],
        ["{a,b,c,d,e,f,g,h,i,j}{a,b,c,d,e,f,g,h,i,j,k}"], [f"{{a,b}}{n}" for n in range(51)],
        {"path": ["a"]}, {"if_none": "fail"}, {"paths": "a"}, {"paths": ["a"], "if_none": "maybe"},
        {"paths": ["a"], "expires": 3},
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_at_submission(artifacts: object) -> None:
    with pytest.raises(ValidationError, match="artifact"):
        spec(artifacts=artifacts)


def test_what_an_earlier_version_took_stays_readable() -> None:
    taken = spec(artifacts=["x"]).model_dump(mode="json") | {"artifacts": ["${NAME}", "a{b", "!only"]}
    assert JobSpec.model_validate_json(json.dumps(taken)).artifacts == ["${NAME}", "a{b", "!only"]


def test_a_plain_job_is_written_as_before_and_demands_nothing() -> None:
    plain = spec(artifacts=["dist/*.{a,b}"])
    assert plain.requires == []
    assert "artifact_rules" not in plain.model_dump()
    assert "artifact_rules" not in attempt_input(new_job(plain, job_id="1", now=1), 1, avoid_agent=None).model_dump()


@pytest.mark.parametrize(
    "checkout",
    [
        {"none": True, "tags": True}, {"depth": 0}, {"path": "/etc"}, {"path": "a/../b"}, {"path": ".git/hooks"},
        {"path": ""}, {"submodules": "yes"}, {"unknown": True}, {"path": "a\n"},
    ],
)  # fmt: skip
def test_a_checkout_that_means_nothing_is_refused(checkout: object) -> None:
    with pytest.raises(ValidationError, match="checkout"):
        spec(checkout=checkout)


def test_a_checkout_of_its_own_demands_an_agent_that_knows_it() -> None:
    job = new_job(spec(checkout={"submodules": True, "depth": 3}, artifacts=["a", "!b"]), job_id="1", now=1)
    assert job.requires == [DEMAND, "hybridci/checkout=*"]
    assert attempt_input(job, 1, avoid_agent=None).checkout == job.checkout
    plain = new_job(spec(checkout={"submodules": False}), job_id="1", now=1)
    assert (plain.requires, "checkout" in plain.model_dump()) == ([], False)


def test_a_deployments_jobs_are_always_checked_out() -> None:
    assert JobDefinition(checkout=CheckoutOptions(tags=True)).checkout.tags
    with pytest.raises(ValidationError, match=r"checkout\.none"):
        JobDefinition(checkout=CheckoutOptions(none=True))


@pytest.mark.parametrize(
    ("said", "seconds"), [("7d", 604_800), (" 12 H", 43_200), ("90", 90), (3600, 3600), ("2w", 1_209_600)]
)
def test_how_long_files_are_kept_is_a_duration_and_no_agents_matter(said: object, seconds: int) -> None:
    asked = spec(artifacts={"paths": ["a"], "expires": said})
    assert asked.artifact_rules.expires == seconds
    job = new_job(asked, job_id="1", now=1)
    assert job.requires == []
    assert "artifact_rules" not in attempt_input(job, 1, avoid_agent=None).model_dump()
    assert JobSpec.model_validate_json(asked.model_dump_json()) == asked
    ended = finished(job, JobStatus.SUCCESS, None, 5_000)
    assert ended.artifacts_expire_at == ended.summary().artifacts_expire_at == 5_000 + seconds * 1000
    plain = finished(new_job(spec(), job_id="1", now=1), JobStatus.SUCCESS, None, 5_000)
    assert "artifacts_expire_at" not in plain.model_dump()
    assert "artifacts_expire_at" not in plain.summary().model_dump()


@pytest.mark.parametrize("said", ["soon", "", "-1d", "30s", "1.5d", 0, 59, 10**10, "99999w", True, 3600.5])
def test_what_is_no_time_to_keep_files_is_refused(said: object) -> None:
    with pytest.raises(ValidationError, match="expires"):
        spec(artifacts={"paths": ["a"], "expires": said})


@pytest.mark.parametrize("artifacts", [["a", "!b"], {"paths": ["a"], "if_none": "fail"}])
def test_what_an_earlier_agent_would_pass_over_demands_one_that_knows_it(artifacts: object) -> None:
    job = new_job(spec(artifacts=artifacts, requires=["os=linux"]), job_id="1", now=1)
    assert job.requires == ["os=linux", DEMAND]
    assert spec_of(job).requires == ["os=linux"], "it follows from the others"
    assert attempt_input(job, 1, avoid_agent=None).artifact_rules == job.artifact_rules
    assert amended(job, Amend(requires=["gpu=*"], by="ann")).requires == ["gpu=*", DEMAND]


def test_a_demand_that_is_not_used_any_more_goes() -> None:
    asked = spec(requires=[DEMAND, "os=linux"], artifacts=["a"])
    assert new_job(asked, job_id="1", now=1).requires == ["os=linux"]


@pytest.mark.parametrize(
    ("pattern", "path", "meant"),
    [
        ("dist/*", "dist/a", True), ("dist/*", "dist/a/b", True), ("dist/*", "dist", False), ("dist", "dist/a/b", True),
        ("**", "a/b", True), ("**/x", "x", True), ("**/x", "a/b/x", True), ("**/x", "a/b/y", False),
        ("a/**", "a", True), ("a/**/z", "a/z", True), ("a/**/z", "a/b/c/z", True), ("a/**/z", "a/b/c", False),
        ("**/b/**/d", "a/b/c/d", True), ("{a,b}/x", "b/x", True), ("a/b", "a", False), ("**/**", "a", True),
    ],
)  # fmt: skip
def test_what_a_pattern_means(pattern: str, path: str, meant: bool) -> None:
    assert means(pattern, path) is meant


def test_no_words_take_for_ever() -> None:
    """`**/` six times and a deep path took more than ten seconds, twenty of them the whole afternoon."""
    assert not means("**/" * 60 + "x", "a/" * 200 + "y")
    assert means("**/" * 60 + "x", "a/" * 200 + "x")


def test_more_than_a_few_seconds_of_looking_is_refused() -> None:
    wanted = InputFiles(branch="main", artifacts=["{a,b,c,d,e}/" * 2 + "**/" * 50 + "x"] * 20)
    with pytest.raises(ValueError, match="use fewer"):
        wanted.chosen(["a/" * 100 + "y"] * 1000)


@pytest.mark.parametrize("model", [JobSpec, JobDefinition])
@pytest.mark.parametrize("rule", ["if_none", "expires"])
def test_what_is_wrong_with_a_map_is_told_where_it_was_written(model: type[BaseModel], rule: str) -> None:
    """It was told as ``artifact_rules``, which nobody writes."""
    with pytest.raises(ValidationError) as refused:
        model.model_validate({"artifacts": {"paths": ["a"], rule: "soon"}, "env": {"artifact_rules": 1}})
    fields = [each.field for each in field_errors(refused.value, shape=model)]
    assert f"artifacts.{rule}" in fields
    assert "env.artifact_rules" in fields
