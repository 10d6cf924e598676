"""What managing keys needs."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.auth.ports import IssuingPorts
from api.ports import provided


class AccessPorts(IssuingPorts, Protocol):
    """Keys."""


AccessPortsDep = Annotated[AccessPorts, Depends(provided)]
