"""Hands what the SDK receives over to the inbox: for each command an update and a signal, for each message a signal.

The SDK finds handlers on the workflow's class, by its decorators; they are made here from the tables, so that a worker
knows their names, types and descriptions before any workflow runs, as if they were written out.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts.deployments.deployment import Deployment
    from workflows.deployment.context import Context
    from workflows.deployment.inbox import Command, Signal, hear, refuse, take, take_signal
    from workflows.incoming import checks
    from workflows.incoming import takes as reads


class HandlerOwner(Protocol):
    """A workflow with a context."""

    context: Context


W = TypeVar("W", bound=HandlerOwner)
F = TypeVar("F", bound=Callable[..., Any])


def takes(commands: Iterable[Command[Any]], signals: Iterable[Signal[Any]]) -> Callable[[type[W]], type[W]]:
    """Decorate a workflow's class, below ``workflow.defn``."""

    def decorate(workflow_class: type[W]) -> type[W]:
        for command in commands:
            setattr(workflow_class, f"{command.name}_update", _update(command))
            setattr(workflow_class, f"{command.name}_signal", _command_signal(command))
        for signal in signals:
            setattr(workflow_class, f"{signal.name}_signal", _signal(signal))
        return workflow_class

    return decorate


def _update(kind: Command[Any]) -> Callable[..., Any]:
    @checks(kind.model)
    def allowed(self: HandlerOwner, command: Any) -> None:
        if self.context.opening.over:
            refuse(self.context, kind, command)

    @workflow.update(name=kind.name, description=kind.description)
    @reads(kind.model)
    async def handler(self: HandlerOwner, command: Any) -> Deployment:
        return await take(self.context, kind, command)

    handler.validator(allowed)
    return handler


def _command_signal(kind: Command[Any]) -> Callable[..., Any]:
    async def handler(self: HandlerOwner, *given: Any) -> None:
        await take_signal(self.context, kind, given)

    return workflow.signal(name=kind.name, description=kind.description)(_method(handler))


def _signal(kind: Signal[Any]) -> Callable[..., Any]:
    async def handler(self: HandlerOwner, *given: Any) -> None:
        await hear(self.context, kind, given)

    return workflow.signal(name=kind.name, description=kind.description)(_method(handler))


def _method(function: F) -> F:
    """As the SDK wants a method: it takes an annotated ``self`` for one more argument."""
    function.__annotations__ = {name: kind for name, kind in function.__annotations__.items() if name != "self"}
    return function
