"""What `hybridci doctor` asks Temporal itself for, where this machine knows its address: its version, namespace and
search attributes. Never with more than reading.
"""

import asyncio
import os
from collections.abc import Mapping
from typing import Any, Final

from api.cli.commands.overview.findings import PartFinding, bad, ok, warn

_SECONDS: Final = 5.0


def temporal(address: str | None) -> list[PartFinding]:
    """``address``: as an `up` here has written it; else the environment's (``TEMPORAL_ADDRESS``), if it names one."""
    environment = {**os.environ, **({"TEMPORAL_ADDRESS": address} if address else {})}
    if not environment.get("TEMPORAL_ADDRESS"):
        return []
    try:
        return asyncio.run(asyncio.wait_for(_ask(environment), 2 * _SECONDS))
    except Exception as error:  # the SDK raises RuntimeError, RPCError and others for a server that is not there
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        where = environment["TEMPORAL_ADDRESS"]
        return [bad("Temporal", f"{where} does not answer ({reason[:120]})", "Is it up, and TEMPORAL_ADDRESS right?")]


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
    found.append(ok("namespace", f"{client.namespace}, closed workflows are kept for {days:g} days"))
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
