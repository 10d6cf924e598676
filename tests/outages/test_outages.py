"""A small seeded part of the outages. Two thousand histories at a time: ``python -m tests.outages.run --seed 1``."""

from pathlib import Path

from tests import servers
from tests.outages.run import run


async def test_whatever_the_store_does_histories_replay_and_workflows_answer(tmp_path: Path) -> None:
    """In a namespace and with workers of its own: other suites' workers must not take its tasks."""
    with servers.running(servers.temporal_server(tmp_path)) as temporal:
        verdict, load, place = await run(
            tmp_path, temporal, seed=1, histories=45, per_second=12, longest=12, quiet=8, beginnings=2
        )
    assert verdict.problems == []
    assert verdict.histories >= 40
    assert verdict.calls_gone_on > 0, place.done
    assert load.said > 50
