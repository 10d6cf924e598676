"""Is this request what it says it is? Checked over the raw bytes, in constant time, before anything is parsed.

Also the other way round, for ``hybridci webhook test --send``: the headers that make a request genuine. Deliberately
not here: where secrets come from (``secrets``) and how a refusal is answered (``receive``).
"""

import base64
import binascii
import hashlib
import hmac
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api.webhooks.manifest import BasicScheme, HmacScheme, Scheme, StandardScheme, TokenScheme

_STANDARD_PREFIX: Final = "whsec_"
_MAX_SIGNATURES: Final = 20


class NotGenuine(Exception):
    """The request is not signed by anybody who knows a secret; the message tells an honest operator why."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request before anybody trusts it: header names in lower case, several values joined by commas."""

    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str]


def require_credentials(schemes: Sequence[Scheme], request: RawRequest) -> None:
    """Refuses a request that carries no signature at all, before its body is read. Raises NotGenuine."""
    if not any(all(_given(request, place) for place in _places(scheme)) for scheme in schemes):
        places = " or ".join(" and ".join(_places(scheme)) for scheme in schemes)
        raise NotGenuine(f"The request carries no {places}: set the webhook's secret in the sending tool.")


def require_genuine(schemes: Sequence[Scheme], secrets: Sequence[str], request: RawRequest, now: float) -> None:
    """Returns when one of the schemes holds with one of the secrets; all are tried. ``now`` is in seconds.

    Raises NotGenuine.
    """
    refusals: list[str] = []
    for scheme in schemes:
        try:
            require_credentials([scheme], request)
            _CHECKS[type(scheme)](scheme, secrets, request, now)
        except NotGenuine as error:
            refusals.append(str(error))
        else:
            return
    raise NotGenuine(refusals[0] if len(refusals) == 1 else " ".join(refusals))


def sign(
    scheme: Scheme, secret: str, body: bytes, headers: Mapping[str, str], now: int
) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and query parameters that make a request genuine."""
    if isinstance(scheme, TokenScheme):
        value = scheme.prefix + secret
        return ({}, {scheme.query: value}) if scheme.query else ({str(scheme.header): value}, {})
    if isinstance(scheme, BasicScheme):
        return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}, {}
    if isinstance(scheme, StandardScheme):
        delivery = headers.get("webhook-id", f"msg_{hashlib.sha256(body).hexdigest()[:24]}")
        digest = _digest("sha256", _standard_key(secret), f"{delivery}.{now}.".encode() + body)
        signature = f"v1,{base64.b64encode(digest).decode()}"
        return {"webhook-id": delivery, "webhook-timestamp": str(now), "webhook-signature": signature}, {}
    digest = _digest(_algorithm(scheme), _key(scheme, secret), _content(scheme, body, headers, str(now)))
    text = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
    signed = {scheme.header: scheme.prefix + text}
    if scheme.timestamp is not None:
        time = f"{scheme.timestamp.prefix}{now}"
        same = scheme.timestamp.header.lower() == scheme.header.lower()
        signed |= {scheme.header: f"{time},{signed[scheme.header]}"} if same else {scheme.timestamp.header: time}
    return signed, {}


def _hmac(scheme: Scheme, secrets: Sequence[str], request: RawRequest, now: float) -> None:
    assert isinstance(scheme, HmacScheme)  # noqa: S101 - by _CHECKS
    timestamp = ""
    if scheme.timestamp is not None:
        times = _parts(request, scheme.timestamp.header, scheme.timestamp.prefix)
        timestamp = times[0] if times else ""
        _require_recent(timestamp, scheme.timestamp.header, scheme.timestamp.tolerance_seconds, now)
    found = [_decoded(part, scheme.encoding) for part in _parts(request, scheme.header, scheme.prefix)]
    content = _content(scheme, request.body, request.headers, timestamp)
    keys = [_digest(_algorithm(scheme), _key(scheme, secret), content) for secret in secrets]
    _require_one(keys, found, scheme.header)


def _standard(scheme: Scheme, secrets: Sequence[str], request: RawRequest, now: float) -> None:
    assert isinstance(scheme, StandardScheme)  # noqa: S101 - by _CHECKS
    timestamp = request.headers["webhook-timestamp"].strip()
    _require_recent(timestamp, "webhook-timestamp", scheme.tolerance_seconds, now)
    content = f"{request.headers['webhook-id'].strip()}.{timestamp}.".encode("latin-1", "replace") + request.body
    parts = [part.partition(",") for part in request.headers["webhook-signature"].split()]
    found = [_decoded(value, "base64") for version, _, value in parts if version == "v1"]
    keys = [_digest("sha256", _standard_key(secret), content) for secret in secrets]
    _require_one(keys, found, "webhook-signature")


def _token(scheme: Scheme, secrets: Sequence[str], request: RawRequest, now: float) -> None:
    assert isinstance(scheme, TokenScheme)  # noqa: S101 - by _CHECKS
    if scheme.query:
        place, given = f"?{scheme.query}=", request.query[scheme.query].encode("utf-8", "surrogatepass")
    else:
        place, given = str(scheme.header), request.headers[str(scheme.header).lower()].encode("latin-1", "replace")
    expected = [hashlib.sha256((scheme.prefix + secret).encode()).digest() for secret in secrets]
    # Compared by digest: the length of a secret is nobody's business.
    _require_one(expected, [hashlib.sha256(given.strip()).digest()], place)


def _basic(scheme: Scheme, secrets: Sequence[str], request: RawRequest, now: float) -> None:
    kind, _, value = request.headers["authorization"].strip().partition(" ")
    given = _decoded(value.strip(), "base64") if kind.lower() == "basic" else None
    expected = [hashlib.sha256(secret.encode()).digest() for secret in secrets]
    _require_one(expected, [] if given is None else [hashlib.sha256(given).digest()], "Authorization")


_CHECKS: Final = {HmacScheme: _hmac, StandardScheme: _standard, TokenScheme: _token, BasicScheme: _basic}


def _require_one(expected: Sequence[bytes], found: Sequence[bytes | None], place: str) -> None:
    """Compares all with all, so that the time tells nothing about which fits."""
    fits = False
    for known in expected:
        for given in found[:_MAX_SIGNATURES]:
            fits |= given is not None and hmac.compare_digest(known, given)
    if not fits:
        raise NotGenuine(
            f"{place} does not fit the body and the configured secret: compare the secret here with the sending tool's."
        )


def _require_recent(timestamp: str, place: str, tolerance: int, now: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise NotGenuine(f"{place} holds no time in seconds since 1970.")
    if abs(now - int(timestamp)) > tolerance:
        raise NotGenuine(
            f"{place} is more than {tolerance} s away from this machine's time: an old request, or a wrong clock."
        )


def _places(scheme: Scheme) -> list[str]:
    if isinstance(scheme, StandardScheme):
        return ["webhook-id", "webhook-timestamp", "webhook-signature"]
    if isinstance(scheme, BasicScheme):
        return ["Authorization"]
    if isinstance(scheme, TokenScheme):
        return [scheme.header or f"?{scheme.query}="]
    return [scheme.header] if scheme.timestamp is None else [scheme.header, scheme.timestamp.header]


def _given(request: RawRequest, place: str) -> bool:
    return place[1:-1] in request.query if place.startswith("?") else place.lower() in request.headers


def _parts(request: RawRequest, header: str, prefix: str) -> list[str]:
    parts = [part.strip() for part in request.headers[header.lower()].split(",")]
    return [part[len(prefix) :] for part in parts if part.startswith(prefix)]


def _decoded(text: str, encoding: str) -> bytes | None:
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None


def _content(scheme: HmacScheme, body: bytes, headers: Mapping[str, str], timestamp: str) -> bytes:
    """The signed bytes. The body may be anything, so it is never made a text."""
    pieces: list[bytes] = []
    for literal, name, spec, _ in string.Formatter().parse(scheme.content):
        pieces.append(literal.encode())
        if name == "body":
            pieces.append(body)
        elif name == "timestamp":
            pieces.append(timestamp.encode("latin-1", "replace"))
        elif name == "header":
            pieces.append(headers.get(str(spec).lower(), "").encode("latin-1", "replace"))
    return b"".join(pieces)


def _digest(algorithm: str, key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, algorithm).digest()


def _algorithm(scheme: HmacScheme) -> str:
    return scheme.scheme.removeprefix("hmac-")


def _key(scheme: HmacScheme, secret: str) -> bytes:
    return _from_base64(secret) if scheme.key_encoding == "base64" else secret.encode()


def _standard_key(secret: str) -> bytes:
    """``whsec_`` and base64, by the specification; some tools take any text for it."""
    return (
        _from_base64(secret.removeprefix(_STANDARD_PREFIX)) if secret.startswith(_STANDARD_PREFIX) else secret.encode()
    )


def _from_base64(text: str) -> bytes:
    """A secret that is no base64 is taken as it is written: it fits no signature, or the tool does the same."""
    decoded = _decoded(text, "base64")
    return text.encode() if decoded is None else decoded
