"""Pages as answers: rendered, compressed, with their headers; redirects after a form; what a refusal looks like.

Deliberately not here: what is on a page (``templates`` and the routes).
"""

import gzip
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from api.auth.csrf import CSRF_COOKIE
from api.dashboard.advice import advice_for
from api.dashboard.assets import assets
from api.dashboard.inside import Inside, RefusedByApi
from api.dashboard.may import May
from api.dashboard.navigation import navigation
from api.dashboard.render import render
from api.http.errors import ApiError, ProblemCode
from api.http.problems import Problem


class Fields(dict[str, str]):
    """What an address or a form says, by name; what it leaves out is empty."""

    def __missing__(self, name: str) -> str:
        return ""


POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with none at all, browsers do not say whose page sends a form
}
THEMES: Final = ("system", "light", "dark")
THEME_COOKIE: Final = "hybridci_theme"
_WORTH_PACKING: Final = 1000
_MOST_FIELDS: Final = 500
SIGN_IN: Final = "/sign-in"


def page(request: Request, template: str, *, status: int = 200, api: Inside | None = None, **fields: Any) -> Response:
    """A page made from its template. Every one may name ``request``'s own facts by ``here``."""
    may = May(None if api is None else api.caller)
    path, query = request.scope["path"].removeprefix(request.scope.get("root_path", "")), request.url.query
    here = {
        "path": path,
        "back": (f"{path}?{query}" if query else path) if request.method == "GET" else "/",
        "root": request.scope.get("root_path", ""),
        "read": request.method == "GET",  # what answers a form has no address at which it could be asked for again
        "csrf": request.cookies.get(CSRF_COOKIE, ""),
        "assets": assets(),
        "may": may,
        "navigation": navigation(may),
        "theme": (theme := theme_of(request)),
        "next_theme": THEMES[(THEMES.index(theme) + 1) % len(THEMES)],
    }
    return _sent(request, render(template, here=here, **fields).encode(), status, {})


def theme_of(request: Request) -> str:
    """What the viewer has chosen, so that the page says it before it is painted; ``system`` by default."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else THEMES[0]


def _sent(request: Request, content: bytes, status: int, more: dict[str, str]) -> Response:
    https = {"Strict-Transport-Security": "max-age=31536000"} if request.url.scheme == "https" else {}
    headers = _HEADERS | https | {"Vary": "Accept-Encoding, Cookie"} | more
    if len(content) > _WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = gzip.compress(content, 5, mtime=0), "gzip"
    return Response(content, status, headers, "text/html; charset=utf-8")


def fragment(request: Request, template: str, *, headers: dict[str, str], **fields: Any) -> Response:
    """A part of a page, for its scripts."""
    return _sent(request, render(template, **fields).encode(), 200, headers)


def see(request: Request, path: str) -> Response:
    """After a form: look at this page of ours."""
    return RedirectResponse(request.scope.get("root_path", "") + path, 303, {"Cache-Control": "no-store"})


async def refused(request: Request, error: RefusedByApi) -> Response:
    """The page of a refusal; whoever is not known is asked to sign in, and comes back."""
    if error.problem.code == ProblemCode.UNAUTHORIZED:
        path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
        back = "" if request.method != "GET" else f"?next={quote(f'{path}?{query}' if query else path, safe='/')}"
        return see(request, f"{SIGN_IN}{back}")
    return problem_page(request, error.problem, error.retry_after)


def problem_page(request: Request, problem: Problem, retry_after: str | None = None) -> Response:
    """What happened, why, and what to do."""
    advice = advice_for(problem, retry_after)
    found = page(request, "problem.html", status=problem.status, problem=problem, advice=advice)
    if retry_after is not None:
        found.headers["Retry-After"] = retry_after
    return found


def chosen(request: Request, *names: str) -> Fields:
    """Of the address's parameters, these that say something."""
    return Fields({name: value for name in names if (value := request.query_params.get(name))})


async def form_of(request: Request) -> Fields:
    """The fields of a form, the last of each name. Raises ApiError."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise ApiError(ProblemCode.UNSUPPORTED_MEDIA_TYPE, "Send the form of this page.")
    try:
        text = (await request.body()).decode()
        return Fields(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"))
    except ValueError:
        raise ApiError(ProblemCode.MALFORMED_BODY, "The form cannot be read.") from None
