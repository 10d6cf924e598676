"""The cookies of signed-in browsers: what they are called, and what browsers may do with them.

Deliberately not here: what the values stand for (``sessions``, ``csrf``, ``identity.oidc``).
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.auth.csrf import CSRF_COOKIE

SESSION_COOKIE: Final = "hybridci_session"
LOGIN_COOKIE: Final = "hybridci_login"
CALLBACK_PATH: Final = "/auth/callback"


def presented(request: Request) -> str | None:
    """The session's token that a browser sends, if any."""
    return request.cookies.get(SESSION_COOKIE)


def set_session_cookies(response: Response, token: str, csrf_token: str, *, seconds: int, secure: bool) -> None:
    """Give them to the browser. The page reads the one of ``csrf``; no page reads the other."""
    for name, value, hidden in ((SESSION_COOKIE, token, True), (CSRF_COOKIE, csrf_token, False)):
        # Lax: after a login the browser comes from the issuer's site, and must be known on its first page already.
        response.set_cookie(name, value, max_age=seconds, path="/", secure=secure, httponly=hidden, samesite="lax")


def clear_session_cookies(response: Response, *, secure: bool) -> None:
    """Take them back."""
    response.delete_cookie(SESSION_COOKIE, path="/", secure=secure, httponly=True, samesite="lax")
    response.delete_cookie(CSRF_COOKIE, path="/", secure=secure, samesite="lax")


def set_login_cookie(response: Response, value: str, *, seconds: int, secure: bool) -> None:
    """What the browser keeps while the person is at the issuer."""
    response.set_cookie(
        LOGIN_COOKIE, value, max_age=seconds, path=CALLBACK_PATH, secure=secure, httponly=True, samesite="lax"
    )


def clear_login_cookie(response: Response, *, secure: bool) -> None:
    """The login has ended, one way or the other."""
    response.delete_cookie(LOGIN_COOKIE, path=CALLBACK_PATH, secure=secure, httponly=True, samesite="lax")
