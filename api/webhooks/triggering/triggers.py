"""Does this event start a deployment of this service? One judge for all tools: facts and the service's triggers in,
a verdict with a reason in words out. Pure.

What is not told counts as no, except which files changed: then it starts and says so, since a deployment too many is
seen and one that is missing is not. Skip words do not count for tags: release tools tag the very commits that carry
them. Deliberately not here: finding the facts (``facts``, manifests), asking for what is missing (``evidence``).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from api.webhooks.repositories import KnownService
from api.webhooks.triggering.facts import SUCCESS, Facts, TriggerType
from api.webhooks.triggering.patterns import fits, parts_of
from workflows.contracts.deployments.triggers import CAREFUL, TagTrigger, Triggers, filled

_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_PRE_RELEASE: Final = re.compile(r"v?\d+\.\d+\.\d+-[0-9A-Za-z.-]+(\+[0-9A-Za-z.-]+)?")
"""SemVer's: ``1.4.0-rc.1``."""
_SHOWN: Final = 80
_SHORT: Final = 12


class Lacking(StrEnum):
    """What has to be found out before it starts."""

    CHECKS = "checks"
    PATHS = "paths"


@dataclass(frozen=True, slots=True)
class SeenCheck:
    """A check or workflow that ended for a commit, as its tool told. ``branch`` None: not told."""

    name: str
    conclusion: str
    branch: str | None = None

    @property
    def green(self) -> bool:
        """It passed."""
        return self.conclusion == SUCCESS


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out besides the payload. None: nobody has asked yet; ``asked_paths``: somebody did."""

    checks: Sequence[SeenCheck] | None = None
    paths: Sequence[str] | None = None
    asked_paths: bool = False


@dataclass(frozen=True, slots=True)
class TriggerVerdict:
    """Whether it starts, and why or why not. ``version`` None: that of the manifest. ``lacking``: ask first.
    ``remark``: what is to be known of a start.
    """

    starts: bool
    why: str
    version: str | None = None
    lacking: Lacking | None = None
    remark: str = ""


NOTHING_FOUND: Final = Found()


class _No(Exception):
    """It starts nothing; the message says why."""


def triggers_of(service: KnownService) -> Triggers:
    """What it says, else the careful ones."""
    return service.triggers or CAREFUL


def judge(facts: Facts, service: KnownService, found: Found = NOTHING_FOUND) -> TriggerVerdict:
    """The verdict."""
    triggers = triggers_of(service)
    try:
        version = _JUDGES[facts.type](facts, service, triggers)
        _require_no_skip_word(facts, triggers)
        lacking = _lacking_checks(facts, service, triggers, found)
        remark, asks = ("", False) if lacking else _paths(facts, triggers, found)
    except _No as no:
        return TriggerVerdict(False, f"{service.name}: {no}")
    if lacking:
        return TriggerVerdict(
            True, f"{service.name}: its required checks are to be looked up.", version, Lacking.CHECKS
        )
    if asks:
        return TriggerVerdict(True, f"{service.name}: an agent is to say which files changed.", version, Lacking.PATHS)
    why = f"{service.name}: {_WHY[facts.type].format(**_words(facts))}{remark}"
    return TriggerVerdict(True, why, version, remark=remark)


def branches_of(facts: Facts, service: KnownService) -> list[str]:
    """The patterns of the branches that deploy it. Empty: none is known."""
    given = triggers_of(service).branches
    if given is not None:
        return given
    branch = service.branch or facts.default_branch
    return [] if branch is None else [literal(branch)]


def literal(branch: str) -> str:
    """A branch's name as a pattern: git lets none hold ``*`` or ``?``."""
    return branch.removeprefix("refs/heads/")


def _push(facts: Facts, service: KnownService, triggers: Triggers) -> None:
    _require_branch(facts.branch, facts, service, triggers)
    if triggers.workflows:
        raise _No(
            f"a push starts nothing of it: it waits for {_any(triggers.workflows)} to succeed (triggers.workflows)"
        )


def _tag(facts: Facts, service: KnownService, triggers: Triggers) -> str:
    return _version(facts, triggers, "push")


def _release(facts: Facts, service: KnownService, triggers: Triggers) -> str:
    if facts.draft is not False:
        raise _No("the release is a draft")
    version = _version(facts, triggers, "release")
    if facts.prerelease is not False and not triggers.prereleases:
        raise _No(f"release {_shown(facts.tag)} is marked as a pre-release, and triggers.prereleases is false")
    if facts.commit is None or re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", facts.commit) is None:
        raise _No(f"release {_shown(facts.tag)} names a branch and no commit: let the push of its tag start it")
    return version


def _workflow(facts: Facts, service: KnownService, triggers: Triggers) -> str | None:
    named = fits(triggers.workflows, facts.name)
    if not named and facts.name not in triggers.required_checks:
        known = f"it waits for {_any(triggers.workflows)}" if triggers.workflows else "no workflow starts it"
        raise _No(f"workflow {_shown(facts.name)} is not for it: {known} (triggers.workflows)")
    _require_green_and_own(facts, "workflow")
    if facts.tag is not None:
        return _version(facts, triggers, "push")
    _require_branch(facts.branch, facts, service, triggers)
    return None


def _check(facts: Facts, service: KnownService, triggers: Triggers) -> None:
    if facts.name not in triggers.required_checks and not fits(triggers.workflows, facts.name):
        raise _No(f"check {_shown(facts.name)} is none that it waits for (triggers.required_checks)")
    _require_green_and_own(facts, "check")
    _require_branch(facts.branch, facts, service, triggers)


def _deployment(facts: Facts, service: KnownService, triggers: Triggers) -> str | None:
    if not fits(triggers.deployments, facts.environment):
        known = _any(triggers.deployments) if triggers.deployments else "none"
        raise _No(
            f"deployments to {_shown(facts.environment)} at the forge start nothing of it, only to {known}"
            " (triggers.deployments)"
        )
    if facts.ref is not None and fits(branches_of(facts, service), literal(facts.ref)):
        return None
    tag = None if facts.ref is None else facts.ref.removeprefix("refs/tags/")
    if any(parts_of(each.pattern, tag or "") is not None for each in triggers.tags):
        return _version(_with_tag(facts, tag), triggers, "push")
    raise _No(f"it names {_shown(facts.ref)}, which is neither one of its branches nor one of its tags")


_JUDGES: Final = {
    TriggerType.PUSH: _push,
    TriggerType.TAG: _tag,
    TriggerType.RELEASE: _release,
    TriggerType.WORKFLOW: _workflow,
    TriggerType.CHECK: _check,
    TriggerType.DEPLOYMENT: _deployment,
}
_WHY: Final = {
    TriggerType.PUSH: "{commit} was pushed to {branch}.",
    TriggerType.TAG: "tag {tag} was pushed.",
    TriggerType.RELEASE: "release {tag} was published.",
    TriggerType.WORKFLOW: "workflow {name} succeeded for {commit}.",
    TriggerType.CHECK: "check {name} is green, and so is all else that it waits for.",
    TriggerType.DEPLOYMENT: "a deployment to {environment} was asked for at the forge.",
}


def _require_branch(branch: str | None, facts: Facts, service: KnownService, triggers: Triggers) -> None:
    patterns = branches_of(facts, service)
    if branch is None:
        raise _No("the payload names no branch")
    if fits(patterns, branch):
        return
    if patterns:
        raise _No(f"branch {_shown(branch)} is not for it, but {_any(patterns)}")
    if triggers.branches is not None:
        raise _No("no branch starts anything of it (triggers.branches is empty)")
    raise _No("nobody says which branch deploys it: set git_ref or triggers.branches")


def _require_green_and_own(facts: Facts, what: str) -> None:
    if facts.conclusion != SUCCESS:
        raise _No(f"{what} {_shown(facts.name)} ended with {_shown(facts.conclusion)}, not with {SUCCESS}")
    if facts.fork is True:
        raise _No(f"{what} {_shown(facts.name)} ran for a fork")
    if facts.pull_request is True:
        raise _No(f"{what} {_shown(facts.name)} ran for a pull request, not for the branch")


def _version(facts: Facts, triggers: Triggers, by: str) -> str:
    if facts.tag is None:
        raise _No("the payload names no tag")
    known = [(each, parts) for each in triggers.tags if (parts := parts_of(each.pattern, facts.tag)) is not None]
    if not known:
        names = _any([each.pattern for each in triggers.tags]) if triggers.tags else "no tag is for it"
        raise _No(f"tag {_shown(facts.tag)} starts nothing of it: {names} (triggers.tags)")
    chosen, parts = known[0]
    if chosen.by not in {by, "either"}:
        raise _No(f"tag {_shown(facts.tag)} starts it by its {chosen.by} only (triggers.tags)")
    return _as_version(facts.tag, chosen, parts, triggers)


def _as_version(tag: str, chosen: TagTrigger, parts: Sequence[str], triggers: Triggers) -> str:
    version = filled(chosen.version, parts)
    if _VERSION.fullmatch(version) is None:
        raise _No(
            f"tag {_shown(tag)} gives {_shown(version)}, which is no version: letters from a to z, digits and '._+-',"
            " a letter or digit first, 64 at most (triggers.tags.version)"
        )
    if not triggers.prereleases and _PRE_RELEASE.fullmatch(version) is not None:
        raise _No(f"{version} is a pre-release by its name, and triggers.prereleases is false")
    return version


def _require_no_skip_word(facts: Facts, triggers: Triggers) -> None:
    if facts.type in {TriggerType.TAG, TriggerType.RELEASE, TriggerType.DEPLOYMENT} or facts.tag is not None:
        return
    message = (facts.message or "").casefold()
    word = next((word for word in triggers.skip_words if word.casefold() in message), None)
    if word is not None:
        raise _No(f"the commit's message says {word} (triggers.skip_words)")


def _lacking_checks(facts: Facts, service: KnownService, triggers: Triggers, found: Found) -> bool:
    """True when nobody has looked yet. A check that this event tells of counts as seen."""
    if not triggers.required_checks:
        return False
    if found.checks is None:
        return True
    patterns = branches_of(facts, service)
    seen = {each.name: each for each in found.checks if each.branch is None or fits(patterns, each.branch)}
    if facts.type in {TriggerType.WORKFLOW, TriggerType.CHECK} and facts.name and facts.conclusion:
        seen[facts.name] = SeenCheck(facts.name, facts.conclusion)
    missing = [name for name in triggers.required_checks if name not in seen or not seen[name].green]
    if missing:
        said = [f"{name} ({seen[name].conclusion if name in seen else 'not seen'})" for name in missing[:10]]
        raise _No(f"{_short(facts.commit)} waits for the checks {', '.join(said)} (triggers.required_checks)")
    by_workflow = facts.type in {TriggerType.WORKFLOW, TriggerType.CHECK} and triggers.workflows
    if by_workflow and not any(each.green and fits(triggers.workflows, each.name) for each in seen.values()):
        raise _No(f"{_short(facts.commit)} waits for {_any(triggers.workflows)} to succeed (triggers.workflows)")
    return False


def _paths(facts: Facts, triggers: Triggers, found: Found) -> tuple[str, bool]:
    """A remark on why it starts nevertheless; whether an agent is to be asked."""
    if not triggers.paths or facts.tag is not None or facts.type is TriggerType.DEPLOYMENT:
        return "", False
    paths = facts.paths if facts.paths is not None else found.paths
    if paths is not None:
        if any(fits(triggers.paths, path) for path in paths):
            return "", False
        raise _No(f"none of the {len(paths)} changed files is one of its own (triggers.paths)")
    if not found.asked_paths and facts.before is not None and facts.before.strip("0"):
        return "", True
    return " Nobody could say which files changed, so triggers.paths was not asked.", False


def _with_tag(facts: Facts, tag: str | None) -> Facts:
    return Facts(type=facts.type, commit=facts.commit, tag=tag)


def _words(facts: Facts) -> dict[str, str]:
    return {
        "commit": _short(facts.commit),
        "branch": _shown(facts.branch),
        "tag": _shown(facts.tag),
        "name": _shown(facts.name),
        "environment": _shown(facts.environment),
    }


def _short(commit: str | None) -> str:
    return "the commit" if commit is None else commit[:_SHORT]


def _shown(text: str | None) -> str:
    return "without a name" if text is None else repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _any(patterns: Sequence[str]) -> str:
    return " or ".join(patterns[:5]) + (f" or {len(patterns) - 5} more" if len(patterns) > 5 else "")
