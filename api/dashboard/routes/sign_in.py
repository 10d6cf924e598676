"""Signing in and out in a browser, and the dashboard's own files."""

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import form_of, page, see
from api.dashboard.assets import assets
from api.dashboard.inside import Inside, RefusedByApi
from api.http.errors import ApiError, ProblemCode
from api.http.problems import Problem
from api.identity.oidc import back_to_this_site
from api.sign_in.schemas import IssuersOut

router = APIRouter(include_in_schema=False)
_FOR_EVER: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Vary": "Accept-Encoding",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'",  # a worker's own
}


@router.get("/sign-in")
async def sign_in(request: Request) -> Response:
    """With an issuer, or with an API key where there is none."""
    return await _sign_in_page(request)


@router.post("/sign-in")
async def open_session(request: Request) -> Response:
    """The key, or the ticket of a link, is exchanged for a session, whose cookies the browser gets."""
    form, api = await form_of(request), Inside(request)
    ticket, key = form["ticket"], form["key"].strip()
    try:
        if ticket:
            answer = await api.ask("POST", "/auth/session", body={"ticket": ticket})
        else:
            answer = await api.ask("POST", "/auth/session", headers={"authorization": f"Bearer {key}"})
    except RefusedByApi as refused:
        return await _sign_in_page(request, problem=refused.problem, back=form.get("next"))
    response = see(request, back_to_this_site(form.get("next", "")) or "/")
    response.raw_headers.extend((name, value) for name, value in answer.headers if name.lower() == b"set-cookie")
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Ends the session."""
    form = await form_of(request)
    try:
        answer = await Inside(request).send("POST", "/auth/logout", csrf=form.get("csrf", ""))
    except RefusedByApi as refused:
        if refused.problem.code != ProblemCode.UNAUTHORIZED:
            raise
        return see(request, "/sign-in")
    response = see(request, "/sign-in")
    response.raw_headers.extend((name, value) for name, value in answer.headers if name.lower() == b"set-cookie")
    return response


@router.get("/static/{digest}/{name:path}")
async def static_file(request: Request, digest: str, name: str) -> Response:
    """A file never changes under its address."""
    found = assets().files.get(name)
    if found is None or digest != assets().digest:
        raise ApiError(ProblemCode.BAD_REQUEST, "There is no such file of this version; load the page again.")
    packed = "gzip" in request.headers.get("accept-encoding", "")
    headers = _FOR_EVER | ({"Content-Encoding": "gzip"} if packed else {})
    return Response(found.packed if packed else found.plain, 200, headers, found.media_type)


async def _sign_in_page(request: Request, *, problem: Problem | None = None, back: str | None = None) -> Response:
    issuers = await Inside(request).get("/auth/issuers", IssuersOut)
    wanted = back if back is not None else request.query_params.get("next", "")
    status = 200 if problem is None else problem.status
    return page(
        request,
        "sign_in.html",
        status=status,
        problem=problem,
        back=back_to_this_site(wanted) or "/",
        issuers=issuers.issuers,
    )
