"""The control worker's activities for bans: contract in, chain, contract out. Names and types are the stubs' of
``workflows.contracts.activities``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from temporalio import activity

from activities.chaining.chains import NamedChain, run_chain
from activities.errors import speaks_temporal
from activities.events.witness import Witness
from workflows.contracts.deployments.bans import BanCommand, BanList, BanQuestion, BanResult, LeftVersion, LiftBan
from workflows.contracts.errors import InvalidState
from workflows.contracts.who import Message

M = TypeVar("M", bound=Message)
_ASK: Final = "Ban through the API: `hybridci deploy ban SERVICE@VERSION --reason …`."


@dataclass(frozen=True, slots=True)
class BanActivities:
    """The bodies, with what they need. ``all`` is what a Worker registers."""

    banning: NamedChain
    leaving: NamedChain
    lifting: NamedChain
    selection: NamedChain
    witness: Witness

    def all(self) -> Sequence[Callable[..., Any]]:
        """Every activity, for ``Worker(activities=…)``."""
        return [self.ban_version, self.lift_ban, self.ban_left_version, self.find_bans]

    @activity.defn(name="ban_version")
    @speaks_temporal
    async def ban_version(self, command: BanCommand) -> BanResult:
        """Ban it. Raises invalid_state, not retryable, when there are too many, or nobody knows who asks."""
        change = {"command": self._heard(command), "change_id": f"{activity.info().workflow_id}-banned"}
        return await run_chain(self.banning, change, result="result", kind=BanResult)

    @activity.defn(name="lift_ban")
    @speaks_temporal
    async def lift_ban(self, command: LiftBan) -> BanResult:
        """Lift it. Raises invalid_state, not retryable, when it is not banned, or nobody knows who asks."""
        change = {"lift": self._heard(command), "change_id": f"{activity.info().workflow_id}-lifted"}
        return await run_chain(self.lifting, change, result="result", kind=BanResult)

    @activity.defn(name="ban_left_version")
    @speaks_temporal
    async def ban_left_version(self, left: LeftVersion) -> BanResult:
        """Ban what a rollback left. Raises invalid_state, not retryable, for who is not that deployment's workflow."""
        asker = activity.info()
        if asker.workflow_type != "DeploymentWorkflow" or not (asker.workflow_id or "").endswith(left.deployment_id):
            raise InvalidState("Nothing was banned: what a rollback left is banned by its own workflow only.")
        return await run_chain(self.leaving, {"left": left}, result="result", kind=BanResult)

    @activity.defn(name="find_bans")
    @speaks_temporal
    async def find_bans(self, question: BanQuestion) -> BanList:
        """Those that are about one of these versions."""
        return await run_chain(self.selection, {"question": question}, result="bans", kind=BanList)

    def _heard(self, message: M) -> M:
        workflow_id = activity.info().workflow_id
        self.witness.doubt(message.claim(), workflow_id, instead=_ASK)
        return self.witness.heard(message, workflow_id)
