"""What `hybridci doctor` asks Temporal itself for, where this machine knows its address: its version, namespace and
search attributes. Never with more than reading.
"""

import asyncio
import os
from collections.abc import Mapping
from typing import Any, Final

from api.cli.commands.overview.findings import PartFinding, bad, ok, warn
from api.wording import counted

_SECONDS: Final = 5.0
_UP: Final = "Is it up, and TEMPORAL_ADDRESS right?"
_ALLOWED: Final = (
    "Are TEMPORAL_NAMESPACE, TEMPORAL_API_KEY and the certificate (TEMPORAL_TLS_…) those that it asks for?"
)
_KNOWN: Final = (
    (("connectionrefused", "connection refused"), "nothing listens at {where}", _UP),
    (("dns error", "failed to lookup"), "the host of {where} is not known", "Correct TEMPORAL_ADDRESS: host:port."),
    (("unauthenticated", "permissiondenied"), "{where} refuses to answer", _ALLOWED),
    (
        ("invalidcontenttype", "invalidcertificate", "certificate", "tls"),
        "{where} and this machine cannot agree on TLS",
        "Does it speak TLS? Correct TEMPORAL_TLS and the other TEMPORAL_TLS_… variables.",
    ),
    (("after connection", "http2", "hyper"), "what listens at {where} does not answer as Temporal does", _UP),
)
"""What the SDK's text has, in small letters, and what that means."""


def temporal(address: str | None) -> list[PartFinding]:
    """``address``: as an `up` here has written it; else the environment's (``TEMPORAL_ADDRESS``), if it names one."""
    environment = {**os.environ, **({"TEMPORAL_ADDRESS": address} if address else {})}
    if not environment.get("TEMPORAL_ADDRESS"):
        return []
    try:
        return asyncio.run(asyncio.wait_for(_ask(environment), 2 * _SECONDS))
    except Exception as error:  # the SDK raises RuntimeError, RPCError and others for a server that is not there
        return [bad("Temporal", *words_of(error, environment["TEMPORAL_ADDRESS"]))]


def words_of(error: Exception, where: str) -> tuple[str, str]:
    """What went wrong and what to do, in our own words: what the SDK says is for whoever programs it. Pure."""
    from temporalio.service import RPCError

    from workflows.client.address import TemporalNotConfigured

    if isinstance(error, TemporalNotConfigured):
        return str(error), "`hybridci doctor` asks Temporal itself only with settings that can be read."
    if isinstance(error, TimeoutError):
        return f"{where} does not answer within {_SECONDS:.0f} s", _UP
    if isinstance(error, RPCError):
        return f"{where} refuses to answer ({error.status.name.lower().replace('_', ' ')})", _ALLOWED
    text = str(error).lower()
    for signs, words, advice in _KNOWN:
        if any(sign in text for sign in signs):
            return words.format(where=where), advice
    return f"there is no connection to {where}", _UP


async def _ask(environment: Mapping[str, str]) -> list[PartFinding]:
    from datetime import timedelta

    from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
    from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, GetSystemInfoRequest
    from temporalio.client import Client
    from temporalio.service import RPCError

    from workflows.client.address import temporal_config
    from workflows.contracts import search_attributes

    config: dict[str, Any] = temporal_config(environment)
    client = await asyncio.wait_for(Client.connect(**config), _SECONDS)
    wait = timedelta(seconds=_SECONDS)
    info = await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=wait)
    found = [ok("Temporal", f"{environment['TEMPORAL_ADDRESS']} answers (server {info.server_version})")]
    try:
        request = DescribeNamespaceRequest(namespace=client.namespace)
        namespace = await client.workflow_service.describe_namespace(request, timeout=wait)
    except RPCError as error:
        advice = "Make it (`temporal operator namespace create`), or correct TEMPORAL_NAMESPACE."
        return [*found, bad("namespace", f"{client.namespace}: {error.message}", advice)]
    days = namespace.config.workflow_execution_retention_ttl.seconds / 86_400
    found.append(ok("namespace", f"{client.namespace}, closed workflows are kept for {counted(days, 'day')}"))
    try:
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace), timeout=wait
        )
    except RPCError as error:
        return [*found, warn("search attributes", f"not told: {error.message}", "Ask who runs Temporal for them.")]
    missing = sorted(name for name in search_attributes.NAMES if name not in known.custom_attributes)
    if missing:
        advice = "Restart a control worker, which makes them, or have who runs Temporal create them."
        return [*found, bad("search attributes", f"these are missing: {', '.join(missing)}", advice)]
    return [*found, ok("search attributes", f"all {len(search_attributes.NAMES)} are there")]
