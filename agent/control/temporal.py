"""The way to Temporal: directly by the ecosystem's ``TEMPORAL_*`` variables, or through the agent gateway.

The gateway is for agents that have nothing but a token: it knows them by it and passes on the calls of a worker only.
"""

import asyncio
import logging
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from agent.control.api import Backoff
from agent.control.registration import GatewayRoute, Registration
from agent.own_environment import whole_environment
from agent.settings import AgentSettings, SettingsError
from agent.waiting import first_of
from workflows.client.address import TemporalNotConfigured
from workflows.client.jobs import connect
from workflows.payloads.codec import data_converter

_NAMESPACE: Final = "TEMPORAL_NAMESPACE"
_DIRECT: Final = "TEMPORAL_ADDRESS"
_NO_ANSWER: Final = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """Where the gateway is and what to trust there; ``ca`` None: the system's authorities."""

    address: str
    ca: bytes | None


def route_of(settings: AgentSettings, gateway: GatewayRoute | None) -> Route | None:
    """The gateway to use, or None for Temporal itself. Raises SettingsError.

    ``auto``: the gateway that the settings name, else Temporal if TEMPORAL_ADDRESS does, else what the API names.
    """
    if settings.gateway == "off":
        return None
    ca = _read_ca(settings.gateway_ca_file)
    if settings.gateway_address is not None:
        return Route(settings.gateway_address, ca)
    if settings.gateway == "auto" and os.environ.get(_DIRECT):
        return None
    if gateway is not None:
        return Route(gateway.address, ca or (gateway.ca_pem.encode() if gateway.ca_pem else None))
    if settings.gateway == "on":
        raise SettingsError(
            "HYBRIDCI_GATEWAY is on, but the API names no gateway: start one there, or set HYBRIDCI_GATEWAY_ADDRESS."
        )
    return None


class Connection:
    """The clients of this agent's life, one as a rule; their token can change under way."""

    def __init__(self, settings: AgentSettings, agent_id: str) -> None:
        self._settings, self._agent_id = settings, agent_id
        self._route: Route | None = None
        self._clients: list[Client] = []
        self._token: str | None = None

    async def open(self, registered: Registration | None, stop: asyncio.Event) -> Client | None:
        """Wait until Temporal answers. None: asked to stop before. Raises SettingsError."""
        self._route = route_of(self._settings, registered.gateway if registered else None)
        if self._route is not None:
            logger.info("Temporal is reached through the gateway %s", self._route.address)
            if self._token is None:
                raise SettingsError(
                    "The gateway wants this agent's token, but the API cannot register agents yet: update it, or set "
                    "HYBRIDCI_GATEWAY=off and TEMPORAL_ADDRESS."
                )
        backoff = Backoff("Connecting to Temporal")
        while not stop.is_set():
            try:
                client = await self.another()
            except TemporalNotConfigured as error:
                raise SettingsError(f"{error} The API names no gateway to this agent either.") from error
            except RuntimeError as error:
                delay = backoff.failed(error)
            else:
                backoff.succeeded()
                return client
            await first_of(stop.wait(), asyncio.sleep(delay))
        return None

    def use(self, registered: Registration) -> None:
        """Go on with a new token; calls under way are not disturbed."""
        self._token = registered.token.get_secret_value()
        if self._route is not None:
            for client in self._clients:
                client.api_key = self._token

    async def another(self) -> Client:
        """One more client. Raises RuntimeError when Temporal does not answer."""
        token = self._token
        client = await self._connect()
        self._clients.append(client)
        if self._route is not None and self._token != token:  # it changed meanwhile
            client.api_key = self._token
        return client

    async def answers(self, seconds: float) -> bool:
        """True when Temporal, or the gateway before it, answers at all now."""
        if not self._clients:
            return False
        try:
            return await asyncio.wait_for(
                self._clients[-1].service_client.check_health(timeout=timedelta(seconds=seconds)), seconds
            )
        except RPCError as error:
            return error.status not in _NO_ANSWER
        except (TimeoutError, RuntimeError):
            return False

    async def _connect(self) -> Client:
        if self._route is None:
            return await connect(identity=self._agent_id, environment=whole_environment())
        return await Client.connect(
            self._route.address,
            namespace=os.environ.get(_NAMESPACE) or "default",
            api_key=self._token,
            tls=TLSConfig(server_root_ca_cert=self._route.ca),
            identity=self._agent_id,
            data_converter=data_converter(),
        )


def _read_ca(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"HYBRIDCI_GATEWAY_CA_FILE names {file}, which cannot be read ({error.strerror}): name a file with the "
            "certificate authority's certificate (PEM)."
        ) from error
