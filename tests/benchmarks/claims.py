"""``python -m tests.benchmarks.claims [JOBS] [CLAIMERS]``: whole jobs by claimers over HTTP, on a stack of its own.

Everything is real: `hybridci up` without agents of its own, each job with its workflow and its records. The claimers
run in this process and complete at once what they claim. Prints the figures; not part of the suite.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from tests.faults.plant import Plant
from tests.servers import wait_until
from workflows.contracts.records import QueueStats

_BATCH = 100


async def main(jobs: int, claimers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plant = Plant(Path(folder))
        plant.start("--agents", "0")
        try:
            headers = dict(plant.http.headers)
            limits = httpx.Limits(max_connections=claimers + 8)
            async with httpx.AsyncClient(
                base_url=plant.stack.url, headers=headers, timeout=60, limits=limits, verify=False
            ) as http:
                await _measure(plant, http, jobs, claimers)
        finally:
            plant.close()


async def _measure(plant: Plant, http: httpx.AsyncClient, jobs: int, claimers: int) -> None:
    body = {
        "job_type": "claim", "git_repo": "https://example.com/shop.git", "git_commit_sha": "a" * 40,
        "git_author": "ann@example.com", "pool": "claims", "steps": [{"name": "step", "run": "true"}],
    }  # fmt: skip
    began = time.monotonic()
    submitted: list[str] = []
    for start in range(0, jobs, _BATCH):
        batch = {"items": [body] * min(_BATCH, jobs - start)}
        answer = await http.post("/api/queue/jobs/batch", json=batch)
        assert answer.status_code == 207, answer.text
        submitted += [item["job"]["job_id"] for item in answer.json()["items"]]
    print(f"{jobs} jobs submitted in {time.monotonic() - began:.1f} s")
    claimed: list[str] = []
    waits: list[float] = []

    async def work(name: str) -> None:
        body = {"agent_id": name, "pool": "claims", "instance": f"word-{name}", "via": "http"}
        registered = await http.post("/api/agents/register", json=body)
        itself = {"Authorization": f"Bearer {registered.json()['token']}"}
        while len(claimed) < jobs:
            asked = time.monotonic()
            wanted = {"pool": "claims", "agent_id": name, "max_jobs": 2, "wait_seconds": 1}
            answer = await http.post("/api/queue/claim", json=wanted, headers=itself)
            if answer.status_code == 404:
                continue
            assert answer.status_code == 200, answer.text
            waits.append(time.monotonic() - asked)
            for job in answer.json()["jobs"]:
                claimed.append(job["job_id"])
                await _complete(http, name, job, itself)

    began = time.monotonic()
    await asyncio.gather(*(work(f"claimer-{number}") for number in range(claimers)))
    print(f"claimed and completed by {claimers} in {time.monotonic() - began:.1f} s: {_words(waits)}")
    assert Counter(claimed) == Counter(submitted), "each exactly once"
    await asyncio.to_thread(wait_until, lambda: _stats(plant).completed >= jobs, seconds=60, what="all records")
    stats = _stats(plant)
    print(f"all recorded after {time.monotonic() - began:.1f} s; failed {stats.failed}, queued {stats.depth}")


def _stats(plant: Plant) -> QueueStats:
    return QueueStats.model_validate_json(plant.http.get("/api/queue/stats").content)


async def _complete(http: httpx.AsyncClient, name: str, job: dict[str, Any], itself: dict[str, str]) -> None:
    body = {"agent_id": name, "lease_token": job["lease_token"], "exit_code": 0}
    answer = await http.patch(f"/api/queue/jobs/{job['job_id']}/complete", json=body, headers=itself)
    assert answer.status_code == 200, answer.text


def _words(waits: list[float]) -> str:
    cuts = quantiles(waits, n=100)
    return f"a claim with a job took p50 {cuts[49] * 1000:.0f} ms, p95 {cuts[94] * 1000:.0f} ms"


if __name__ == "__main__":
    asyncio.run(main(*(int(word) for word in [*sys.argv[1:], "1000", "50"][:2])))
