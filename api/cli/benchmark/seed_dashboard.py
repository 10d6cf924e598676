"""Services, deployments and a long log, written by the stores: what the dashboard has to show after a while.

``python -m api.cli.benchmark.seed_dashboard DEPLOYMENTS LOG_MIB``, with the control worker's environment. The log is
that of the job with the number 0 of ``seed``. Deliberately not here: jobs (``seed``), what is measured (``dashboard``).
"""

import asyncio
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Final

from activities.stores.interfaces.logs import LogChunk
from activities.stores.open import Stores, open_stores
from activities.stores.settings import StoreSettings
from api.cli.benchmark.seed import job_id_of
from workflows.contracts.deployments.deployment import Deployment, DeploymentStatus, DeploymentWrite
from workflows.contracts.deployments.environments import EnvironmentState, EnvironmentWrite, LiveVersion
from workflows.contracts.deployments.services import Service, ServiceSpec

SERVICES: Final = 50
WORD: Final = b"needle-in-the-middle"
_ENVIRONMENTS: Final = ("staging", "canary", "production")
_SPACING_MS: Final = 60_000
_AT_ONCE: Final = 8
_NAMESPACE: Final = uuid.UUID("6fd1c6e4-7a0b-5a39-8b54-0d1c6c8b8a11")
_CHUNK: Final = 1 << 20
_LINE: Final = 128
_ENDS: Final = {3: DeploymentStatus.FAILED, 5: DeploymentStatus.ROLLED_BACK}


def deployment_id_of(number: int) -> str:
    """The id of the deployment with this number."""
    return str(uuid.uuid5(_NAMESPACE, str(number)))


def service_name_of(number: int) -> str:
    """The name of the service with this number."""
    return f"service-{number % SERVICES}"


def main() -> None:
    """Write as many deployments, and as many MiB of a log, as the arguments say."""
    asyncio.run(_seed(int(sys.argv[1]), int(sys.argv[2])))


async def _seed(deployments: int, log_mib: int) -> None:
    stores, now = open_stores(StoreSettings()), round(time.time() * 1000)
    try:
        await asyncio.gather(*(_service(stores, number, now) for number in range(min(SERVICES, deployments))))
        todo = _deployments(deployments, now)

        async def write_some() -> None:
            for each in todo:  # one iterator for all
                await stores.deployments.write(DeploymentWrite(deployment=each))

        await asyncio.gather(*(write_some() for _ in range(_AT_ONCE)))
        await _log(stores, log_mib << 20, now)
    finally:
        stores.close()


async def _service(stores: Stores, number: int, now: int) -> None:
    name = service_name_of(number)
    service = Service(name=name, version=1, spec=_spec(), created_at=now, updated_at=now, updated_by="ann@example.com")
    await stores.services.put(service, expected_version=None, events=[])
    for environment in _ENVIRONMENTS:
        live = LiveVersion(
            deployment_id=deployment_id_of(number),
            workflow_id=f"deployment-{number}",
            version=f"1.{number}",
            git_commit_sha=f"{number:040x}",
            since=now,
        )
        state = EnvironmentState(
            service_name=name, environment=environment, live=live, history=[live], sequence=1, updated_at=now
        )
        await stores.environments.write(EnvironmentWrite(state=state))


def _deployments(count: int, now: int) -> Iterator[Deployment]:
    """The last one of each service is live, of the others some have failed."""
    spec, began = _spec(), now - count * _SPACING_MS
    for number in range(count):
        at = began + number * _SPACING_MS
        last = number >= count - SERVICES
        status = DeploymentStatus.LIVE if last else _ENDS.get(number % 20, DeploymentStatus.SUPERSEDED)
        yield Deployment(
            deployment_id=deployment_id_of(number),
            service_name=service_name_of(number),
            service_version=1,
            version=f"1.{number}",
            git_repo=spec.git_repo,
            git_commit_sha=f"{number:040x}",
            git_author="ann@example.com",
            git_ref="refs/heads/main",
            git_commit_message=f"Change {number}",
            definition=spec,
            status=status,
            environment="production",
            error_message=None if status is DeploymentStatus.LIVE else "Another version took its place.",
            created_at=at,
            updated_at=at + 1000,
            completed_at=at + 1000,
            closed=not last,
            sequence=1,
        )


def _spec() -> ServiceSpec:
    steps = [{"name": "deploy", "run": './deploy.sh "$HYBRIDCI_VERSION"'}]
    return ServiceSpec.model_validate(
        {
            "git_repo": "https://git.example.com/team/shop.git",
            "environments": [{"name": name, "steps": steps} for name in _ENVIRONMENTS],
        }
    )


async def _log(stores: Stores, size: int, now: int) -> None:
    """Lines of 128 bytes; the word stands once, in the middle."""
    for offset in range(0, size, _CHUNK):
        first = offset // _LINE
        lines = [b"%-*d\n" % (_LINE - 1, number) for number in range(first, (offset + _CHUNK) // _LINE)]
        data = b"".join(lines)
        if offset <= size // 2 < offset + _CHUNK:
            data = data[:5000] + WORD + data[5000 + len(WORD) :]
        final = offset + _CHUNK >= size
        await stores.logs.append(job_id_of(0), 1, LogChunk(offset, data, [(0, now)], final))


if __name__ == "__main__":
    main()
