"""Fixtures of every suite: one Temporal server for the whole session, an AWS server for each module that wants one."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests import durations, servers

# Also where the environment forbids it: what each of a run's hundreds of processes imports is compiled once.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

gc.disable()  # until the tests are collected: what is loaded for them stays

# The same examples in every run, so that a change fails by its own fault; new ones: `--hypothesis-profile default`.
# How long an example takes says something of the machine: no test is timed.
settings.register_profile("suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture(scope="session")
def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.running(servers.temporal_server(tmp_path_factory.mktemp("temporal"))) as server:
        yield server


@pytest.fixture(scope="module")
def aws_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """No longer than it is needed: it starts at once, but its timers never rest."""
    with servers.aws_endpoint(tmp_path_factory.mktemp("aws")) as url:
        yield url


@pytest.fixture(scope="session")
async def temporal_client(temporal_server: servers.Server) -> Client:
    for _ in range(100):
        try:
            return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
        except RuntimeError:
            await asyncio.sleep(0.1)
    raise AssertionError("Temporal did not answer within 10 s")


def pytest_configure(config: pytest.Config) -> None:
    """A shell starts background jobs with Ctrl-C ignored, and what we start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("record_durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(durations.Stopwatch())


def pytest_unconfigure() -> None:
    """The SDK can crash the interpreter at exit with calls in flight (SDK issue 300): collect first, then wait."""
    gc.collect()
    time.sleep(0.1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-histories",
        action="store_true",
        help="write the workflow histories of tests/workflows for the replays",
    )
    parser.addoption(
        "--record-durations", action="store_true", help="write how long each file took, for the order of later runs"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """pytest-xdist runs tests of one name once, in silence: two of a name are an error. It keeps this order."""
    repeated = [name for name, count in Counter(item.nodeid for item in items).items() if count > 1]
    if repeated:
        raise pytest.UsageError(f"Tests of the same name: {', '.join(repeated)}")
    seconds = durations.measured()
    items.sort(key=lambda item: durations.rank(item.nodeid, seconds))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()


class _Scheduling(LoadFileScheduling):
    """A file at a time, or a folder of ``durations.TOGETHER``."""

    def _split_scope(self, nodeid: str) -> str:
        return durations.group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return _Scheduling(config, log) if config.getoption("dist") == "loadfile" else None
