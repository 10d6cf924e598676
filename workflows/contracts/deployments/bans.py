"""Bans: the versions and commits of a service that nothing brings back but a person who lifts the ban first.

Whoever starts a version is refused, and its workflow looks again before each environment; what rolls back by itself
goes past them. Times are epoch milliseconds. Deliberately not here: storing them (``activities.bans``).
"""

from typing import Final, Self

from pydantic import Field, model_validator

from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.deployment import Version
from workflows.contracts.deployments.environments import LiveVersion, Why
from workflows.contracts.deployments.services import ServiceName
from workflows.contracts.fields import CommitSha, Millis
from workflows.contracts.who import Named

MAX_BANS: Final = 200
"""Of one service: they are one record."""


class Ban(Tolerant):
    """What is banned: a version by its name, a commit under whatever name, or either of both.

    ``deployment_id``: the deployment whose rollback left it; None when a person banned it. ``change_id``: by which
    change it came.
    """

    version: str | None = None
    git_commit_sha: str | None = None
    by: str
    reason: str
    at: Millis
    deployment_id: str | None = None
    change_id: str = ""

    def covers(self, version: str, commit: str) -> bool:
        """True when it is about this version of this commit."""
        return version == self.version or commit == self.git_commit_sha

    @property
    def what(self) -> str:
        """``1.1 (commit 9f1c2d3e4b5a)``."""
        commit = None if self.git_commit_sha is None else f"commit {self.git_commit_sha[:12]}"
        return commit or self.version or "" if self.version is None or commit is None else f"{self.version} ({commit})"


class BanList(Tolerant):
    """The bans of a service, newest first. ``revision`` grows with each write."""

    service_name: str
    items: list[Ban] = Field(default_factory=list[Ban])
    revision: int = 0

    def of(self, version: str, commit: str) -> Ban | None:
        """The newest ban that this version of this commit is under."""
        return next((ban for ban in self.items if ban.covers(version, commit)), None)


class _Named(Named):
    """By name, by commit, or by both."""

    name: ServiceName
    version: Version | None = None
    git_commit_sha: CommitSha | None = None
    reason: Why

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.version is None and self.git_commit_sha is None:
            raise ValueError("version or git_commit_sha is needed")
        return self


class BanCommand(_Named):
    """Let nothing bring this version, or this commit, of a service back."""


class LiftBan(_Named):
    """Lift every ban of this version, or of this commit."""


class LeftVersion(Tolerant):
    """What a rollback left, to be banned. ``change_id`` is that rollback's own, however often it is asked."""

    service_name: str
    environment: str
    deployment_id: str
    version: str | None
    git_commit_sha: str | None
    by: str
    reason: str
    change_id: str


class Affected(Tolerant):
    """An open deployment that a ban is about; ``live``: it is rolled out in ``environment``, or being rolled out."""

    deployment_id: str
    workflow_id: str
    version: str
    environment: str
    live: bool = False


class BanResult(Tolerant):
    """A service's bans after a change. ``notes``: what is to be known of it, in words."""

    service_name: str
    items: list[Ban] = Field(default_factory=list[Ban])
    changed: list[Ban] = Field(default_factory=list[Ban])
    affected: list[Affected] = Field(default_factory=list[Affected])
    notes: list[str] = Field(default_factory=list[str])


class BanTold(Tolerant):
    """Signal ``banned``: somebody has banned something of this service. Whoever hears it looks for themselves."""

    reason: str = ""


class BanQuestion(Tolerant):
    """Which of these versions of a service are under a ban?"""

    service_name: str
    versions: list[LiveVersion]
