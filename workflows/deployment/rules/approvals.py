"""Who may let a version into an environment, and when there are enough of them. Pure.

Four eyes compares persons: not the author, not the committer (as the starter says, and as any agent found them in git),
not whoever started it, nobody twice, nobody for two groups unless the service allows it. Of whom little is known, every
name is compared, and in doubt two are one.

Deliberately not here: waiting for people (``phases.approval``), asking what is registered now (``judging``), who is
behind a deployment (``parties``). An approval is for one deployment, so for one commit: another commit is another
deployment and starts without any.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workflows.contracts.deployments.approvals import ApprovalFacts
from workflows.contracts.deployments.commands import Approve, Reject
from workflows.contracts.deployments.deployment import Approval, Decision, Deployment
from workflows.contracts.deployments.rules import ApprovalGroup, ApprovalPolicy
from workflows.contracts.identity.people import Somebody, identity_as_said, names_as_said, same_person
from workflows.deployment.rules.parties import by_its_key, named_alike, own_work, parties_of
from workflows.deployment.rules.relations import warning
from workflows.words import moment

_KEPT: Final = "kept as it was given, before persons were compared"
_TOLD: Final = 8
"""Of a group, so many members are named."""


def same_name(one: str, other: str) -> bool:
    """How people were told apart before persons were known; approvals of then are counted so."""
    return one.strip().casefold() == other.strip().casefold()


def given_for(approvals: Sequence[Approval], environment: str) -> list[Approval]:
    """Every yes to this environment, whether it counts or not."""
    return [each for each in approvals if each.environment == environment and each.decision is Decision.APPROVE]


def counting(approvals: Sequence[Approval], environment: str) -> list[Approval]:
    """Those that count."""
    return [entry for entry in given_for(approvals, environment) if entry.counts]


def approvers(approvals: Sequence[Approval], environment: str) -> list[str]:
    """Who has approved this environment."""
    return [entry.by for entry in counting(approvals, environment)]


def missing(policy: ApprovalPolicy, approvals: Sequence[Approval], environment: str) -> str | None:
    """What is still missing, in words; None when there are enough."""
    given = counting(approvals, environment)
    parts = [f"{len(given)} of {policy.required} approvals are given"] if len(given) < policy.required else []
    for group, filled in zip(policy.groups, _filled(policy, given), strict=True):
        if filled < group.required:
            parts.append(f"{filled} of {group.required} by {group.name}")
    return ", ".join(parts) or None


def asks(deployment: Deployment, environment: str, lacking: str | None, until: int) -> str:
    """What it says while it waits for approvals, or has the last of them. ``until``: epoch ms."""
    if lacking is None:
        return f"{deployment.version} has its approvals for {environment}; it takes its turn there."
    looked = warning(each for each in deployment.relations if each.environment == environment and each.doubtful)
    lost = [
        f" {entry.by} has approved it, which counts no more: {entry.why}"
        for entry in given_for(deployment.approvals, environment)
        if not entry.counts
    ]
    return (
        f"{deployment.version} waits for approval of {environment}: {lacking}, until {moment(until)}. "
        f"`hybridci deploy approve {deployment.deployment_id}`{f' {looked}' if looked else ''}{''.join(lost)}"
    )


def who_may(policy: ApprovalPolicy, deployment: Deployment) -> str:
    """Said to whoever may not: whom to ask, and with which command they approve."""
    groups = [f"{', '.join(group.members[:_TOLD])} ({group.name})" for group in policy.groups]
    may = "; ".join(groups) or "whoever may approve, but for " + _not_those(policy)
    return f"Who may: {may}. Their command: `hybridci deploy approve {deployment.deployment_id}`."


def _not_those(policy: ApprovalPolicy) -> str:
    writers = [] if policy.allow_author else ["its author", "its committer"]
    machines = [] if policy.allow_machines else ["machines"]
    return ", ".join([*writers, "whoever started it", *machines])


def approval_refused(
    policy: ApprovalPolicy, deployment: Deployment, environment: str, command: Approve, now: int
) -> str | None:
    """Why this approval does not count, whatever the service says by now; None when it may. ``now`` in epoch ms."""
    vouched = command.vouched
    if (mismatch := _mismatch(deployment, environment, command)) is not None:
        return mismatch
    if vouched is not None and vouched.environment != environment:
        return f"{deployment.version} waits for approval of {environment} only now: look at it again and approve."
    who = identity_as_said(command.by) if vouched is None else vouched.identity
    if (twice := _twice(command.by, who, counting(deployment.approvals, environment), environment)) is not None:
        return f"{twice} {who_may(policy, deployment)}"
    acts_for = None if vouched is None else vouched.acts_for
    if not policy.allow_author and (own := own_work(deployment, environment, command.by, who, acts_for)) is not None:
        return f"{own} {who_may(policy, deployment)}"
    return _signature_refused(policy, deployment, environment, command, now)


def refused_by_name(
    policy: ApprovalPolicy, deployment: Deployment, environment: str, command: Approve, now: int
) -> str | None:
    """As it was before persons were known: for deployments that were given an approval then."""
    if (mismatch := _mismatch(deployment, environment, command)) is not None:
        return mismatch
    if any(same_name(command.by, by) for by in approvers(deployment.approvals, environment)):
        return _already(command.by, environment)
    if not policy.allow_author and same_name(command.by, deployment.git_author):
        return f"{command.by} is the author of {deployment.version}: somebody else must approve it for {environment}."
    if policy.groups and not any(same_name(command.by, m) for group in policy.groups for m in group.members):
        return _in_no_group(command.by, policy, environment)
    return _signature_refused(policy, deployment, environment, command, now)


def rejection_refused(deployment: Deployment, environment: str, command: Reject) -> str | None:
    """Why this rejection does not count, None when it does. Anybody may reject, the author too."""
    if command.environment is not None and command.environment != environment:
        return _other_environment(deployment, environment, command.environment)
    return None


def judged(
    policy: ApprovalPolicy, deployment: Deployment, environment: str, given: Sequence[Approval], facts: ApprovalFacts
) -> list[Approval]:
    """The approvals of this environment, in order, each with whether it counts now and why not.

    ``facts`` has a doubt, or None, for each, and likewise why it is withdrawn, where that was looked into. One of
    before persons were known is kept as it was given, and says so.
    """
    rules = in_force(policy, facts)
    done: list[Approval] = []
    withdrawn = facts.withdrawn or [None] * len(given)
    for entry, doubt, taken_away in zip(given, facts.doubts, withdrawn, strict=True):
        before = [each for each in done if each.counts]
        if entry.void is not None:
            done.append(entry.model_copy(update={"counts": False, "why": entry.void}))
            continue
        if entry.person is None:
            done.append(entry.model_copy(update={"why": _KEPT}))
            continue
        said = _judged(_Case(rules, deployment, environment, facts), entry, doubt, before)
        done.append(said if taken_away is None else said.model_copy(update={"counts": False, "why": taken_away}))
    return done


def _with_present_members(groups: Sequence[ApprovalGroup], present: Sequence[ApprovalGroup]) -> list[ApprovalGroup]:
    """A commit's file may have added narrower groups, also of the same name behind the service's: of their members
    those remain who are in a group of the service now.
    """
    members = {group.name: group.members for group in present}
    allowed = {member.casefold() for group in present for member in group.members}
    done: list[ApprovalGroup] = []
    for group in groups:
        now = members.pop(group.name, None)
        if now is None:
            now = [member for member in group.members if not allowed or member.casefold() in allowed]
        done.append(group.model_copy(update={"members": now}))
    return done


def in_force(policy: ApprovalPolicy, facts: ApprovalFacts) -> ApprovalPolicy:
    """What the deployment was started with, with its groups' members as they are registered now. What else was allowed
    then, the service can take back and not give.
    """
    present = facts.policy
    unverified = facts.allow_unverified if policy.allow_unverified is None else policy.allow_unverified
    if present is None:
        return policy.model_copy(update={"allow_unverified": unverified})
    groups = _with_present_members(policy.groups, present.groups)
    return policy.model_copy(
        update={
            "groups": groups,
            "allow_author": policy.allow_author and present.allow_author,
            "allow_machines": policy.allow_machines and present.allow_machines,
            "one_person_many_groups": policy.one_person_many_groups and present.one_person_many_groups,
            "allow_unverified": unverified and present.allow_unverified is not False,
        }
    )


def giver_of(entry: Approval) -> Somebody:
    """Who gave it: as the API vouches, else as it says itself."""
    if entry.vouched is not None and entry.verified is not False:
        return entry.vouched.identity
    return identity_as_said(entry.by)


@dataclass(frozen=True, slots=True)
class _Case:
    """What an approval is judged by."""

    policy: ApprovalPolicy
    deployment: Deployment
    environment: str
    facts: ApprovalFacts


def _judged(case: _Case, entry: Approval, doubt: str | None, before: Sequence[Approval]) -> Approval:
    if doubt is None and entry.vouched is not None and entry.vouched.by != entry.by:
        doubt = f"what the API vouches for was given by {entry.vouched.by}"
    if doubt is None and case.deployment.start_doubt is not None:
        doubt = f"who started {case.deployment.version} is not known: {case.deployment.start_doubt}"
    checked = entry.model_copy(update={"verified": doubt is None})
    who, starter = giver_of(checked), parties_of(case.deployment).starter
    started_it = same_person(who, starter)
    groups = [group.name for group in case.policy.groups if _is_member(who, group)]
    why = _refusal(case, checked, who, doubt, before)
    if why is None and case.policy.groups and not groups:
        why = _in_no_group(entry.by, case.policy, case.environment)
    if why is None and started_it and not case.facts.allow_self_approval:
        how = by_its_key(who, starter)
        why = (
            f"{entry.by} started {case.deployment.version}{how}: somebody else must approve it for {case.environment}."
            f"{named_alike(who, starter)}"
        )
    update = {"person": who.person, "groups": groups, "counts": why is None, "why": why, "self_approval": started_it}
    return checked.model_copy(update=update)


def _refusal(case: _Case, entry: Approval, who: Somebody, doubt: str | None, before: Sequence[Approval]) -> str | None:
    """Apart from the groups and who started it."""
    policy, environment = case.policy, case.environment
    if doubt is not None and not policy.allow_unverified:
        return f"Nobody can tell that {entry.by} gave it: {doubt}. {environment} takes verified approvals only."
    if who.machine and not policy.allow_machines:
        return f"{entry.by} is a machine: a person must approve {environment} (`allow_machines` lets it)."
    if (twice := _twice(entry.by, who, before, environment)) is not None:
        return twice
    acts_for = None if entry.vouched is None else entry.vouched.acts_for
    return None if policy.allow_author else own_work(case.deployment, environment, entry.by, who, acts_for)


def _twice(by: str, who: Somebody, before: Sequence[Approval], environment: str) -> str | None:
    earlier = next((entry for entry in before if same_person(who, giver_of(entry))), None)
    if earlier is None:
        return None
    alike = named_alike(who, giver_of(earlier))
    if same_name(by, earlier.by):
        return f"{_already(by, environment)}{alike}"
    return (
        f"{by} is the person who has approved {environment} already, as {earlier.by}: another person is needed.{alike}"
    )


def _is_member(who: Somebody, group: ApprovalGroup) -> bool:
    return any(who.proven & {member, *names_as_said(member)} for member in group.members)


def _filled(policy: ApprovalPolicy, given: Sequence[Approval]) -> list[int]:
    """For each group, how many of its places somebody fills: each person one place, unless they may count for many.

    An approval of before persons were known fills a place in every group, as it did then.
    """
    old = [[entry for entry in given if entry.person is None and _named_in(group, entry)] for group in policy.groups]
    new = [[entry for entry in given if entry.person and group.name in entry.groups] for group in policy.groups]
    if policy.one_person_many_groups:
        return [len(those) + len(these) for those, these in zip(old, new, strict=True)]
    places = [
        index for index, group in enumerate(policy.groups) for _ in range(max(group.required - len(old[index]), 0))
    ]
    taken: dict[str, int] = {}  # who fills which place

    def seat(place: int, tried: set[str]) -> bool:
        """Give the place to somebody; whoever has another place may move to a further one."""
        for entry in new[places[place]]:
            person = entry.person or ""
            if person in tried:
                continue
            tried.add(person)
            if person not in taken or seat(taken[person], tried):
                taken[person] = place
                return True
        return False

    for place in range(len(places)):
        seat(place, set())
    filled = [len(those) for those in old]
    for place in taken.values():
        filled[places[place]] += 1
    return filled


def _named_in(group: ApprovalGroup, entry: Approval) -> bool:
    return any(same_name(entry.by, member) for member in group.members)


def _already(by: str, environment: str) -> str:
    return f"{by} has approved {environment} already: another person is needed."


def _in_no_group(by: str, policy: ApprovalPolicy, environment: str) -> str:
    names = ", ".join(group.name for group in policy.groups)
    return f"{by} is in none of the groups that may approve {environment}: {names}."


def _mismatch(deployment: Deployment, environment: str, command: Approve) -> str | None:
    if command.environment is not None and command.environment != environment:
        return _other_environment(deployment, environment, command.environment)
    if command.version is not None and command.version != deployment.version:
        return (
            f"This deployment is of {deployment.version}, not {command.version}: look at it again before you approve."
        )
    if command.git_commit_sha is not None and command.git_commit_sha != deployment.git_commit_sha:
        return (
            f"This deployment is of commit {deployment.git_commit_sha[:12]}, not {command.git_commit_sha[:12]}: "
            "look at it again before you approve."
        )
    return None


def _signature_refused(
    policy: ApprovalPolicy, deployment: Deployment, environment: str, command: Approve, now: int
) -> str | None:
    """Only whether it speaks of this deployment: the keys are with the agents, which check the signature itself."""
    signed = command.signed
    if signed is None and policy.signed:
        return f"{environment} takes signed approvals only: `hybridci deploy approve … --sign-with FILE`."
    if signed is None:
        return None
    said = (signed.service, signed.version, signed.git_commit_sha, signed.environment)
    if said != (deployment.service_name, deployment.version, deployment.git_commit_sha, environment):
        return (
            f"The signature is for {signed.version} ({signed.git_commit_sha[:12]}) of {signed.service} in "
            f"{signed.environment}, not for this deployment: sign again."
        )
    if signed.expires_at <= now:
        return "The signature has expired: sign again."
    return None


def _other_environment(deployment: Deployment, waiting: str, named: str) -> str:
    return f"{deployment.version} waits for approval of {waiting}, not of {named}."
