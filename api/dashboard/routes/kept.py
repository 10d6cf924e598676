"""Pages between a form that was sent without a session and the same form sent with one (``dashboard.kept``)."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import SIGN_IN, form_of, page, refused, see
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.kept import KeptForm, kept_form, of_this_site
from api.http.errors import ApiError, ProblemCode

router = APIRouter(include_in_schema=False)
_ANYTHING = "/api/dashboard/summary"


@router.post("/kept")
async def go_on(request: Request) -> Response:
    """Signed in again? Then the form is shown once more, to be sent. It changes nothing by itself."""
    form = await form_of(request)
    kept = KeptForm.read(form["kept"]) if of_this_site(request) else None
    if kept is None:
        return see(request, "/")
    api = Inside(request)
    try:
        await api.ask("GET", _ANYTHING)  # who asks
    except RefusedByApi as refusal:
        if refusal.problem.code == ProblemCode.UNAUTHORIZED:
            return signed_out(request, kept)
    return page(request, "kept/send.html", api=api, kept=kept)


def signed_out(request: Request, kept: KeptForm) -> Response:
    """Nothing was sent and nothing is lost."""
    return page(request, "kept/signed_out.html", status=401, kept=kept, sign_in=SIGN_IN)


async def refused_page(request: Request, error: RefusedByApi) -> Response:
    """What the API refused; a form without a session is kept."""
    if error.problem.code == ProblemCode.UNAUTHORIZED and request.method == "POST":
        try:
            kept = await kept_form(request)
        except ApiError:
            kept = None
        if kept is not None:
            return signed_out(request, kept)
    return await refused(request, error)
