"""What a delivery is and what it asks for, as values: handed from ``rules`` to ``evidence`` to ``actions``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from api.webhooks.manifest import ActionName
from api.webhooks.repositories import KnownService
from api.webhooks.triggering.facts import Facts
from api.webhooks.triggering.triggers import Lacking


@dataclass(frozen=True, slots=True)
class Delivery:
    """What was delivered, as expressions see it."""

    event: str | None
    delivery: str
    payload: Any
    headers: Mapping[str, str]
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Judged:
    """The service and the facts by which a deployment of it starts. ``repository``: in the form that is compared.
    ``lacking``: what is to be found out first.
    """

    service: KnownService
    facts: Facts
    repository: str
    why: str
    lacking: Lacking | None = None
    remark: str = ""


_OF_ALERTS: Final = frozenset({"since", "incident"})


@dataclass(frozen=True, slots=True)
class Planned:
    """One action with its values. ``key`` is the same for every delivery that means the same.

    ``service`` and ``environment`` are None when the values name a deployment; ``problem`` says why there are none.
    ``judged``: of a start that the service's triggers decide. ``lacking``: values that the rule asks for and that came
    out as nothing.
    """

    action: ActionName
    rule: str
    key: str
    service: str | None = None
    environment: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reason: str = ""
    problem: str | None = None
    judged: Judged | None = None
    lacking: frozenset[str] = frozenset()

    @property
    def of_alert(self) -> bool:
        """An alert asks for it and nobody in person: its rule says since when it holds, or which incident it is."""
        return not _OF_ALERTS.isdisjoint({*self.values, *self.lacking})


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A service of the repository that is not started, and why."""

    service: str
    why: str


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule and why it matched or did not. ``depth`` is how many of its conditions held."""

    rule: str
    action: ActionName
    matched: bool
    why: str
    depth: int


@dataclass(frozen=True, slots=True)
class RuleDecision:
    """What a delivery asks for: nothing when ``actions`` is empty, for ``reason``. ``facts``: what it says of a
    repository, where a rule asked; ``repository``: which. ``passed_over``: services that it does not start.
    """

    rule: str | None
    reason: str
    actions: Sequence[Planned]
    considered: Sequence[Considered]
    facts: Sequence[Facts] = ()
    repository: str | None = None
    passed_over: Sequence[PassedOver] = ()
