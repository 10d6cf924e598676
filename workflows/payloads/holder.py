"""Who held the task that an answer is to, beside the answer: what an agent says of itself is its word only.

Whoever hands answers on for agents writes it into the payload's metadata, over whatever stands there: the gateway knows
the agent by its token, the API by the lease. It stands outside of what is sealed, and the codec carries it over.
Deliberately not here: what follows from it (``workflows.job``, ``workflows.task``).
"""

import re
from typing import Final

from temporalio.api.common.v1 import Payload

from workflows.contracts.ids import AGENT_ID_PATTERN

HOLDER: Final = "hybridci-agent"
"""The name of the entry."""


def holder_of(payload: Payload) -> str | None:
    """Whose answer it is; None when nobody said: of an agent straight at Temporal, or through a gateway of before."""
    return known_agent(payload.metadata.get(HOLDER, b"").decode("ascii", "replace"))


def known_agent(identity: str) -> str | None:
    """The identity, where it can be an agent's id."""
    return identity if re.fullmatch(AGENT_ID_PATTERN, identity) else None
