"""A service as YAML that people read and `service apply` takes back: only what differs from the defaults.

Deliberately not here: asking for it.
"""

from collections.abc import Sequence

from api.cli.commands.deployments.output import environment_lines, moment
from api.cli.output import clean
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.deployments.policy import lacks_policy
from workflows.contracts.deployments.services import Service


def service_yaml(service: Service, environments: Sequence[EnvironmentState] = ()) -> str:
    """The definition below comments with its version and with what is live in its environments now."""
    from api.services.document import definition_yaml  # brings the YAML library along

    by = f" by {service.updated_by}" if service.updated_by else ""
    lines = [f"# Definition {service.version} of {service.name}, of {moment(service.updated_at)}{by}."]
    for environment in environments:
        lines += [f"# {environment.environment}: {'; '.join(environment_lines(environment))}"]
    if lacks_policy(service.spec) is not None:
        lines.append("# It has no policy, and nothing is deployed without one: add `policy:` and apply it.")
    if service.archived is not None:
        lines.append(f"# ARCHIVED by {service.archived.by}: `hybridci service unarchive {service.name}`")
    if service.policy_change is not None:
        asked_by = service.policy_change.asked_by
        lines.append(f"# {asked_by} asks for another policy: `hybridci service policy-change {service.name}`")
    comments = [" ".join(line.split()) for line in lines]
    return clean("\n".join([*comments, definition_yaml(service)]))
