"""What the routes of agent tasks need."""

from typing import Annotated, Protocol

from fastapi import Depends

from api.ports import HasTaskClient, provided


class TaskPorts(HasTaskClient, Protocol):
    """The way to the agents."""


TaskPortsDep = Annotated[TaskPorts, Depends(provided)]
