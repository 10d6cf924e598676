"""What tells how much is stored, and lets old things go."""

from pathlib import Path
from typing import Annotated, Final, Protocol

from fastapi import Depends
from starlette.requests import Request

from activities.stores.interfaces.storage import StorageStore
from api.http.cached import Cached
from api.ports import HasClock, provided
from workflows.client.storage import StorageClient
from workflows.contracts.errors import Unavailable
from workflows.contracts.storage.retention import Sweep, SweepResult

_SECONDS: Final = 60.0
"""So old a preview may be that is shown."""
_WAIT: Final = 10.0


class HasStorage(Protocol):
    """The stores as a whole."""

    @property
    def storage(self) -> StorageStore: ...


class HasStorageClient(Protocol):
    """The way to sweeps. Raises Unavailable as long as Temporal was never reached."""

    @property
    def storage_client(self) -> StorageClient: ...


class HasStorageFolder(Protocol):
    """Where one machine keeps everything; None where that is nobody's one folder."""

    @property
    def storage_folder(self) -> Path | None: ...


class StoragePorts(HasStorage, HasStorageClient, HasStorageFolder, HasClock, Protocol):
    """Sizes and sweeps."""


Preview = Cached[SweepResult]


async def preview_of(request: Request, ports: Annotated[StoragePorts, Depends(provided)]) -> Preview:
    """What the next sweep would do, of this application: each preview is a workflow, so one serves all who ask."""
    state = request.app.state
    if not hasattr(state, "preview"):

        async def ask(_: str) -> SweepResult:
            command, behind = Sweep(dry_run=True, by="storage", via="workflow"), (await ports.storage.sweeps()).last_at
            result = await ports.storage_client.preview(command, behind=behind or 0, within=_WAIT)
            if result is None:
                raise Unavailable("The preview takes longer than that; ask again later. Is the control worker up?")
            return result

        state.preview = Cached(ask, _SECONDS)
    return state.preview


StoragePortsDep = Annotated[StoragePorts, Depends(provided)]
PreviewDep = Annotated[Preview, Depends(preview_of)]
