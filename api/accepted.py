"""Where what Temporal has for good, without a record yet, becomes an HTTP answer: 202, whichever route asked for it.

Deliberately not here: who finds it out (``workflows.client.answers``) and the status (``http.errors``).
"""

import logging

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api.auth.idempotency import REPLAY_HEADER
from api.deployments.schemas import deployment_fields
from api.http.accepted import AcceptedAnswer, accepted_answer
from api.http.errors import request_id_of, status_of
from api.jobs.schemas import job_fields
from workflows.contracts.accepted import Accepted

logger = logging.getLogger(__name__)


def install_accepted_handler(app: FastAPI) -> None:
    """Let no route refuse what will be done."""
    app.add_exception_handler(Accepted, _on_accepted)  # pyright: ignore[reportArgumentType]


def shown(accepted: Accepted) -> AcceptedAnswer:
    """What the client is told, with the job or deployment as far as it is known."""
    job, deployment = accepted.taken.job, accepted.taken.deployment
    return accepted_answer(
        accepted,
        job=None if job is None else job_fields(job),
        deployment=None if deployment is None else deployment_fields(deployment),
    )


async def _on_accepted(request: Request, error: Accepted) -> Response:
    answer = shown(error)
    logger.warning("accepted", extra={"request_id": request_id_of(request), "what": answer.message})
    headers = {"Location": answer.url} | ({REPLAY_HEADER: "true"} if error.taken.replayed else {})
    return Response(answer.model_dump_json().encode(), status_of(error.code), headers, "application/json")
