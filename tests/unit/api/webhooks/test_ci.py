"""Captured payloads of CI systems and of tools of one's own."""

import pytest

from api.webhooks.manifest import ActionName
from tests.webhooks.captured import DEPLOYMENT, SHA, decided, delivery_of, shop


@pytest.mark.parametrize(
    ("name", "event", "delivery", "url", "workflow"),
    [
        (
            "jenkins-finalized",
            "FINALIZED",
            "https://jenkins.example.com/job/shop/18/#FINALIZED",
            "git@github.com:acme/shop.git",
            "shop",
        ),
        (
            "circleci-workflow",
            "workflow-completed",
            "3888f21b-eaa7-38e3-8f3d-75a63bba8895",
            "https://github.com/acme/shop.git",
            "build-test",
        ),
        (
            "buildkite-finished",
            "build.finished",
            "98c11d1e-d181-45dc-a60f-64d0fc89f6a3",
            "https://github.com/acme/shop",
            "shop",
        ),
    ],
)
def test_a_passed_build_starts_a_deployment_of_who_names_it(
    name: str, event: str, delivery: str, url: str, workflow: str
) -> None:
    found = delivery_of(name)
    assert (found.event, found.delivery) == (event, delivery)
    unnamed = decided(name, shop(url))
    assert not unnamed.actions
    assert f"workflow {workflow!r} is not for it: no workflow starts it" in unnamed.reason
    (action,) = decided(name, shop(url, triggers={"workflows": [workflow]})).actions
    assert (action.action, action.service, action.problem) == (ActionName.START_DEPLOYMENT, "shop", None)
    assert (action.values["version"], action.values["git_commit_sha"], action.values["git_ref"]) == (
        SHA[:12],
        SHA,
        "main",
    )


def test_jenkins_tells_how_an_external_stage_went() -> None:
    (action,) = decided("jenkins-stage").actions
    assert action.action is ActionName.RECORD_STAGE
    assert action.values["deployment_id"] == DEPLOYMENT
    assert action.values["environment"] == "production"
    assert action.values["succeeded"] is False
    assert action.values["job_id"] == "https://jenkins.example.com/job/shop-deploy/9/"


@pytest.mark.parametrize(
    ("name", "action", "service", "value"),
    [
        ("generic-deployment", ActionName.START_DEPLOYMENT, "shop", ("version", "1.4.2")),
        ("generic-job", ActionName.START_JOB, None, ("steps", [{"name": "unit", "run": "pytest -q"}])),
        ("generic-metrics", ActionName.RECORD_METRICS, "shop", ("at", 1795275612000)),
        ("generic-hold", ActionName.PAUSE, "shop", ("by", "ann@example.com")),
    ],
)
def test_a_tool_of_ones_own(name: str, action: ActionName, service: str | None, value: tuple[str, object]) -> None:
    (planned,) = decided(name, shop("https://github.com/acme/shop.git")).actions
    assert (planned.action, planned.service) == (action, service)
    assert planned.values[value[0]] == value[1]
    assert delivery_of(name).delivery.startswith("msg_2KWPBgLlAfxdpx2AI54pPJ85f4")
