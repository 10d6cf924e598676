"""Metrics are told once a minute, by the first sample of it, in the record's transaction."""

from activities.deployments.links import UpdateDeployment
from activities.deployments.told import MetricsTold
from activities.deployments.transitions import DeploymentOperation
from activities.stores.open import open_memory_stores
from tests.stores.lives import NOON
from tests.stores.releases import make_deployment
from tests.stores.trails import trail
from tests.unit.activities.jobs.test_links import context
from workflows.contracts.deployments.deployment import DeploymentStatus, DeploymentWrite, MetricSample

MINUTE = 60_000


def samples(*at: int) -> list[MetricSample]:
    return [MetricSample(at=NOON + each, error_rate=each / 1000, by="prometheus", breaches=["too many"]) for each in at]


def write(sequence: int, *at: int) -> DeploymentWrite:
    deployment = make_deployment(sequence=sequence, metric_samples=samples(*at)).model_copy(
        update={"deployment_id": "d"}
    )
    return DeploymentWrite(deployment=deployment, previous=DeploymentStatus.PENDING)


async def test_the_first_sample_of_each_minute_is_told_with_the_record() -> None:
    stores = open_memory_stores()
    await stores.deployments.write(DeploymentWrite(deployment=write(1).deployment))
    link = UpdateDeployment(stores.deployments, DeploymentOperation.PREPARE)
    other = UpdateDeployment(stores.deployments, DeploymentOperation.PREPARE)  # of another process
    for sequence, link_used, at in (
        (2, link, (1_000,)),
        (3, other, (1_000, 2_000)),
        (4, link, (1_000, 2_000, 3_000)),
        (5, link, (2_000, 3_000, MINUTE + 5, MINUTE + 9)),  # two came before one write
    ):
        await link_used.call(context(write=write(sequence, *at)))
    found = list(reversed(await trail(stores.events)))
    assert [(event.action, event.at - NOON) for event in found] == [
        ("metric.recorded", 1_000),
        ("metric.recorded", MINUTE + 5),
    ]
    assert (found[0].by, found[0].service_name, found[0].deployment_id) == ("prometheus", "checkout", "d")
    assert found[0].details["error_rate"] == 1.0
    assert found[0].message == "too many"


def test_a_process_carries_an_event_only_until_it_is_kept() -> None:
    told, first = MetricsTold(), write(2, 1_000)
    assert len(told.added(first).events) == len(told.added(first).events) == 1, "a write that failed is tried again"
    told.kept(first)
    assert told.added(write(3, 1_000, 2_000)).events == []
    assert told.added(write(2)).events == []
