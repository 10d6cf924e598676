"""One run of trouble and its verdict: ``python -m tests.outages.run --seed 1 --histories 2000``."""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests import servers
from tests.outages.load import Load, workshop
from tests.outages.plant import CACHES, LONGEST_OUTAGE_SECONDS, WORKERS, Plant, plant
from tests.outages.verdict import Verdict, judge

QUIET_SECONDS = 45
"""After the trouble: what waits between two attempts or for a store comes to rest."""


async def run(
    folder: Path,
    temporal: servers.Server,
    *,
    seed: int,
    histories: int,
    per_second: float = 6,
    longest: float = LONGEST_OUTAGE_SECONDS,
    quiet: float = QUIET_SECONDS,
    beginnings: int = 3,
    short_tasks: float = 0,
) -> tuple[Verdict, Load, Plant]:
    """Load and trouble side by side; then two new workers, with caches of one and two, are asked."""
    async with plant(folder, temporal, seed, short_tasks=short_tasks) as place, workshop(place.client, seed):
        load = Load(place.client, seed)
        working = asyncio.create_task(load.run(histories, per_second))
        while not working.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(120):
                    await place.trouble(30, longest=longest)
        await working
        place.front.outage = None
        await place.stop()
        for number in range(WORKERS):
            await place.start_worker(number, CACHES[number])
        await asyncio.sleep(quiet)
        return await judge(place.client, place.stores, load.workflow_ids, beginnings=beginnings), load, place


async def _main(seed: int, histories: int, per_second: float, short_tasks: float, keep: Path | None) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with servers.running(servers.temporal_server(folder)) as temporal:
            verdict, load, place = await run(
                folder, temporal, seed=seed, histories=histories, per_second=per_second, short_tasks=short_tasks
            )
    for history in verdict.troubled if keep is not None else []:
        (keep or Path()).joinpath(f"{history.workflow_id}.json").write_text(history.to_json())
    print(*place.done, sep="\n")
    print(*verdict.problems, sep="\n")
    print(
        f"seed {seed}: {verdict}; {load.said} things were said, {load.refused} refused, {load.unanswered} not answered;"
    )
    print(f"{place.front.suffered} requests to the store suffered; {time.monotonic() - began:.0f} s")
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--per-second", type=float, default=6)
    parser.add_argument("--short-tasks", type=float, default=0, help="the share of workflows with tasks of 3 s")
    parser.add_argument("--keep", type=Path, help="a folder for the histories of what is found")
    given = parser.parse_args()
    sys.exit(asyncio.run(_main(given.seed, given.histories, given.per_second, given.short_tasks, given.keep)))
