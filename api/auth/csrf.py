"""Requests that another site makes a signed-in browser send: what changes something needs proof that our page sent it.

The proof is a token that only our page can read, in a header that only our page can set; besides, the browser's word
(``Origin``, ``Sec-Fetch-Site``) must not name another site. Requests with an ``Authorization`` header need neither: no
browser adds that by itself.
"""

import hmac
import secrets
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from api.auth.tokens import digest_of
from api.http.errors import ApiError, ProblemCode

CSRF_HEADER: Final = "X-CSRF-Token"
CSRF_COOKIE: Final = "hybridci_csrf"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def new_csrf_token() -> tuple[str, str]:
    """A token for the page, and the digest that is kept with its session."""
    token = secrets.token_urlsafe(32)
    return token, digest_of(token)


def require_csrf(request: Request, digest: str | None, *, public_url: str | None) -> None:
    """For a request that is known by its session cookie. Raises ApiError forbidden."""
    if request.method in _SAFE:
        return
    require_own_site(request, public_url=public_url)
    shown = request.headers.get(CSRF_HEADER)
    if shown is None:
        raise _forbidden(
            f"This request came with a session cookie but without the header {CSRF_HEADER}. Send in it what the cookie "
            f"{CSRF_COOKIE} holds, or use an API key instead of the cookie."
        )
    if digest is None or not hmac.compare_digest(digest_of(shown), digest):
        raise _forbidden(
            f"The header {CSRF_HEADER} is not of this session. Read the cookie {CSRF_COOKIE} again: somebody may have "
            "signed in anew in this browser."
        )


def require_own_site(request: Request, *, public_url: str | None) -> None:
    """Refuse what a browser says another site's page has sent. Raises ApiError forbidden."""
    origin = request.headers.get("origin")
    if origin is None:
        own = request.headers.get("sec-fetch-site") in (None, "same-origin", "none")
    else:
        own = origin in _origins(request, public_url)
    if not own:
        raise _forbidden(
            "A page of another site sent this request. Use this server's own pages; when it is reached by another "
            "address than it knows, an admin sets HYBRIDCI_PUBLIC_URL."
        )


def _origins(request: Request, public_url: str | None) -> set[str]:
    """Ours. The scheme of an address that a proxy may have changed is not known."""
    host = request.headers.get("host", "")
    found = {f"http://{host}", f"https://{host}"}
    if public_url is not None:
        parts = urlsplit(public_url)
        found.add(f"{parts.scheme}://{parts.netloc}")
    return found


def _forbidden(detail: str) -> ApiError:
    return ApiError(ProblemCode.FORBIDDEN, detail)
