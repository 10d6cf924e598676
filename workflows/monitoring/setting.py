"""The field of a process's settings that says where it may be asked how it is."""

from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from workflows.monitoring.address import MonitoringAddress, read_address


def _read(value: object) -> object:
    return read_address(value) if isinstance(value, str) else value


MonitoringPlace = Annotated[MonitoringAddress | None, NoDecode, BeforeValidator(_read)]
"""None: nowhere."""
