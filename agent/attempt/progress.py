"""How far an attempt is: filled in as it runs, read by its announcements and its result."""

import asyncio
from dataclasses import dataclass, field

from agent.logs.spool import epoch_ms
from workflows.contracts.identity.people import GitPeople
from workflows.contracts.jobs import ArtifactRef, StepResult


@dataclass(slots=True)
class AttemptProgress:
    """How far an attempt is, for its announcements and its result. Times in epoch milliseconds."""

    claimed_at: int = field(default_factory=epoch_ms)
    started_at: int | None = None
    git_people: GitPeople | None = None
    running: asyncio.Event = field(default_factory=asyncio.Event)
    steps: list[StepResult] = field(default_factory=list[StepResult])
    artifacts: list[ArtifactRef] = field(default_factory=list[ArtifactRef])
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    summary: str | None = None
    resumed: str | None = None
