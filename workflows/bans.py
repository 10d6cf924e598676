"""Bans in words, and which versions are under one. Pure.

Deliberately not here: storing bans (``activities.bans``), what follows from one (``workflows.deployment.phases``).
"""

from collections.abc import Iterable

from workflows.contracts.deployments.bans import Ban
from workflows.contracts.deployments.environments import LiveVersion
from workflows.words import moment


def banned_words(service: str, ban: Ban) -> str:
    """Who banned it, when and why, and what lifts it."""
    named = f"{service}@{ban.version}" if ban.version is not None else f"{service} --commit {ban.git_commit_sha}"
    after = "" if ban.deployment_id is None else " when it was rolled back"
    return (
        f"{ban.what} of {service} is banned: {ban.by} banned it{after} at {moment(ban.at)}: {ban.reason.rstrip('.')}. "
        f"`hybridci deploy unban {named} --reason …` lifts it."
    )


def under(bans: Iterable[Ban], version: LiveVersion) -> bool:
    """True when one of the bans is about it."""
    return any(ban.covers(version.version, version.git_commit_sha) for ban in bans)
