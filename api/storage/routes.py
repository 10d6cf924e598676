"""What takes how much, and a sweep by hand."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from starlette.responses import Response

from activities.stores.interfaces.amounts import Amount
from activities.stores.interfaces.storage import TableSize
from api.auth.origin import OriginDep, signed
from api.http.answers import json_answer
from api.http.bodies import json_body
from api.storage.folder import folder_of
from api.storage.ports import Preview, PreviewDep, StoragePortsDep
from api.storage.schemas import FolderOut, KindOut, StorageOut, SweepOut, SweepRequest, TableOut
from workflows.contracts.errors import Unavailable
from workflows.contracts.storage.retention import Sweep, SweepResult, SweptKind

router = APIRouter(prefix="/api/storage", tags=["storage"])
_MOST_OBJECTS: Final = 20_000
"""That many are counted: a listing of a bucket of millions takes minutes."""
_ALL: Final = "all"
_UNDER_WAY: Final = "The sweep is under way; `hybridci storage` shows the last one, the audit trail what it removed."
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {202: {"model": SweepOut, "description": "It is under way."}}


@router.get("", response_model=StorageOut, summary="What takes how much, and what the next sweep takes")
async def get_storage(ports: StoragePortsDep, preview: PreviewDep) -> Response:
    """Tables as the database counts them (on AWS up to six hours old), logs and artifacts as far as 20,000 objects of
    each, the data directory where one machine has everything. What the next sweep takes is some minutes old.
    """
    (following, unanswered), folder, state = await asyncio.gather(
        _next(preview), _folder(ports.storage_folder), ports.storage.sweeps()
    )
    tables, oldest, logs, artifacts = await asyncio.gather(
        ports.storage.tables(),
        ports.storage.oldest(),
        ports.storage.logs(_MOST_OBJECTS),
        ports.storage.artifacts(_MOST_OBJECTS),
    )
    counted = {**_of_tables(tables), SweptKind.LOGS: logs, SweptKind.ARTIFACTS: artifacts}
    answer = StorageOut(
        at=ports.clock(),
        policy=None if following is None else following.policy,
        kinds=[_kind(kind, counted.get(kind), oldest, following) for kind in SweptKind],
        tables=[TableOut(holds=each.holds, table=each.table, items=each.items, size=each.size) for each in tables],
        folder=folder,
        last_sweep=state.last,
        last_sweep_at=state.last_at,
        unanswered=unanswered,
    )
    return json_answer(answer.model_dump_json().encode())


@router.post("/sweep", response_model=SweepOut, responses=_RESPONSES, summary="Remove now what is old enough")
async def sweep_storage(
    request: Annotated[SweepRequest, Depends(json_body(SweepRequest, optional=True))],
    ports: StoragePortsDep,
    preview: PreviewDep,
    origin: OriginDep,
) -> Response:
    """The same as the schedule does every hour, by the same policy. With ``dry_run`` nothing is removed."""
    result = await ports.storage_client.sweep(signed(Sweep, request, origin))
    preview.forget(_ALL)
    if result is None:
        answer = SweepOut(dry_run=request.dry_run, under_way=True, message=_UNDER_WAY)
        return json_answer(answer.model_dump_json().encode(), 202)
    answer = SweepOut(dry_run=result.dry_run, message=result.words(), result=result)
    return json_answer(answer.model_dump_json().encode())


async def _next(preview: Preview) -> tuple[SweepResult | None, str | None]:
    try:
        return await preview.get(_ALL), None
    except Unavailable as error:
        return None, error.message


async def _folder(root: Path | None) -> FolderOut | None:
    return None if root is None else await asyncio.to_thread(folder_of, root)


def _of_tables(tables: Sequence[TableSize]) -> dict[SweptKind, Amount]:
    """Records with the lists that they are found by."""
    by_name = {each.holds: each for each in tables}
    lists = {SweptKind.JOBS: "job lists", SweptKind.DEPLOYMENTS: "deployment lists"}
    found: dict[SweptKind, Amount] = {}
    for kind in (SweptKind.JOBS, SweptKind.DEPLOYMENTS, SweptKind.EVENTS):
        own, beside = by_name.get(kind), by_name.get(lists.get(kind, ""))
        if own is not None:
            found[kind] = Amount(own.items, own.size + (beside.size if beside is not None else 0))
    return found


def _kind(kind: SweptKind, amount: Amount | None, oldest: Mapping[str, int], following: SweepResult | None) -> KindOut:
    swept = None if following is None else next((each for each in following.kinds if each.kind is kind), None)
    return KindOut(
        kind=kind,
        items=None if amount is None else amount.objects,
        size=None if amount is None else amount.size,
        at_least=amount is not None and amount.more,
        oldest_at=oldest.get(kind),
        age_seconds=None if following is None or kind is SweptKind.EXPIRED else following.policy.age(kind),
        next_removed=None if swept is None else swept.removed,
        next_size=None if swept is None else swept.size,
        note="" if swept is None else swept.note,
    )
