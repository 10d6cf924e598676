"""Where Temporal is, by the ecosystem's ``TEMPORAL_*`` variables and profile file; who names no place is told so."""

from collections.abc import Mapping
from typing import Any

from temporalio.envconfig import ClientConfig


class TemporalNotConfigured(ValueError):
    """No process that needs Temporal can start like this; the text says which variable to set."""


def temporal_config(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What ``Client.connect`` takes, as this process has it or as it stands in ``environment``.

    Raises TemporalNotConfigured.
    """
    try:
        config: dict[str, Any] = {**ClientConfig.load_client_connect_config(override_env_vars=environment)}
    except (RuntimeError, OSError, ValueError) as error:
        why = str(error).partition("\n")[0]  # below it stands the file's own line, which may be the API key's
        raise TemporalNotConfigured(
            f"The settings of Temporal cannot be read ({why}): correct TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE and "
            "the other TEMPORAL_ variables."
        ) from None
    if not config.get("target_host"):
        raise TemporalNotConfigured(
            "Nothing says where Temporal is: set TEMPORAL_ADDRESS to host:port of its frontend (TEMPORAL_NAMESPACE, "
            "TEMPORAL_API_KEY, TEMPORAL_TLS_… where it asks for them), or run `hybridci up`, which starts everything."
        )
    return config
