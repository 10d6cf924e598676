"""Bans as callers send and see them."""

from typing import Self

from pydantic import Field, model_validator

from api.deployments.schemas import SignedBody
from workflows.contracts.base import Tolerant
from workflows.contracts.deployments.bans import Ban, BanList, BanResult
from workflows.contracts.deployments.deployment import Version
from workflows.contracts.deployments.environments import Why
from workflows.contracts.fields import CommitSha


class BanRequest(SignedBody):
    """What nothing may bring back: a version by its name, a commit under whatever name, or both. And why."""

    version: Version | None = None
    git_commit_sha: CommitSha | None = Field(default=None, description="The whole SHA.")
    reason: Why

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.version is None and self.git_commit_sha is None:
            raise ValueError("give version or git_commit_sha")
        return self


class UnbanRequest(BanRequest):
    """Which bans are lifted: every one that names this version, or this commit. And why."""


class BanOut(Tolerant):
    """What is banned, by whom, why and since when (epoch ms). ``deployment_id``: the one whose rollback left it."""

    version: str | None
    git_commit_sha: str | None
    by: str
    reason: str
    at: int
    deployment_id: str | None


class Bans(Tolerant):
    """The bans of a service, newest first."""

    items: list[BanOut]


class BansChanged(Bans):
    """The bans of a service after a change. ``changed``: which came or went; ``notes``: what is to be known of that."""

    changed: list[BanOut]
    notes: list[str]


def bans_of(bans: BanList) -> Bans:
    """As callers see them."""
    return Bans(items=[_shown(ban) for ban in bans.items])


def changed_bans(result: BanResult) -> BansChanged:
    """As callers see them."""
    items, changed = [_shown(ban) for ban in result.items], [_shown(ban) for ban in result.changed]
    return BansChanged(items=items, changed=changed, notes=result.notes)


def _shown(ban: Ban) -> BanOut:
    return BanOut.model_validate(ban.model_dump())
