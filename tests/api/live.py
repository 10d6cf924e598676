"""The application behind a real HTTP server in the test's own loop: for streams (httpx's ASGI transport collects)."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import httpx
import uvicorn
from fastapi import FastAPI

from tests.api.conftest import ADMIN_KEY
from tests.servers import HOST, free_port


@asynccontextmanager
async def serving(
    app: FastAPI, *, http: type[asyncio.Protocol] | Literal["auto"] = "auto"
) -> AsyncGenerator[httpx.AsyncClient]:
    port = free_port()
    config = uvicorn.Config(
        app, host=HOST, port=port, http=http, log_config=None, lifespan="off", timeout_graceful_shutdown=3
    )
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals  # pyright: ignore[reportAttributeAccessIssue]
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with httpx.AsyncClient(
            base_url=f"http://{HOST}:{port}", headers=headers, timeout=20, verify=False
        ) as client:
            yield client
    finally:
        server.should_exit = True
        await task


class _NoSignals:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def _no_signals() -> _NoSignals:
    return _NoSignals()


async def until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    """Wait for a condition, given as a function."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)
