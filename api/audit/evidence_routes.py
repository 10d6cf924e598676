"""Evidence: seals to copy and to compare, the verification of the whole trail, a service's report.

Deliberately not here: sealing (the control worker), what is compared (``activities.evidence``), how a report is made
(``report``, ``report_text``).
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from activities.evidence.verifier import Told, Verifier
from api.audit.ports import EvidencePorts, EvidencePortsDep
from api.audit.report import collect_report
from api.audit.report_model import ServiceReport
from api.audit.report_text import as_html, as_markdown
from api.audit.report_times import MOMENT, period
from api.auth.guard import Caller, require
from api.http.answers import json_answer
from api.http.patient import PatientStream
from workflows.contracts.access import Operation
from workflows.contracts.audit.seals import SealPage, SentSeal
from workflows.contracts.audit.verification import (
    Finding,
    RemovedEvents,
    VerificationLine,
    VerificationProgress,
)
from workflows.contracts.base import Frozen
from workflows.contracts.deployments.services import ServiceName
from workflows.contracts.errors import HybridCIError, InvalidState

logger = logging.getLogger(__name__)
router = APIRouter(tags=["events"])
_JSON_LINES: Final = "application/jsonl"
_STREAM_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_SLOW_SECONDS: Final = 60.0


class SealListQuery(Frozen):
    """Which seals: those behind a number."""

    behind: Annotated[int, Field(ge=0, lt=10**15)] = Field(
        default=0, description="The number of the last one you have."
    )
    limit: Annotated[int, Field(ge=1, le=100)] = 100


class ReportQuery(Frozen):
    """Of which service, of which time, in which form."""

    service: ServiceName
    begins: str = Field(alias="from", pattern=MOMENT, description="A day (UTC), or a time with its zone; included.")
    ends: str = Field(alias="to", pattern=MOMENT, description="The same; a day is included as a whole.")
    format: Literal["md", "html", "json"] = "json"


@router.get("/api/audit/seals", response_model=SealPage, summary="List the seals of the trail, oldest first")
async def list_seals(listing: Annotated[SealListQuery, Query()], ports: EvidencePortsDep) -> Response:
    """To keep a copy elsewhere: ask again behind the last number, until there are none."""
    found = await ports.evidence.seals(listing.behind, listing.limit)
    items = [SentSeal(number=seal.number, text=seal.text, signature=seal.signature) for seal in found]
    return json_answer(SealPage(items=items).model_dump_json().encode())


@router.get(
    "/api/audit/verify",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "JSON lines, each with one member: `progress`, `finding`, `removed` (by policy), and last"
            " `summary`; or `failed`, when it could not go on.",
            "content": {_JSON_LINES: {"schema": VerificationLine.model_json_schema()}},
        }
    },
    summary="Verify the whole trail against its seals",
)
async def verify_trail(ports: EvidencePortsDep) -> Response:
    """Reads everything: a process does one at a time (409 for another one meanwhile)."""
    if ports.verifying.locked():
        raise InvalidState("This server verifies the trail already: wait until that has ended, then ask again.")
    lines = _verified(ports)
    return PatientStream(lines, headers=_STREAM_HEADERS, media_type=_JSON_LINES, seconds=_SLOW_SECONDS)


async def _verified(ports: EvidencePorts) -> AsyncGenerator[bytes, None]:
    async with ports.verifying:
        try:
            async with aclosing(Verifier(ports.evidence, ports.clock, ports.seal_keys).run()) as tellings:
                async for told in tellings:
                    yield _line(_named(told))
                    if ports.stopping():
                        yield _line(VerificationLine(failed="the server is stopping"))
                        return
        except HybridCIError as error:
            yield _line(VerificationLine(failed=error.message))
        except Exception:  # the answer has begun: its reader must know that it is not whole
            logger.exception("a verification failed")
            yield _line(VerificationLine(failed="the server failed; its log says more"))


@router.get(
    "/api/audit/report",
    response_model=ServiceReport,
    responses={
        200: {
            "description": "The report, in the form that was asked for.",
            "content": {
                "application/json": {},
                "text/markdown": {"schema": {"type": "string"}},
                "text/html": {"schema": {"type": "string"}},
            },
        }
    },
    summary="Report what was deployed of a service: by whom, approved by whom, with which checks and exceptions",
)
async def audit_report(
    wanted: Annotated[ReportQuery, Query()], request: Request, principal: Caller, ports: EvidencePortsDep
) -> Response:
    """From the trail, with the seal that covers its newest event. Access is told as far as it touches the service."""
    require(principal, Operation.AUDIT_READ, service=wanted.service)
    since, until = period(wanted.begins, wanted.ends)
    everything = principal.unlimited(Operation.AUDIT_READ)
    made = await collect_report(ports, wanted.service, since, until, everything=everything, by=principal.id)
    match wanted.format:
        case "json":
            return json_answer(made.model_dump_json().encode())
        case "md":
            return Response(as_markdown(made), headers={"Cache-Control": "no-store"}, media_type="text/markdown")
        case "html":
            return Response(as_html(made), headers={"Cache-Control": "no-store"}, media_type="text/html")


def _named(told: Told) -> VerificationLine:
    match told:
        case VerificationProgress():
            return VerificationLine(progress=told)
        case Finding():
            return VerificationLine(finding=told)
        case RemovedEvents():
            return VerificationLine(removed=told)
        case _:
            return VerificationLine(summary=told)


def _line(line: VerificationLine) -> bytes:
    return line.model_dump_json(exclude_none=True).encode() + b"\n"
