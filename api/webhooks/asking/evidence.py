"""What a payload does not tell and a service's triggers ask for: which checks of the commit were seen, which files
changed. Asked before anything starts; what was found is judged again (``triggers``).

Deliberately not here: where checks are kept and how agents are asked (``findings``).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from api.webhooks.decisions import Judged, PassedOver, Planned, RuleDecision
from api.webhooks.repositories import KnownService
from api.webhooks.triggering.facts import Facts, TriggerType
from api.webhooks.triggering.patterns import fits
from api.webhooks.triggering.triggers import Found, Lacking, SeenCheck, TriggerVerdict, judge

_ENDED: Final = frozenset({TriggerType.WORKFLOW, TriggerType.CHECK})


class Evidence(Protocol):
    """The world, as far as triggers ask for it. All raise Unavailable."""

    async def see(self, repository: str, commit: str, check: SeenCheck) -> None:
        """Keep how a check ended, for what comes later."""
        ...

    async def checks(self, repository: str, commit: str) -> Sequence[SeenCheck]:
        """All that were seen of this commit."""
        ...

    async def paths(self, service: str, facts: Facts) -> Sequence[str] | None:
        """The files that a push changed, as an agent says; None when nobody can tell in time."""
        ...


async def settle(decision: RuleDecision, services: Sequence[KnownService], evidence: Evidence) -> RuleDecision:
    """The decision once all that was lacking is found out. Raises Unavailable.

    A check is kept before it is judged: of two that end at once, one sees both.
    """
    for facts in decision.facts:
        await _see(facts, decision.repository, services, evidence)
    starting: list[Planned] = []
    passed = list(decision.passed_over)
    for planned in decision.actions:
        if planned.judged is None:
            starting.append(planned)
            continue
        verdict = await _settled(planned.judged, evidence)
        if verdict.starts:
            judged = replace(planned.judged, why=verdict.why, remark=verdict.remark, lacking=None)
            starting.append(replace(planned, judged=judged))
        else:
            passed.append(PassedOver(planned.judged.service.name, verdict.why))
    if decision.actions and not starting:
        why = "; ".join(each.why for each in passed)
        return replace(decision, rule=None, reason=f"{decision.rule}: {why}", actions=(), passed_over=passed)
    return replace(decision, actions=starting, passed_over=passed)


async def _settled(judged: Judged, evidence: Evidence) -> TriggerVerdict:
    found, verdict = Found(), judge(judged.facts, judged.service)
    while verdict.starts and verdict.lacking is not None:
        if verdict.lacking is Lacking.CHECKS:
            found = replace(found, checks=await evidence.checks(judged.repository, judged.facts.commit or ""))
        else:
            found = replace(found, paths=await evidence.paths(judged.service.name, judged.facts), asked_paths=True)
        verdict = judge(judged.facts, judged.service, found)
    return verdict


async def _see(facts: Facts, repository: str | None, services: Sequence[KnownService], evidence: Evidence) -> None:
    """Keep how it ended where a service of the repository waits for it. What ran for a fork or a pull request counts
    for no branch.
    """
    if facts.type not in _ENDED or repository is None or facts.fork or facts.pull_request:
        return
    name, conclusion, commit = facts.name, facts.conclusion, facts.commit
    if name is None or conclusion is None or commit is None:
        return
    if any(service.repository == repository and _waits(service, name) for service in services):
        await evidence.see(repository, commit, SeenCheck(name, conclusion, facts.branch))


def _waits(service: KnownService, name: str) -> bool:
    triggers = service.triggers
    if triggers is None or not triggers.required_checks:
        return False
    return name in triggers.required_checks or fits(triggers.workflows, name)
