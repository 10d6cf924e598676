"""What the order of commits means for a deployment: whether it stands back, whether somebody must look. Pure.

Deliberately not here: finding the order out (``ordering``), doing what follows (``endings``, ``phases``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workflows.contracts.deployments.deployment import Deployment
from workflows.contracts.deployments.environments import Order
from workflows.contracts.deployments.order import Push
from workflows.contracts.deployments.relations import Relation
from workflows.contracts.deployments.rules import OlderCommits
from workflows.contracts.deployments.services import Environment


@dataclass(frozen=True, slots=True)
class CommitStanding:
    """How a deployment's commit stands in an environment just now, to each that is live or ahead."""

    relations: tuple[Relation, ...] = ()

    def outdated(self, deployment: Deployment, environment: Environment) -> Relation | None:
        """What it must stand back behind: its commit is proven to be older, and nobody is to be asked."""
        ask = environment.older_commits is OlderCommits.ASK or deployment.allow_older is not None
        return None if ask else self._older()

    def asks(self, deployment: Deployment, environment: Environment, accepted: Sequence[str]) -> Relation | None:
        """What is newer, where a person must say that it goes on all the same and nobody has."""
        if environment.older_commits is not OlderCommits.ASK or deployment.allow_older is not None:
            return None
        return next((each for each in self._all_older() if mark(each) not in accepted), None)

    @property
    def doubts(self) -> tuple[Relation, ...]:
        """Those that whoever approves must know of."""
        return tuple(each for each in self.relations if each.doubtful)

    def by_deployment(self) -> dict[str, Order]:
        """For the environment's lock."""
        return {each.deployment_id: each.order for each in self.relations}

    def _older(self) -> Relation | None:
        return next(iter(self._all_older()), None)

    def _all_older(self) -> Iterable[Relation]:
        return (each for each in self.relations if each.order is Order.OLDER)


def mark(relation: Relation) -> str:
    """What of a relation somebody has seen: another commit, or another order, is news."""
    return f"{relation.git_commit_sha}:{relation.order}"


def marks(relations: Iterable[Relation]) -> list[str]:
    """Each once."""
    return list(dict.fromkeys(mark(each) for each in relations))


def in_words(relation: Relation) -> str:
    """What whoever approves reads."""
    other = f"{relation.version} ({relation.git_commit_sha[:12]}), which {relation.place}"
    match relation.order:
        case Order.OLDER:
            return f"its commit is OLDER than {other}"
        case Order.DIVERGED:
            return f"its commit is no successor of {other}: the two have diverged"
        case Order.UNKNOWN:
            because = f" ({relation.why.rstrip('.')})" if relation.why else ""
            return f"nobody could tell whether its commit is a successor of {other}{because}"
        case _:
            return f"its commit is a successor of {other}"


def warning(relations: Iterable[Relation]) -> str:
    """All that is doubtful, as a sentence; empty when nothing is."""
    doubts = [in_words(each) for each in relations if each.doubtful]
    return f"Look: {'; '.join(doubts)}." if doubts else ""


def outdated_words(version: str, newer: Relation) -> str:
    """Why it ended, and how one goes back on purpose."""
    return (
        f"The commit of {version} is older than that of {newer.version} (deployment {newer.deployment_id}), which "
        f"{newer.place}: that one took its place. To go back on purpose: `hybridci deploy rollback`, or start it again "
        "with `--allow-older --reason …`."
    )


def by_pushes(pushes: Sequence[Push], ours: str, theirs: str) -> Order:
    """What pushes prove: each that only added commits makes the head before it an ancestor of the one after it."""
    if _reaches(pushes, ours, theirs):
        return Order.NEWER
    return Order.OLDER if _reaches(pushes, theirs, ours) else Order.UNKNOWN


def _reaches(pushes: Sequence[Push], descendant: str, ancestor: str) -> bool:
    seen, heads = set[str](), [descendant]
    while heads:
        head = heads.pop()
        seen.add(head)
        before = {push.before for push in pushes if push.after == head}
        if ancestor in before:
            return True
        heads += sorted(before - seen)
    return False
