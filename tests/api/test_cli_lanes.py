"""`deploy lanes` and `deploy approval` against the real API application over a real socket."""

from collections.abc import Iterator

import pytest

from tests.api.cli_bench import Served, served
from tests.api.cli_deploys import WAITING, done, is_live, production, started, told
from tests.clock import own_millis
from workflows.contracts.deployments.deployment import StageStatus


@pytest.fixture(scope="module")
def api() -> Iterator[Served]:
    with served() as server:
        yield server


def test_lanes_say_what_is_live_and_what_comes(api: Served) -> None:
    is_live(api, "laned", started(api, "laned", "1.0"))
    started(api, "laned", "1.1")
    table = done(api, "deploy", "lanes", "--service", "laned").stdout
    assert "staging" in table
    assert "1.0" in table
    assert "1.1 begins" in table
    (lane,) = told(api, "deploy", "lanes", "--service", "laned")["items"]
    assert lane["places"][1]["live"]["version"] == "1.0"
    assert [each["service_name"] for each in told(api, "deploy", "lanes", "--all")] == ["laned"]


def test_an_approval_says_who_may_and_whether_ones_own_counts(api: Served) -> None:
    deployment_id = started(api, "asked", **WAITING)
    assert done(api, "deploy", "approval", deployment_id).stdout == "1.0 waits for no approval now.\n"
    stages = production(StageStatus.WAITING, approval_expires_at=own_millis() + 60_000)
    waits = started(api, "asked", "1.1", **{**WAITING, "stages": stages})
    said = done(api, "deploy", "approval", waits).stdout
    assert "0 of 1 approvals are given" in said
    assert "whoever may approve, but for its author" in said
    assert "admin may approve it" in said, "one's own machine: whoever started it may"
    assert told(api, "deploy", "approval", waits)["you_may"] is True
