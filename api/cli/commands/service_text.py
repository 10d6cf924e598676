"""A service as YAML that people read and `service apply` takes back: only what differs from the defaults.

Deliberately not here: asking for it.
"""

from collections.abc import Sequence
from typing import Any

from api.cli.commands.deployments.output import environment_lines, moment
from api.cli.output import clean
from workflows.contracts.deployments.environments import EnvironmentState
from workflows.contracts.deployments.policy import lacks_policy
from workflows.contracts.deployments.services import Service


def service_yaml(service: Service, environments: Sequence[EnvironmentState] = ()) -> str:
    """The definition below comments with its version and with what is live in its environments now."""
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
    spec = service.spec.model_dump(mode="json", exclude_defaults=True)
    if "environments" in spec:
        spec["environments"] = [{"name": each["name"], **each} for each in spec["environments"]]
    order = (
        "description", "git_repo", "git_ref", "commit_on_ref", "allow_version_reuse", "labels", "definition", "policy",
        "build", "test", "environments",
    )  # fmt: skip
    ordered = {name: spec[name] for name in order if name in spec}
    return clean("\n".join([*comments, _yaml({"name": service.name, **ordered, **spec})]))


def _yaml(content: dict[str, Any]) -> str:
    import yaml

    from workflows.yaml_text import reads_as_text

    class Dumper(yaml.SafeDumper):
        """Commands of several lines as they were written."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None if reads_as_text(value) else "'"
        return dumper.represent_scalar(  # pyright: ignore[reportUnknownMemberType]
            "tag:yaml.org,2002:str", value, style=style
        )

    Dumper.add_representer(str, text)
    return str(yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110))
