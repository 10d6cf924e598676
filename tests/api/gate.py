"""Keys of an application, made as an admin makes them, and what they open."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.api.conftest import Bench

KEYS = "/api/access/keys"


@dataclass(frozen=True, slots=True)
class Gate:
    """The application, keys made for it, and somebody who shows them."""

    bench: Bench

    async def make(self, *grants: dict[str, Any], name: str = "ci", **more: object) -> dict[str, Any]:
        body = {"name": name, "grants": list(grants) or [{"role": "developer"}], **more}
        answer = await self.bench.admin.post(KEYS, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def status(self, key: str, method: str = "GET", path: str = "/info", **more: Any) -> int:
        return (await self.ask(key, method, path, **more)).status_code

    async def ask(self, key: str, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
        return await self.bench.anyone.request(method, path, headers=headers, **more)
