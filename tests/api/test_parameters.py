"""Query parameters that would be lost in silence are refused, on every route there is."""

import json
from typing import Any

import pytest

from tests.api.conftest import Bench, memory_app
from tests.api.test_auth import OPEN

PATHS = {
    "job_id": "00000000-0000-4000-8000-000000000000",
    "deployment_id": "00000000-0000-4000-8000-000000000000",
    "redrive_id": "00000000-0000-4000-8000-000000000000",
    "task_id": "00000000-0000-4000-8000-000000000000",
    "path": "a.txt",
    "agent_id": "agent-7",
    "name": "checkout",
    "environment": "production",
    "key_id": "4fybqv4amjaornc5",
    "delivery_id": "0123456789abcdef",
}
NEEDED = {"/api/audit/report": "service=checkout&from=2026-01-01&to=2026-12-31"}
"""What a route cannot do without."""
FOREIGN = {"/auth/callback"}
"""What an issuer sends back with a person: some send more than the standard has."""
_INPUTS = "/api/queue/jobs/{job_id}/attempts/{attempt}/inputs"
OF_ATTEMPTS = {_INPUTS, f"{_INPUTS}/{{number}}/{{path}}"}
"""Refused before anything is read, but to the agent that runs the attempt (tests/api/test_inputs.py)."""
_document: dict[str, Any] = memory_app()[0].openapi()
READS = sorted(
    path
    for path, methods in _document["paths"].items()
    if "get" in methods and path not in OPEN | FOREIGN | OF_ATTEMPTS
)


@pytest.mark.parametrize("path", READS)
async def test_unknown_and_repeated_parameters_are_refused(bench: Bench, path: str) -> None:
    url = path.replace(":path}", "}").format_map(PATHS)
    needed = NEEDED.get(path, "")
    unknown = await bench.admin.get(f"{url}?no_such_parameter=1&{needed}")
    assert (unknown.status_code, [error["field"] for error in unknown.json()["errors"]]) == (422, ["no_such_parameter"])
    repeated = await bench.admin.get(f"{url}?limit=1&limit=2&{needed}")
    assert repeated.status_code == 422
    assert "limit" in {error["field"] for error in repeated.json()["errors"]}


def test_every_read_is_walked() -> None:
    assert len(READS) > 20


async def test_a_command_takes_no_parameters(bench: Bench) -> None:
    job_id = await bench.submit()
    answer = await bench.admin.delete(f"/api/queue/jobs/{job_id}?reason=typo")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "reason")
    assert (await bench.admin.get(f"/api/dashboard/jobs/{job_id}")).json()["status"] == "queued"


async def test_a_bad_parameter_says_nothing_without_a_key(bench: Bench) -> None:
    assert (await bench.anyone.get("/info?a=b")).status_code == 401


def numbers(where: str) -> list[tuple[str, str]]:
    """Each route that reads, with each of its parameters that is a whole number or may be one."""
    return [
        (path, parameter["name"])
        for path, methods in sorted(_document["paths"].items())
        if path not in OPEN | FOREIGN
        for parameter in methods.get("get", {}).get("parameters", ())
        if parameter["in"] == where and '"integer"' in json.dumps(parameter["schema"])
    ]


async def test_a_number_is_written_in_digits(bench: Bench) -> None:
    """Python reads more than that as one."""
    for path, name in numbers("query"):
        url = path.replace(":path}", "}").format_map({**PATHS, "attempt": "1", "number": "0"})
        needed = NEEDED.get(path, "")
        for odd in ("1_0", "%2B1", "1.0", "%201", "1%20"):
            answer = await bench.admin.get(f"{url}?{name}={odd}&{needed}")
            assert answer.status_code == 422, (path, name, odd)
            assert [error["field"] for error in answer.json()["errors"]] == [name], (path, odd)
        ok = await bench.admin.get(f"{url}?{name}=1&{needed}")
        assert "must be a whole number in digits" not in ok.text, (path, name)


async def test_nor_is_it_read_otherwise_in_a_path(bench: Bench) -> None:
    job_id = await bench.submit()
    await bench.start(job_id)
    for odd in ("1_0", "+1", "1.0", " 1"):
        url = f"/api/queue/jobs/{job_id}/attempts/{odd}/log/0"
        answer = await bench.agent.put(url, content=b"x", headers={"Log-Marks": "[]"})
        assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, ["attempt"]), odd


def test_numbers_are_found() -> None:
    assert len(numbers("query")) > 30
    assert ("/api/dashboard/jobs/{job_id}/logs", "attempt") in numbers("query")
