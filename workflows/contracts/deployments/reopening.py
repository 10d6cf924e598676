"""How a version that is live gets its workflow back: what the environment tells it, what a run that starts so is given.

Times are epoch milliseconds. Deliberately not here: why it is live once more (``deployment.LiveAgain``).
"""

from pydantic import Field

from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import Granted, Reinstated


class TellLive(Tolerant):
    """What the activity ``tell_live`` is asked: tell this to the workflow of what is live, which is started when there
    is none.
    """

    deployment_id: str
    reinstated: Reinstated


class Reopened(Tolerant):
    """What the activity ``reopen_deployment`` answers: the record, live again; the turn, with what was live before and
    what there is to go back to; ``yielded_to``, when another version is being rolled out over it.
    """

    deployment: Deployment
    granted: Granted
    yielded_to: str | None = None


class LiveSwept(Tolerant):
    """What a comparison of all that is live found: how many records say live, which deployments were started again or
    told so, which had been replaced unheard.
    """

    checked: int = 0
    restored: list[str] = Field(default_factory=list[str])
    superseded: list[str] = Field(default_factory=list[str])
