"""Which versions of control workers and gateways are known to be at work."""

from api.temporal.versions import GATEWAY, SILENT_MS, WORKER, RunningVersions, WorkerPoll
from workflows.contracts.errors import Unavailable

NOW = 1_796_000_000_000


async def test_workers_are_told_by_their_polls_and_gateways_by_their_questions() -> None:
    async def pollers() -> list[WorkerPoll]:
        return [
            WorkerPoll("9@host-b", "1.5.0", NOW - 1), WorkerPoll("7@host-a", "1.4.0", NOW - SILENT_MS),
            WorkerPoll("8@gone", "1.4.0", NOW - SILENT_MS - 1), WorkerPoll("1@old", "", NOW),
            WorkerPoll("2@odd", "5f8ad80b<script>", NOW),
        ]  # fmt: skip

    running = RunningVersions(pollers, lambda: NOW)
    running.heard("hybridci-gateway/1.4.0", "10.0.0.7")
    running.heard("hybridci-gateway/1.5.0", "10.0.0.7")
    for odd in (None, "", "hybridci/1.5.0", "hybridci-gateway/", "hybridci-gateway/1 2", "x hybridci-gateway/1"):
        running.heard(odd, "10.0.0.8")
    assert [(each.kind, each.identity, each.version) for each in await running.seen()] == [
        (WORKER, "7@host-a", "1.4.0"), (WORKER, "9@host-b", "1.5.0"),
        (GATEWAY, "10.0.0.7", "1.4.0"), (GATEWAY, "10.0.0.7", "1.5.0"),
    ]  # fmt: skip


async def test_whoever_falls_silent_is_not_there() -> None:
    clock = [NOW]
    running = RunningVersions(clock=lambda: clock[0])
    running.heard("hybridci-gateway/1.5.0", "10.0.0.7")
    clock[0] += SILENT_MS
    assert len(await running.seen()) == 1
    clock[0] += 1
    assert await running.seen() == []


async def test_temporal_away_is_told_elsewhere() -> None:
    async def away() -> list[WorkerPoll]:
        raise Unavailable("Temporal does not answer.")

    assert await RunningVersions(away).seen() == []


async def test_who_makes_up_gateways_fills_no_memory() -> None:
    running = RunningVersions(clock=lambda: NOW)
    for number in range(1000):
        running.heard(f"hybridci-gateway/{number}", "10.0.0.7")
    assert len(await running.seen()) == 64
