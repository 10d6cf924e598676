"""The theme of a browser, for who has no scripts: a cookie, which every page is made by."""

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dashboard.answers import THEME_COOKIE, THEMES, form_of, see
from api.identity.oidc import back_to_this_site

router = APIRouter(include_in_schema=False)
_YEAR_SECONDS: Final = 365 * 86_400


@router.post("/theme")
async def choose_theme(request: Request) -> Response:
    """It changes nothing but how pages look, so it asks for no session. What is no theme is the system's."""
    form = await form_of(request)
    chosen = form["theme"] if form["theme"] in THEMES else THEMES[0]
    response = see(request, back_to_this_site(form["next"]) or "/")
    response.set_cookie(
        THEME_COOKIE, chosen, max_age=_YEAR_SECONDS, path=request.scope.get("root_path", "") + "/", samesite="lax",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return response
