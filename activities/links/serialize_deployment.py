"""Link SerializeDeployment: a record as plain JSON values, as the outside sees it."""

from codeuchain import Context

from activities.chaining.links import require
from activities.links.deployment_contexts import DeploymentCreationContext
from workflows.contracts.deployments import Deployment


class SerializeDeployment:
    """``deployment`` → ``serialized``. Nothing is dropped: 0, empty strings and None stay what they are."""

    async def call(self, ctx: Context[DeploymentCreationContext]) -> Context[DeploymentCreationContext]:
        """Stateless and without I/O."""
        return ctx.insert("serialized", require(ctx, "deployment", Deployment).model_dump(mode="json"))
