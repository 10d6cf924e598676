"""Registering with a real HTTP server: the token that is shown afterwards, being refused, and doing it again."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.control.api import ApiUnreachable, ControlPlane, RequestRefused
from agent.control.registration import NameTaken, Registrar, Registration
from agent.settings import AgentSettings, SettingsError
from tests.agent.helpers import eventually
from tests.control_plane_server import KEY, TOKEN, ControlPlaneServer
from workflows.contracts.agents import AgentRegistration
from workflows.contracts.attempts import AttemptStarted

REGISTRATION = AgentRegistration(agent_id="agent-1", instance="instance-1", labels={"os": "linux"})
STARTED = AttemptStarted(attempt=1, agent_id="agent-1", claimed_at=1)


class Desk:
    """A registrar and its control plane; ``tokens`` are those it got."""

    def __init__(self, plane: ControlPlane, settings: AgentSettings) -> None:
        self.plane, self.stop = plane, asyncio.Event()
        self.tokens: list[str] = []
        self.taken: list[str] = []
        self.registrar = Registrar(settings, plane, REGISTRATION, on_taken=self.taken.append)
        self.registrar.on_registered(self._registered)

    def _registered(self, answer: Registration) -> None:
        self.tokens.append(answer.token.get_secret_value())
        self.plane.use_token(self.tokens[-1])


@pytest.fixture
async def server() -> AsyncIterator[ControlPlaneServer]:
    async with ControlPlaneServer() as server:
        yield server


@pytest.fixture
async def desk(server: ControlPlaneServer) -> AsyncIterator[Desk]:
    async with ControlPlane(server.url, KEY, connections=4) as plane:
        yield Desk(plane, AgentSettings.model_validate({"url": server.url, "api_key": KEY}))


async def test_the_pools_key_is_shown_once_and_then_the_agents_token(server: ControlPlaneServer, desk: Desk) -> None:
    await desk.registrar.first(desk.stop)
    assert (server.registry.keys, server.registry.registered) == ([KEY], [REGISTRATION])
    assert desk.tokens == [TOKEN]
    server.registry.token = "another"
    with pytest.raises(ApiUnreachable, match="registers again"):
        await desk.plane.announce_start("job", STARTED)
    assert TOKEN not in repr(desk.registrar.current)


async def test_it_waits_for_an_api_that_is_away(server: ControlPlaneServer, desk: Desk) -> None:
    await server.down()
    waiting = asyncio.create_task(desk.registrar.first(desk.stop))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await server.up()
    await asyncio.wait_for(waiting, 60)
    assert desk.tokens == [TOKEN]


async def test_asked_to_stop_it_waits_no_longer(server: ControlPlaneServer, desk: Desk) -> None:
    server.answer = 503
    waiting = asyncio.create_task(desk.registrar.first(desk.stop))
    await asyncio.sleep(0.1)
    desk.stop.set()
    await asyncio.wait_for(waiting, 60)
    assert desk.registrar.current is None


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (409, NameTaken, "This agent cannot register: "),
        (401, SettingsError, "does not know the key of HYBRIDCI_API_KEY"),
        (403, SettingsError, "may not register an agent in pool default"),
        (422, SettingsError, "refuses to register this agent as it is set up"),
    ],
)
async def test_a_refusal_is_one_clear_sentence(
    server: ControlPlaneServer, desk: Desk, status: int, kind: type[Exception], words: str
) -> None:
    server.registry.refusal = (status, "Host b has it.")
    with pytest.raises(kind) as refused:
        await desk.registrar.first(desk.stop)
    assert words in str(refused.value)
    assert "Host b has it." in str(refused.value)
    assert KEY not in str(refused.value)


async def test_a_short_lived_key_is_read_anew_each_time(server: ControlPlaneServer, tmp_path: Path) -> None:
    key = tmp_path / "token"
    key.write_text("expired\n")
    server.registry.refusal = (401, "This token has expired.")
    async with ControlPlane(server.url, "none", connections=4) as plane:
        desk = Desk(plane, AgentSettings.model_validate({"url": server.url, "api_key_file": key}))
        waiting = asyncio.create_task(desk.registrar.first(desk.stop))
        await eventually(lambda: server.requests.count("/api/agents/register") > 1, "a second try")
        key.write_text("fresh\n")
        server.registry.refusal = None
        await asyncio.wait_for(waiting, 60)
    assert server.registry.keys == ["fresh"]


async def test_an_api_without_a_registry_is_used_with_the_key(server: ControlPlaneServer, desk: Desk) -> None:
    server.registry.present = False
    await desk.registrar.first(desk.stop)
    assert desk.registrar.current is None
    await desk.plane.announce_start("job", STARTED)
    server.registry.token = "unknown"
    server.answer = 401
    with pytest.raises(RequestRefused):  # with a key of the settings nothing can be done about it
        await desk.plane.announce_start("job", STARTED)


async def test_what_answers_and_is_no_api_is_named(
    server: ControlPlaneServer, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = 200
    with caplog.at_level(logging.WARNING):
        waiting = asyncio.create_task(desk.registrar.first(desk.stop))
        await eventually(lambda: "is HYBRIDCI_URL the address of the API?" in caplog.text, "the advice")
    server.answer = 204
    await asyncio.wait_for(waiting, 60)


async def test_a_token_that_is_refused_is_replaced_and_nothing_is_lost(
    server: ControlPlaneServer, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.control.registration._APART_SECONDS", 0.3)
    await desk.registrar.first(desk.stop)
    keeping = asyncio.create_task(desk.registrar.keep())
    server.registry.token = "second"
    calls = [desk.plane.announce_start(f"job{number}", STARTED) for number in range(5)]
    assert all(isinstance(error, ApiUnreachable) for error in await asyncio.gather(*calls, return_exceptions=True))
    await eventually(lambda: len(desk.tokens) == 2, "the new token")
    await desk.plane.announce_start("job", STARTED)
    assert list(server.starts) == ["job"]
    await asyncio.sleep(0.4)
    assert desk.tokens == [TOKEN, "second"], "once for all of them"
    keeping.cancel()


async def test_a_name_that_went_to_another_agent_is_told(
    server: ControlPlaneServer, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.control.registration._APART_SECONDS", 0)
    await desk.registrar.first(desk.stop)
    server.registry.refusal = (409, "Host b has it.")
    desk.registrar.ask()
    await asyncio.wait_for(desk.registrar.keep(), 60)
    assert "Host b has it." in desk.taken[0]


async def test_it_registers_again_before_the_token_ends(
    server: ControlPlaneServer, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.control.registration._APART_SECONDS", 0)
    monkeypatch.setattr("agent.control.registration.AGAIN_SECONDS", 0.1)
    await desk.registrar.first(desk.stop)
    keeping = asyncio.create_task(desk.registrar.keep())
    await eventually(lambda: len(desk.tokens) >= 3, "two more registrations")
    await server.down()
    await asyncio.sleep(0.2)
    assert not keeping.done()
    await server.up()
    count = len(desk.tokens)
    await eventually(lambda: len(desk.tokens) > count, "another after the outage")
    keeping.cancel()


async def test_an_api_of_before_agent_tasks_is_told_of_none_and_a_newer_one_when_it_is_there(
    server: ControlPlaneServer,
) -> None:
    server.registry.knows_tasks = False
    answering = REGISTRATION.model_copy(update={"tasks": ["ancestry"]})
    settings = AgentSettings.model_validate({"url": server.url, "api_key": KEY})
    async with ControlPlane(server.url, KEY, connections=4) as plane:
        registrar = Registrar(settings, plane, answering, on_taken=lambda why: None)
        await registrar.first(asyncio.Event())
        assert [each.tasks for each in server.registry.registered] == [[]]
        assert not registrar.tasks_known.is_set()
        server.registry.knows_tasks = True
        await registrar.first(asyncio.Event())
        assert [each.tasks for each in server.registry.registered] == [[], ["ancestry"]]
        assert registrar.tasks_known.is_set()
        server.registry.knows_tasks = False
        await registrar.first(asyncio.Event())
        assert not registrar.tasks_known.is_set()


def test_an_agent_that_answers_nothing_registers_as_before() -> None:
    assert b"tasks" not in REGISTRATION.model_dump_json().encode()


async def test_what_is_wrong_besides_is_refused_as_ever(server: ControlPlaneServer) -> None:
    server.registry.refusal = (422, "Correct these fields: pool.")
    answering = REGISTRATION.model_copy(update={"tasks": ["ancestry"]})
    settings = AgentSettings.model_validate({"url": server.url, "api_key": KEY})
    async with ControlPlane(server.url, KEY, connections=4) as plane:
        registrar = Registrar(settings, plane, answering, on_taken=lambda why: None)
        with pytest.raises(SettingsError, match="pool"):
            await registrar.first(asyncio.Event())
