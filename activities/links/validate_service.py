"""Link ValidateService: a definition that cannot work is refused before anything is written."""

from codeuchain import Context

from activities.chaining.links import require
from activities.environments.freezes import freeze_errors
from activities.links.deployment_contexts import ServiceApplyContext
from workflows.contracts.errors import ValidationFailed
from workflows.contracts.services import ServiceWrite


class ValidateService:
    """``write`` → nothing new. Raises ValidationFailed that names every bad field.

    The shape of a definition is checked by its contract; here, what needs more than it: cron and time zones.
    """

    async def call(self, ctx: Context[ServiceApplyContext]) -> Context[ServiceApplyContext]:
        """Stateless and without I/O."""
        write = require(ctx, "write", ServiceWrite)
        errors = freeze_errors(write.spec)
        if errors:
            fields = ", ".join(error.field for error in errors)
            raise ValidationFailed(
                f"Service {write.name} was not changed. Correct {fields} and apply it again.", errors
            )
        return ctx
