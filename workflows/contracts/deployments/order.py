"""What is asked before a deployment joins a line or takes its turn: who is ahead, what is banned, what forges said.

Deliberately not here: what was found out (``relations``), what follows (``workflows.deployment.rules.relations``).
"""

from typing import Final

from pydantic import Field

from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.bans import Ban
from workflows.contracts.deployments.environments import Ahead, LiveVersion

PUSH_BEFORE: Final = "push.before"
"""In a deployment's metadata, where a webhook started it: the branch's head before the push that brought its commit."""
PUSH_FORCED: Final = "push.forced"
"""Likewise ``false``, where the forge says that the push only added commits to that head."""
MAX_ASKED: Final = 8
"""Of so many others at most an agent is asked: what is live, what is being rolled out, the newest in line."""
ASK_SECONDS: Final = 10
"""So long an answer is waited for at most. Without one, it goes on by order of arrival."""


class OrderQuestion(Tolerant):
    """What is to be known before a deployment joins a line or takes its turn. ``versions``: which it could go back to.

    ``pool``: whose agents would be asked.
    """

    service_name: str
    environment: str
    deployment_id: str
    version: str
    git_commit_sha: str
    pool: str
    versions: list[LiveVersion] = Field(default_factory=list[LiveVersion])


class OrderFacts(Tolerant):
    """``others``: who is live or ahead there, by the environment's record. ``bans``: those that are about one of the
    versions asked for. ``agents``: how many of the pool answer such questions now.
    """

    others: list[Ahead] = Field(default_factory=list[Ahead])
    bans: list[Ban] = Field(default_factory=list[Ban])
    agents: int = 0


class PushQuestion(Tolerant):
    """What do forges say of the pushes that brought these deployments' commits?"""

    deployment_ids: list[str]


class Push(Tolerant):
    """A push that only added commits: the branch's head was ``before``, and is ``after``, its descendant."""

    before: str
    after: str


class Pushes(Tolerant):
    """Those that are known."""

    items: list[Push] = Field(default_factory=list[Push])
