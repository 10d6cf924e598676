"""Kept deliveries as the API shows them, and what a replay is asked with. The command line reads these too."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from api.http.answers import PageQuery
from api.webhooks.manifest import PROVIDER_PATTERN
from workflows.contracts.base import Frozen, Tolerant
from workflows.contracts.commands import Reason
from workflows.contracts.deployments.deliveries import DeliveredAction, DeliveryOutcome, KeptDelivery
from workflows.contracts.deployments.services import ServiceName
from workflows.contracts.fields import Millis

_MAX_TIME: Final = (1 << 53) - 1
Time = Annotated[Millis, Field(ge=0, le=_MAX_TIME)]


class DeliveryListQuery(PageQuery):
    """Which deliveries a list shows: those of which all this holds. Times are epoch milliseconds, both included."""

    provider: Annotated[str, StringConstraints(pattern=PROVIDER_PATTERN)] | None = None
    service_name: ServiceName | None = None
    outcome: DeliveryOutcome | None = None
    since: Time | None = None
    until: Time | None = None


class ReplayRequest(Frozen):
    """``start_again``: also what was started before and has ended."""

    start_again: bool = False
    reason: Reason | None = None


class DeliveredNow(DeliveredAction):
    """What a delivery did, and how that stands ``now``: a deployment's status, null when its record is gone."""

    now: str | None = None


class DeliveryOut(KeptDelivery):
    """A kept delivery. ``body``: as text, of one that is asked for by its id; bytes that are no UTF-8 are replaced."""

    actions: list[DeliveredNow] = Field(default_factory=list[DeliveredNow])  # pyright: ignore[reportIncompatibleVariableOverride]
    body: str | None = None


class DeliveryListOut(Tolerant):
    """One page, newest first. ``not_genuine``: how many requests of today (UTC) were not, by provider; null for those
    who do not reach everything.
    """

    items: list[DeliveryOut]
    next_cursor: str | None = None
    stopped_early: bool = False
    looked_at: int | None = None
    not_genuine: dict[str, int] | None = None


class ProviderOut(Frozen):
    """A tool that can send webhooks here: where to, and by which variable its secret is given."""

    name: str
    title: str
    path: str = Field(description="Below this server's address.")
    configured: bool = Field(description="Its secret is known here.")
    secret_variable: str
    events: list[str]
    actions: list[str]
    docs: str = ""


class ProvidersOut(Frozen):
    """All of them, by name."""

    items: list[ProviderOut]
