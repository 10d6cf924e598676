"""The control worker's activities for services: contract in, chain, contract out. Names and types are the stubs' of
``workflows.contracts.activities``.

Deliberately not here: the rules (links, ``definitions``) and how errors cross to Temporal (``errors``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from temporalio import activity

from activities.chaining.chains import NamedChain, run_chain
from activities.errors import speaks_temporal
from activities.events.witness import Witness
from activities.services import definitions
from activities.stores.interfaces.artifacts import ArtifactStore
from workflows.contracts.deployments.policy import DecidePolicyChange
from workflows.contracts.deployments.services import DefinitionRequest, Service, ServiceDefinition, ServiceWrite
from workflows.contracts.deployments.standing import ChangeStanding
from workflows.contracts.who import Message

M = TypeVar("M", bound=Message)
_APPLY: Final = "Change a service through the API: `hybridci service apply -f FILE`."


@dataclass(frozen=True, slots=True)
class ServiceActivities:
    """The bodies, with what they need. ``all`` is what a Worker registers."""

    application: NamedChain
    decision: NamedChain
    standing: NamedChain
    artifacts: ArtifactStore
    witness: Witness

    def all(self) -> Sequence[Callable[..., Any]]:
        """Every activity, for ``Worker(activities=…)``."""
        return [self.apply_service, self.decide_policy_change, self.change_standing, self.load_definition]

    @activity.defn(name="apply_service")
    @speaks_temporal
    async def apply_service(self, write: ServiceWrite) -> Service:
        """Register or change a service. Raises validation_failed, invalid_state, both not retryable.

        One workflow is one change: its id tells a change that was stored before its answer was lost.
        """
        change = {"write": self._heard(write), "change_id": f"{activity.info().workflow_id}-applied"}
        return await run_chain(self.application, change, result="service", kind=Service)

    @activity.defn(name="decide_policy_change")
    @speaks_temporal
    async def decide_policy_change(self, decision: DecidePolicyChange) -> Service:
        """Apply or reject a change that waits. Raises invalid_state, not retryable."""
        change = {"decision": self._heard(decision), "change_id": f"{activity.info().workflow_id}-decided"}
        return await run_chain(self.decision, change, result="service", kind=Service)

    @activity.defn(name="change_standing")
    @speaks_temporal
    async def change_standing(self, asked: ChangeStanding) -> Service:
        """Archive, take into use again, delete. Raises not_found, invalid_state, both not retryable."""
        change = {"standing": self._heard(asked), "change_id": f"{activity.info().workflow_id}-standing"}
        return await run_chain(self.standing, change, result="service", kind=Service)

    @activity.defn(name="load_definition")
    @speaks_temporal
    async def load_definition(self, request: DefinitionRequest) -> ServiceDefinition:
        """Read and validate a definition that an agent uploaded. Raises validation_failed, not retryable."""
        return await definitions.load_definition(self.artifacts, request)

    def _heard(self, message: M) -> M:
        workflow_id = activity.info().workflow_id
        self.witness.doubt(message.claim(), workflow_id, instead=_APPLY)
        return self.witness.heard(message, workflow_id)
