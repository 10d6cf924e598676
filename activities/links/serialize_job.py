"""Link SerializeJob: a record as plain JSON values, as the outside sees it."""

from codeuchain import Context

from activities.chaining.links import CreationContext, require
from workflows.contracts.jobs import Job


class SerializeJob:
    """``job`` → ``serialized``. Nothing is dropped: exit_code 0, empty strings and None stay what they are."""

    async def call(self, ctx: Context[CreationContext]) -> Context[CreationContext]:
        """Stateless and without I/O."""
        return ctx.insert("serialized", require(ctx, "job", Job).model_dump(mode="json"))
