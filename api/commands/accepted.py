"""Where what Temporal has for good, without a record yet, becomes an HTTP answer: 202, whichever route asked for it.

Deliberately not here: who finds it out (``workflows.client.answers``) and the status (``http.errors``).
"""

import logging

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api.auth.idempotency import REPLAY_HEADER
from api.commands.schemas.accepted import accepted_answer
from api.http.errors import request_id_of, status_of
from workflows.contracts.accepted import Accepted

logger = logging.getLogger(__name__)


def install_accepted_handler(app: FastAPI) -> None:
    """Let no route refuse what will be done."""
    app.add_exception_handler(Accepted, _on_accepted)  # pyright: ignore[reportArgumentType]


async def _on_accepted(request: Request, error: Accepted) -> Response:
    answer = accepted_answer(error)
    logger.warning("accepted", extra={"request_id": request_id_of(request), "what": answer.message})
    headers = {"Location": answer.url} | ({REPLAY_HEADER: "true"} if error.taken.replayed else {})
    return Response(answer.model_dump_json().encode(), status_of(error.code), headers, "application/json")
