"""The phases of a deployment: which body belongs to which name.

To add one: a module here with ``run``, its name and part in ``Phase``, its line below, and a phase that moves to it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.deployment.context import Context
    from workflows.deployment.phases import (
        approval,
        arrived,
        bake,
        build,
        definition,
        join,
        live,
        order,
        paused,
        recheck,
        roll_out,
        rollback,
        source,
        stuck,
        test,
        turn,
        verify,
    )
    from workflows.deployment.progress import Phase

PHASES: Final[Mapping[Phase, Callable[[Context], Awaitable[None]]]] = {
    Phase.SOURCE: source.run,
    Phase.DEFINITION: definition.run,
    Phase.BUILD: build.run,
    Phase.TEST: test.run,
    Phase.JOIN: join.run,
    Phase.ORDER: order.run,
    Phase.APPROVAL: approval.run,
    Phase.TURN: turn.run,
    Phase.RECHECK: recheck.run,
    Phase.ROLL_OUT: roll_out.run,
    Phase.VERIFY: verify.run,
    Phase.BAKE: bake.run,
    Phase.PAUSED: paused.run,
    Phase.ARRIVED: arrived.run,
    Phase.LIVE: live.run,
    Phase.ROLLBACK: rollback.run,
    Phase.STUCK: stuck.run,
}
"""All but END. Each runs until it moves on, and raises Failed, Interrupted or Renew."""
