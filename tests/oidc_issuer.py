"""A small but real OpenID Connect issuer on loopback: discovery, keys and their rotation, code flow with PKCE."""

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI
from fastapi.responses import JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.requests import Request

from tests.api.live import serving

CLIENT_ID = "hybridci-web"
CLIENT_SECRET = "s3cret of the client"
AUDIENCE = "https://hybridci.example.com"

Key = RSAKey | ECKey


@dataclass
class OidcIssuer:
    """``person`` is who signs in at it next; ``tampered`` are claims that its token endpoint gets wrong."""

    url: str = ""
    keys: list[Key] = field(default_factory=list[Key])
    person: dict[str, Any] = field(default_factory=dict[str, Any])
    tampered: dict[str, Any] = field(default_factory=dict[str, Any])
    asked: dict[str, int] = field(default_factory=dict[str, int])
    down: bool = False
    _codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self, kind: str = "EC") -> Key:
        """A new key takes the place of the old ones."""
        kid = secrets.token_hex(4)
        parameters: Any = {"kid": kid, "use": "sig"}
        key: Key = RSAKey.generate_key(2048, parameters) if kind == "RSA" else ECKey.generate_key("P-256", parameters)
        self.keys = [key]
        return key

    def token(self, claims: Mapping[str, Any] | None = None, **more: Any) -> str:
        """An ID token of now for five minutes, signed by its present key; a claim that is None is left out."""
        return self.signed(self.keys[0], {**(claims or {}), **more})

    def signed(self, key: Key, claims: Mapping[str, Any], **header: Any) -> str:
        """The same, by this key and with this header."""
        now = int(time.time())
        said = {"iss": self.url, "aud": AUDIENCE, "sub": "somebody", "iat": now, "exp": now + 300, **claims}
        algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
        given = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"alg": algorithm, "kid": key.kid, **header}, given, key)

    def app(self) -> FastAPI:
        """Its addresses."""
        app = FastAPI()
        app.add_route("/.well-known/openid-configuration", self._discovery)
        app.add_route("/keys", self._keys)
        app.add_route("/authorize", self._authorize)
        app.add_route("/token", self._token, methods=["POST"])
        return app

    async def _discovery(self, request: Request) -> Response:
        self._count("discovery")
        if self.down:
            return Response(status_code=503)
        return JSONResponse(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _keys(self, request: Request) -> Response:
        self._count("keys")
        return JSONResponse({"keys": [key.as_dict(private=False) for key in self.keys]})

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        assert query["client_id"] == CLIENT_ID
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        answer = urlencode({"code": code, "state": query["state"], "iss": self.url})
        return RedirectResponse(f"{query['redirect_uri']}?{answer}", 302)

    async def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or request.headers.get("authorization") != f"Basic {expected}"
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        claims: dict[str, Any] = {"aud": CLIENT_ID, "nonce": asked["nonce"], **self.person, **self.tampered}
        return JSONResponse({"access_token": "unused", "token_type": "Bearer", "id_token": self.token(claims)})

    def _count(self, what: str) -> None:
        self.asked[what] = self.asked.get(what, 0) + 1


@asynccontextmanager
async def running_issuer() -> AsyncGenerator[OidcIssuer]:
    issuer = OidcIssuer()
    async with serving(issuer.app()) as client:
        issuer.url = str(client.base_url).rstrip("/")
        yield issuer
