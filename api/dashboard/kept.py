"""A form that was sent after its session had ended: kept in the page that says so, and sent again once signed in.

It is kept nowhere else: the browser gets back what it has sent, and sends it again after it has shown it. Only what a
page of this site sent is taken, or another site could fill in a form and have a person send it. Passwords and keys are
not given back. Deliberately not here: signing in.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from api.auth.csrf import require_own_site
from api.dashboard.answers import form_of
from api.http.errors import ApiError
from api.identity.oidc import back_to_this_site
from api.ports import services_of

_NOT_KEPT: Final = frozenset({"csrf", "key", "ticket", "password", "token", "secret", "kept"})
_ELSEWHERE: Final = ("/sign-in", "/sign-out", "/kept", "/theme")
"""Forms that are of no use once signed in."""
_MOST_CHARACTERS: Final = 512 * 1024


class _Text(BaseModel):
    """As it stands in the page."""

    model_config = ConfigDict(extra="forbid")
    action: str = Field(max_length=2000)
    fields: list[tuple[str, str]] = Field(max_length=500)


@dataclass(frozen=True, slots=True)
class KeptForm:
    """Where it was sent, without the application's root, and what was filled in."""

    action: str
    fields: Sequence[tuple[str, str]]

    @property
    def shown(self) -> list[tuple[str, str]]:
        """What a person filled in or chose."""
        return [(name, value) for name, value in self.fields if value]

    def text(self) -> str:
        """For a hidden field."""
        return json.dumps({"action": self.action, "fields": list(self.fields)})

    @classmethod
    def read(cls, text: str) -> "KeptForm | None":
        """None for what no page of ours has made."""
        try:
            found = _Text.model_validate_json(text) if len(text) <= _MOST_CHARACTERS else None
        except ValidationError:
            return None
        return None if found is None else _usable(cls(found.action, found.fields))


async def kept_form(request: Request) -> KeptForm | None:
    """The form of this request; None when it is none, or no page of this site has sent it. Raises ApiError."""
    await form_of(request)
    form = parse_qsl((await request.body()).decode(), keep_blank_values=True)
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    query = request.scope["query_string"].decode("latin-1")
    fields = [(name, value) for name, value in form if name.lower() not in _NOT_KEPT]
    return _usable(KeptForm(f"{path}?{query}" if query else path, fields)) if of_this_site(request) else None


def of_this_site(request: Request) -> bool:
    """By what the browser says."""
    try:
        require_own_site(request, public_url=services_of(request).sign_in.public_url)
    except ApiError:
        return False
    return True


def _usable(kept: KeptForm) -> KeptForm | None:
    return kept if back_to_this_site(kept.action) and not kept.action.startswith(_ELSEWHERE) else None
