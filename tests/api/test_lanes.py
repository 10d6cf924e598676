"""Lanes: what is live, on its way and in line of all services, and when its turn should come."""

from typing import Any

import pytest

from tests.api.conftest import Bench, client
from tests.clock import own_millis
from workflows.contracts.deployments.deployment import Deployment, Stage, StageStatus, Timing
from workflows.contracts.deployments.environments import (
    EnvironmentState,
    EnvironmentWrite,
    Hold,
    Holder,
    LiveVersion,
    Ticket,
)

MINUTE = 60_000


async def _deployed(bench: Bench, version: str, minutes: float) -> Deployment:
    """One that took so long in production."""
    found = await bench.stores.deployments.get(await bench.deploy(version=version))
    assert found is not None
    begun = own_millis() - 90 * MINUTE
    stage = Stage(
        environment="production",
        status=StageStatus.DEPLOYED,
        started_at=begun,
        deployed_at=begun + round(minutes * MINUTE),
    )
    return await bench.releases.put(found, stages=[found.stages[0], stage])


def _live(deployment: Deployment) -> LiveVersion:
    return LiveVersion(
        version=deployment.version,
        deployment_id=deployment.deployment_id,
        workflow_id="w",
        git_commit_sha=deployment.git_commit_sha,
        since=own_millis(),
    )


def _ticket(version: str, *, ready: bool = True) -> Ticket:
    return Ticket(
        deployment_id=f"id-{version}",
        workflow_id="w",
        version=version,
        git_commit_sha="c" * 40,
        arrived_at=1,
        ready=ready,
    )


async def _write(bench: Bench, **changes: Any) -> None:
    state = EnvironmentState(service_name="checkout", environment="production", **changes)
    stored = await bench.stores.environments.get("checkout", "production")
    sequence = 1 if stored is None else stored.sequence + 1
    await bench.stores.environments.write(EnvironmentWrite(state=state.model_copy(update={"sequence": sequence})))


async def _lanes(bench: Bench, query: str = "") -> list[Any]:
    answer = await bench.admin.get(f"/api/dashboard/lanes{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def test_a_lane_says_what_is_live_on_its_way_and_in_line(bench: Bench) -> None:
    await bench.register()
    past = [await _deployed(bench, version, minutes) for version, minutes in (("1.0", 2), ("1.1", 4), ("1.2", 9))]
    moving = await bench.stores.deployments.get(await bench.deploy(version="1.3"))
    assert moving is not None
    now = own_millis()
    stage = Stage(environment="production", status=StageStatus.DEPLOYING, started_at=now - MINUTE, percent=50)
    await bench.releases.put(moving, stages=[stage], environment="production")
    holder = Holder(deployment_id=moving.deployment_id, workflow_id="w", version="1.3", fence=4, since=now)
    queue = [_ticket("1.4", ready=False), _ticket("1.5"), _ticket("1.6")]
    history = [_live(each) for each in reversed(past)]
    await _write(bench, holder=holder, queue=queue, history=history, live=history[0], fence=4)
    (lane,) = await _lanes(bench)
    staging, production = lane["places"]
    assert (staging["live"], staging["moving"], staging["line"]) == (None, None, [])
    assert production["final"]
    assert production["live"]["version"] == "1.2"
    assert production["usual_seconds"] == 240, "the median of 2, 4 and 9 minutes"
    assert production["moving"]["doing"] == "rolls out, 50 %"
    through = now + 3 * MINUTE
    assert production["moving"]["ends_at"] == through
    begins = [(each["place"], each["version"], each["begins_at"]) for each in production["line"]]
    assert begins == [(1, "1.4", None), (2, "1.5", through), (3, "1.6", through + 4 * MINUTE)]
    assert [each["version"] for each in lane["coming"]] == ["1.2", "1.1", "1.0"], "pending, and in no line"


async def test_nothing_is_expected_of_what_is_held(bench: Bench) -> None:
    await bench.register()
    await _write(bench, queue=[_ticket("1.5")], hold=Hold(by="ann", reason="fair", at=1))
    (lane,) = await _lanes(bench)
    assert lane["places"][1]["hold"]["by"] == "ann"
    assert lane["places"][1]["line"][0]["begins_at"] is None
    await _write(bench, queue=[_ticket("1.5")], frozen_until=own_millis() + MINUTE)
    (lane,) = await _lanes(bench)
    assert lane["places"][1]["line"][0]["begins_at"] == lane["places"][1]["frozen_until"]


async def test_what_is_being_built_comes(bench: Bench) -> None:
    await bench.register()
    found = await bench.stores.deployments.get(await bench.deploy())
    assert found is not None
    await bench.releases.put(found, timings={"build": Timing(started_at=1, ended_at=2), "test": Timing(started_at=2)})
    (lane,) = await _lanes(bench)
    assert [(each["version"], each["doing"], each["since"]) for each in lane["coming"]] == [("1.4.2", "tests", 2)]


async def test_lanes_are_paged_by_name_and_one_can_be_asked_for(bench: Bench) -> None:
    for name in ("b", "a", "c"):
        await bench.register(name)
    answer = (await bench.admin.get("/api/dashboard/lanes?limit=2")).json()
    assert [each["service_name"] for each in answer["items"]] == ["a", "b"]
    rest = await _lanes(bench, f"?cursor={answer['next_cursor']}")
    assert [each["service_name"] for each in rest] == ["c"]
    assert [each["service_name"] for each in await _lanes(bench, "?service_name=b")] == ["b"]
    assert (await bench.admin.get("/api/dashboard/lanes?service_name=nobody")).status_code == 404


@pytest.mark.parametrize("asked", ["", "?service_name=b"])
async def test_whose_grants_end_at_a_service_sees_no_other_lane(bench: Bench, asked: str) -> None:
    for name in ("a", "b"):
        await bench.register(name)
    grant = {"role": "viewer", "services": ["a"]}
    made = await bench.admin.post("/api/access/keys", json={"name": "vera", "grants": [grant]})
    assert made.status_code == 201, made.text
    async with client(bench.app, made.json()["key"]) as vera:
        answer = await vera.get(f"/api/dashboard/lanes{asked}")
    if asked:
        assert answer.status_code == 403
    else:
        assert [each["service_name"] for each in answer.json()["items"]] == ["a"]
