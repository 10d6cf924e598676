"""How a deployment's commit stands to those that are live or ahead of it, as its record keeps it.

A commit that is an ancestor of another one is older, whenever it came and whatever time it says. Who proves it: an
agent, which asks git; else a forge's signed word of what a branch's head was before a push. Times: epoch ms.
Deliberately not here: what is asked (``order``), what follows from it (``workflows.deployment.rules.relations``).
"""

from enum import StrEnum
from typing import Final

from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.environments import Order
from workflows.contracts.fields import Millis

MAX_RELATIONS: Final = 20
"""How many a record keeps, the latest."""


class HowFound(StrEnum):
    """How an order was found out."""

    SAME = "same"
    AGENT = "agent"
    PUSH = "push"
    NOT = "not"


class Relation(Tolerant):
    """How a deployment's commit stands to another version's, in an environment. ``why`` nothing is known, in words."""

    environment: str
    deployment_id: str
    version: str
    git_commit_sha: str
    place: str
    order: Order
    found: HowFound
    at: Millis
    why: str = ""

    @property
    def doubtful(self) -> bool:
        """True when it is not known to be its successor, or of the same commit."""
        return self.order not in {Order.SAME, Order.NEWER}

    @property
    def remark(self) -> str | None:
        """What is to be known of it, in short; None where all is as it should be."""
        match self.order:
            case Order.OLDER:
                return f"older than {self.version}"
            case Order.DIVERGED:
                return f"diverged from {self.version}"
            case Order.UNKNOWN:
                return f"order to {self.version} unknown"
            case _:
                return None
