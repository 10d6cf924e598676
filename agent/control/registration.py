"""Registering this agent with the API, and again in time: what it gets is the one token it shows from then on.

The pool's key (or a workload's short-lived token, read anew each time) is shown for this alone. An API of an earlier
version has no registry: the agent then works with its key, as agents did before.
Deliberately not here: what is done with the token (``api``, ``temporal``), and heartbeats (``heartbeat``).
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from pydantic import Field, SecretStr, ValidationError

from agent.control.api import ApiUnreachable, Backoff, ControlPlane, RequestRefused
from agent.settings import AgentSettings, SettingsError
from agent.waiting import first_of
from workflows.contracts.agents import HEARTBEAT_SECONDS, AgentRegistration
from workflows.contracts.base import Tolerant
from workflows.contracts.errors import field_errors
from workflows.contracts.fields import Millis

AGAIN_SECONDS: Final = 12 * 3600
_LATER_SECONDS: Final = 60.0
"""An API without a registry, or one that refuses us, is asked again after this."""
_SOONEST_SECONDS: Final = 30.0
"""However short-lived a token is."""
_APART_SECONDS: Final = 5.0
"""Between two registrations, however often something is refused."""
_NO_ROUTE: Final = frozenset({404, 405})
_NOT_ALLOWED: Final = frozenset({401, 403})
_TAKEN: Final = 409
_MALFORMED: Final = frozenset({400, 422})

logger = logging.getLogger(__name__)


class GatewayRoute(Tolerant):
    """Where the agent gateway is. ``ca_pem`` None: its certificate is one that everybody trusts."""

    address: str
    ca_pem: str | None = None


class Registration(Tolerant):
    """The API's answer."""

    token: SecretStr
    token_expires_at: Millis | None = None
    heartbeat_seconds: int = Field(default=HEARTBEAT_SECONDS, ge=1, le=3600)
    gateway: GatewayRoute | None = None


class NameTaken(Exception):
    """Another agent of this id is alive."""


class Registrar:
    """Keeps this agent registered. ``current`` is None as long as the API has no registry.

    ``on_taken`` is called when the id went to another agent under way. ``tasks_known`` is set while the API
    knows that this agent answers agent tasks.
    """

    def __init__(
        self,
        settings: AgentSettings,
        plane: ControlPlane,
        registration: AgentRegistration,
        *,
        on_taken: Callable[[str], None],
    ) -> None:
        self._settings, self._plane, self._registration = settings, plane, registration
        self._on_taken = on_taken
        self.tasks_known = asyncio.Event()
        self._listeners: list[Callable[[Registration], None]] = []
        self._wanted, self._known = asyncio.Event(), asyncio.Event()
        self._registered_at = float("-inf")
        self.current: Registration | None = None
        plane.on_unauthorized = self.ask

    def on_registered(self, listener: Callable[[Registration], None]) -> None:
        """Call ``listener`` with each answer."""
        self._listeners.append(listener)

    async def registered(self) -> Registration:
        """Wait until there is an answer."""
        await self._known.wait()
        if self.current is None:
            raise RuntimeError("known, and yet nothing is")
        return self.current

    def ask(self) -> None:
        """Register again soon: the token or the agent is not known any more."""
        self._wanted.set()

    async def first(self, stop: asyncio.Event) -> None:
        """Wait until registered, asked to stop, or told that there is no registry.

        Raises SettingsError when this agent is refused as it is set up, NameTaken.
        """
        backoff = Backoff("Registering this agent")
        while not stop.is_set():
            try:
                await self._register()
            except ApiUnreachable as error:
                delay = backoff.failed(error)
            except RequestRefused as error:
                if error.status in _NO_ROUTE:
                    logger.warning("The API has no registry of agents yet (%s): working with the pool's key", error)
                    return
                if error.status not in _NOT_ALLOWED or self._settings.api_key is not None:
                    raise SettingsError(_advice(error, self._settings)) from error
                delay = backoff.failed(SettingsError(_advice(error, self._settings)))  # the file's token may be renewed
            else:
                backoff.succeeded()
                return
            await first_of(stop.wait(), asyncio.sleep(delay))

    async def keep(self) -> None:
        """Register again when it is time or asked for, for ever; nothing that runs is disturbed."""
        backoff = Backoff("Registering this agent again")
        delay = self._seconds_to_next()
        while True:
            await first_of(self._wanted.wait(), asyncio.sleep(delay))
            await asyncio.sleep(max(0.0, self._registered_at + _APART_SECONDS - time.monotonic()))
            self._wanted.clear()
            try:
                await self._register()
            except ApiUnreachable as error:
                delay = backoff.failed(error)
                await asyncio.sleep(delay)  # also when it is asked for all the time
                self._wanted.set()
            except NameTaken as error:
                self._on_taken(str(error))
                return
            except (RequestRefused, SettingsError) as error:
                if self.current is not None:
                    text = _advice(error, self._settings) if isinstance(error, RequestRefused) else str(error)
                    logger.error("This agent could not be registered again, what runs goes on: %s", text)
                await asyncio.sleep(_LATER_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 -- jitter
                self._wanted.set()
            else:
                backoff.succeeded()
                delay = self._seconds_to_next()

    async def _register(self) -> None:
        try:
            answer = await self._ask_for_a_place(self._settings.read_api_key())
            registered = Registration.model_validate_json(answer)
        except ValidationError as error:  # its text may hold the token
            raise ApiUnreachable(
                f"what {self._settings.url} answers is no registration (error in "
                f"{', '.join(found.field for found in field_errors(error)[:3])}): "
                "is HYBRIDCI_URL the address of the API?"
            ) from None
        except RequestRefused as error:
            if error.status == _TAKEN:
                raise NameTaken(f"This agent cannot register: {error}") from error
            raise
        again = self.current is not None
        self.current, self._registered_at = registered, time.monotonic()
        self._known.set()
        for listener in self._listeners:
            listener(registered)
        logger.info("Registered%s as %s", " again" if again else "", self._registration.agent_id)

    async def _ask_for_a_place(self, key: str) -> bytes:
        """An API of an earlier version refuses a field that it does not know."""
        registration = self._registration
        if registration.tasks:
            try:
                answer = await self._plane.register(registration, key)
            except RequestRefused as error:
                if error.status not in _MALFORMED:
                    raise
            else:
                self.tasks_known.set()
                return answer
        answer = await self._plane.register(registration.model_copy(update={"tasks": []}), key)
        if registration.tasks:
            logger.info("The API does not know agent tasks, so this agent is asked none")
        self.tasks_known.clear()
        return answer

    def _seconds_to_next(self) -> float:
        if self.current is None:
            return _LATER_SECONDS
        seconds = float(AGAIN_SECONDS)
        if self.current.token_expires_at is not None:
            left = self.current.token_expires_at / 1000 - time.time()
            seconds = min(seconds, max(_SOONEST_SECONDS, left / 2))  # our clock may be wrong: then a 401 tells
        return seconds * random.uniform(0.9, 1)  # noqa: S311 -- jitter


def _advice(error: RequestRefused, settings: AgentSettings) -> str:
    if error.status == 401:
        source = "HYBRIDCI_API_KEY" if settings.api_key is not None else f"the file {settings.api_key_file}"
        return f"The API does not know the key of {source}: {error} Give this agent a key of its pool."
    if error.status == 403:
        return f"The agent's key may not register an agent in pool {settings.pool}: {error}"
    return f"The API refuses to register this agent as it is set up: {error}"
