"""Signatures: those the tools make hold, and nothing else does."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.webhooks.manifest import HmacScheme, Scheme
from api.webhooks.secrets import WebhookSecrets, secret_variable
from api.webhooks.verify import NotGenuine, RawRequest, require_genuine, sign
from tests.webhooks.captured import PROVIDERS

NOW = 1_795_275_612
BODY = b'{"a": "\xc3\xa4"}'
ALL_SCHEMES = [(name, scheme) for name, provider in PROVIDERS.items() for scheme in provider.manifest.verify]


def genuine(scheme: Scheme, secrets: list[str], body: bytes, headers: dict[str, str], query: dict[str, str]) -> bool:
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        require_genuine([scheme], secrets, RawRequest(body, lower, query), NOW)
    except NotGenuine:
        return False
    return True


def test_github_signs_like_its_documentation() -> None:
    """The example of GitHub's page "Validating webhook deliveries"."""
    header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    scheme = PROVIDERS["github"].manifest.verify[0]
    assert genuine(scheme, ["It's a Secret to Everybody"], b"Hello, World!", {"X-Hub-Signature-256": header}, {})


def test_slack_signs_like_its_documentation() -> None:
    """The example of Slack's page "Verifying requests from Slack"."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015."
        b"47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        "x-slack-request-timestamp": "1531420618",
    }
    request = RawRequest(body, headers, {})
    scheme = PROVIDERS["slack"].manifest.verify
    require_genuine(scheme, ["8f742231b10e8888abcd99yyyzzz85a5"], request, 1531420620)
    with pytest.raises(NotGenuine, match="an old request, or a wrong clock"):
        require_genuine(scheme, ["8f742231b10e8888abcd99yyyzzz85a5"], request, 1531420618 + 301)


def test_standard_webhooks_sign_like_their_documentation() -> None:
    """The test vector of the specification's reference libraries."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    request = RawRequest(b'{"test": 2432232314}', headers, {})
    scheme = PROVIDERS["generic"].manifest.verify
    require_genuine(scheme, ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], request, 1614265330)
    with pytest.raises(NotGenuine):
        require_genuine(scheme, ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"], request, 1614265330)


@pytest.mark.parametrize(("name", "scheme"), ALL_SCHEMES)
def test_every_shipped_scheme_holds_for_its_secret_and_body_only(name: str, scheme: Scheme) -> None:
    secret = "user:s3cr3t-of-the-tool"
    headers, query = sign(scheme, secret, BODY, {}, NOW)
    assert genuine(scheme, [secret], BODY, headers, query)
    assert genuine(scheme, ["new-secret", secret], BODY, headers, query)
    assert not genuine(scheme, ["another"], BODY, headers, query)
    assert not genuine(scheme, [], BODY, headers, query)
    assert not genuine(scheme, [secret], BODY, {}, {})
    signed_body = scheme.scheme not in {"token", "basic"}
    assert genuine(scheme, [secret], BODY + b" ", headers, query) is not signed_body
    if isinstance(scheme, HmacScheme) and scheme.timestamp is not None:
        old_headers, _ = sign(scheme, secret, BODY, {}, NOW - 301)
        assert not genuine(scheme, [secret], BODY, old_headers, query)


def test_one_of_several_signatures_is_enough() -> None:
    scheme = PROVIDERS["pagerduty"].manifest.verify[0]
    good = hmac.new(b"new", BODY, hashlib.sha256).hexdigest()
    assert genuine(scheme, ["new"], BODY, {"X-PagerDuty-Signature": f"v1={'0' * 64}, v1={good}"}, {})
    assert not genuine(scheme, ["new"], BODY, {"X-PagerDuty-Signature": f"v0={good}"}, {})


def test_a_base64_key_and_signed_headers() -> None:
    scheme = HmacScheme(
        scheme="hmac-sha512", header="X-Sig", encoding="base64", key_encoding="base64", content="{header:X-Id}.{body}"
    )
    key = base64.b64encode(b"\x00\xff key").decode()
    digest = hmac.new(b"\x00\xff key", b"7." + BODY, hashlib.sha512).digest()
    headers = {"X-Sig": base64.b64encode(digest).decode(), "X-Id": "7"}
    assert genuine(scheme, [key], BODY, headers, {})
    assert not genuine(scheme, [key], BODY, {**headers, "X-Id": "8"}, {})


@given(body=st.binary(max_size=60), value=st.text(max_size=80), which=st.sampled_from(ALL_SCHEMES))
def test_no_header_fits_by_chance_or_breaks_the_check(body: bytes, value: str, which: tuple[str, Scheme]) -> None:
    headers, query = sign(which[1], "user:the secret", b"another body", {}, NOW)
    assert not genuine(which[1], ["the-secret"], body, dict.fromkeys(headers, value), dict.fromkeys(query, value))


def test_secrets_come_from_the_environment_or_a_file_that_may_change(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old\n")
    variable = secret_variable("bitbucket-server")
    assert variable == "HYBRIDCI_WEBHOOK_SECRET_BITBUCKET_SERVER"
    secrets = WebhookSecrets({f"{variable}_FILE": str(file), secret_variable("github"): " one\ttwo ", "OTHER": "x"})
    assert secrets.of("github") == ["one", "two"]
    assert secrets.of("gitlab") == []
    assert secrets.of("bitbucket-server") == ["old"]
    file.write_text("old newer")
    assert secrets.of("bitbucket-server") == ["old", "newer"]
    file.unlink()
    assert secrets.of("bitbucket-server") == []
