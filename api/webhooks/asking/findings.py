"""Evidence from the real world: checks in the store of deliveries, changed files from an agent of the service's pool.

Deliberately not here: what is asked for, and what follows (``evidence``).
"""

import logging
from collections.abc import Sequence
from typing import Final

from api.webhooks.ports import WebhookPorts
from api.webhooks.triggering.facts import Facts
from api.webhooks.triggering.triggers import SeenCheck
from workflows.contracts.deployments.deliveries import CheckSeen
from workflows.contracts.deployments.services import ServiceSpec
from workflows.contracts.errors import HybridCIError
from workflows.contracts.ids import new_job_id
from workflows.contracts.tasks import PathsAnswer, PathsQuestion, TaskStart

logger = logging.getLogger(__name__)
_PATIENCE_SECONDS: Final = 4.0
"""A tool waits for ten, and the start itself takes its part."""
_MAX_NAME: Final = 1024


class StoredEvidence:
    """``evidence.Evidence`` for the deliveries of one provider."""

    def __init__(self, ports: WebhookPorts, by: str) -> None:
        self._ports, self._by = ports, by

    async def see(self, repository: str, commit: str, check: SeenCheck) -> None:
        """Keep how a check ended."""
        seen = CheckSeen(
            name=check.name[:_MAX_NAME], conclusion=check.conclusion, branch=check.branch, at=self._ports.clock()
        )
        await self._ports.webhook_deliveries.see_check(repository, commit, seen)

    async def checks(self, repository: str, commit: str) -> Sequence[SeenCheck]:
        """All that were seen of this commit."""
        found = await self._ports.webhook_deliveries.checks(repository, commit)
        return [SeenCheck(each.name, each.conclusion, each.branch) for each in found]

    async def paths(self, service: str, facts: Facts) -> Sequence[str] | None:
        """An agent of the pool that builds it, or reads its definition, is asked."""
        try:
            spec = (await self._ports.deployments.service(service)).spec
            question = PathsQuestion(
                git_repo=spec.git_repo, git_ref=facts.branch, older=facts.before or "", newer=facts.commit or ""
            )
            pool, task_id = asked_pool(spec), new_job_id()
            start = TaskStart(
                task_id=task_id, pool=pool, question=question, seconds=int(_PATIENCE_SECONDS), service=service,
                by=self._by, via=self._by,
            )  # fmt: skip
            await self._ports.task_client.ask(start)
            result = await self._ports.task_client.result(pool, task_id, within=_PATIENCE_SECONDS)
        except (HybridCIError, ValueError) as error:
            logger.warning("nobody could be asked which files changed", extra={"service": service, "why": str(error)})
            return None
        answer = None if result is None else result.answer
        return answer.paths if isinstance(answer, PathsAnswer) and not answer.truncated else None


def asked_pool(spec: ServiceSpec) -> str:
    """The pool whose agents know the service's repository."""
    if spec.definition is not None:
        return spec.definition.pool
    if spec.build is not None:
        return spec.build.pool
    own = next((each for each in spec.environments if not each.external), None)
    return (own or spec.environments[0]).pool
