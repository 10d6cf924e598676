"""What the codec endpoint needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.ports import HasCodec, provided


class CodecPorts(HasCodec, Protocol):
    """Opens and seals payloads."""


CodecPortsDep = Annotated[CodecPorts, Depends(provided)]
