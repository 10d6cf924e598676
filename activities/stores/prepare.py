"""Create the tables and the bucket, and end: for operators whose workers may create nothing.

Deliberately not here: what is created (``open.ensure_schema``), which a worker that may does itself at each start.
"""

import asyncio
import sys
from typing import Final

from activities.stores.configured import StoresNotConfigured, check_configured
from activities.stores.open import ensure_schema
from activities.stores.settings import StoreSettings
from workflows.contracts.errors import HybridCIError

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_NOT_CONFIGURED: Final = 2


def run(settings: StoreSettings) -> int:
    """The exit code: 0 all is there, 1 it could not be created (stderr says why), 2 not configured. Repeatable."""
    try:
        check_configured(settings)
        asyncio.run(ensure_schema(settings))
    except StoresNotConfigured as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NOT_CONFIGURED
    except HybridCIError as error:
        sys.stderr.write(f"{error.message}\n")
        return EXIT_FAILED
    sys.stdout.write(f"The tables and the bucket of environment {settings.environment} are there.\n")
    return EXIT_OK
