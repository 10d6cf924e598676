"""The gateway's entry point. Exit code 0 after a signal, 2 when it cannot start as it is set up.

Deliberately not here: serving (``server``), which is imported once the surroundings of gRPC's library are set.
"""

import asyncio
import os
import sys
from typing import Final

from api.gateway.settings import GatewaySettings, GatewaySettingsError
from api.gateway.temporal_settings import read_temporal_settings
from workflows.log_setup import setup_logging

EXIT_OK: Final = 0
EXIT_UNUSABLE: Final = 2


def run(settings: GatewaySettings) -> int:
    """Serve until SIGTERM or Ctrl-C. Returns the exit code."""
    # gRPC would write a line of its own for every connection that fails its handshake: a port scan fills the log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        setup_logging(settings.log_level, "gateway")
        temporal = read_temporal_settings()  # a child; before gRPC's threads
        from api.gateway.server import serve

        asyncio.run(serve(settings, temporal))
    except (GatewaySettingsError, ValueError) as error:
        sys.stderr.write(f"hybridci gateway cannot start: {error}\n")
        return EXIT_UNUSABLE
    return EXIT_OK
