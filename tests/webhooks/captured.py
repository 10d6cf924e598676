"""Requests as the tools send them, and what the shipped manifests make of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.webhooks.decisions import Delivery, RuleDecision
from api.webhooks.loading import Provider, load_providers
from api.webhooks.payloads import parse_payload
from api.webhooks.repositories import KnownService
from api.webhooks.rules import decide, read_delivery
from workflows.contracts.deployments.triggers import Triggers
from workflows.contracts.identity.repositories import same_form

PAYLOADS = Path(__file__).parent / "payloads"
SHA = "9f1c2a7b3d4e5f60718293a4b5c6d7e8f9012345"
DEPLOYMENT = "00000000-0000-4000-8000-000000000001"
PROVIDERS = load_providers()


@dataclass(frozen=True, slots=True)
class Captured:
    """A request: header names in lower case, and the raw body."""

    headers: dict[str, str]
    body: bytes


def captured(name: str) -> Captured:
    content = json.loads((PAYLOADS / f"{name}.json").read_text("utf-8"))
    return Captured({key.lower(): value for key, value in content["headers"].items()}, content["body"].encode())


def provider_of(name: str) -> Provider:
    """The provider whose payload this file is: the longest name that begins it."""
    return PROVIDERS[max((each for each in PROVIDERS if name.startswith(f"{each}-")), key=len)]


def delivery_of(name: str) -> Delivery:
    request, provider = captured(name), provider_of(name)
    payload = parse_payload(request.body, request.headers["content-type"], provider.manifest.form_field)
    return read_delivery(provider, payload, request.headers, {}, request.body)


def shop(url: str, branch: str | None = "main", triggers: dict[str, Any] | None = None) -> KnownService:
    given = None if triggers is None else Triggers.model_validate(triggers)
    return KnownService("shop", same_form(url), branch, triggers=given)


def decided(name: str, *services: KnownService) -> RuleDecision:
    """What a captured payload asks for when these services are registered."""
    return decide(provider_of(name), delivery_of(name), list(services))
