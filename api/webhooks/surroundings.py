"""What a delivery meets in a request, from the services of this process."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from api.identity.people import Bearer
from api.webhooks.asking.findings import StoredEvidence
from api.webhooks.effects import ApiEffects, registered_services
from api.webhooks.keeping import DeliveryKeeper
from api.webhooks.ports import WebhookPorts
from api.webhooks.receive import Around, Webhooks
from api.webhooks.told import DeliveryTrail


async def provide_webhooks(request: Request) -> Webhooks:
    """The providers of the process that handles this request."""
    webhooks = request.app.state.webhooks
    if not isinstance(webhooks, Webhooks):
        raise TypeError("the application was started without webhooks")
    return webhooks


WebhooksDep = Annotated[Webhooks, Depends(provide_webhooks)]


def around(ports: WebhookPorts, request: Request, person: Bearer | None = None) -> Callable[[str], Around]:
    """What a delivery of a provider meets, in this request. ``person``: who has it replayed."""
    address = request.client.host if request.client else None

    def of(provider: str) -> Around:
        effects = ApiEffects(ports, provider, address, person=person)
        return Around(
            effects=effects,
            evidence=StoredEvidence(ports, effects.by),
            services=lambda: registered_services(ports),
            trail=DeliveryTrail(ports.audit, ports.clock, address),
            keeper=DeliveryKeeper(ports.webhook_deliveries, ports.clock),
        )

    return of
