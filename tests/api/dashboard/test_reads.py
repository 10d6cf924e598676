"""How often a page asks the store, and that what was done a moment before is on it."""

from collections import Counter
from typing import Any

import pytest

from activities.chaining import once
from tests.api.conftest import Bench
from tests.api.dashboard.browser import HTML


async def test_the_first_page_asks_the_counters_once_and_each_page_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "_SECONDS", 3600.0)  # a page on a busy machine may take longer
    asked: Counter[str] = Counter()

    def count(store: Any, name: str) -> None:
        read = getattr(store, name)

        async def counted(*values: Any) -> Any:
            asked[name] += 1
            return await read(*values)

        monkeypatch.setattr(store, name, counted)

    count(bench.stores.jobs, "queue_stats")
    count(bench.stores.deployments, "stats")
    for pages in (1, 2):
        assert (await bench.admin.get("/", headers=HTML)).status_code == 200
        assert asked == {"queue_stats": pages, "stats": pages}


async def test_a_job_is_on_the_next_page_as_soon_as_it_is_submitted(bench: Bench) -> None:
    spec = {"job_type": "test", "git_repo": "https://example.com/r.git", "git_commit_sha": "a" * 40, "git_author": "a"}
    submitted: list[str] = []
    for _ in range(3):
        page = (await bench.admin.get("/jobs", headers=HTML)).text
        assert all(f"/jobs/{job_id}" in page for job_id in submitted)
        first = (await bench.admin.get("/", headers=HTML)).text
        assert ("Nothing has run here yet" in first) is (not submitted)
        answer = await bench.admin.post("/api/dashboard/jobs", json=spec)
        submitted.append(answer.json()["job_id"])
