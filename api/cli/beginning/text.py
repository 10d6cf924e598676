"""The first file of a repository, as its reader wants it: few fields, each with a word about it.

Deliberately not here: what is guessed (``guesses``), and whether it is taken (the API's models).
"""

import json
import re
import shlex
from collections.abc import Sequence
from textwrap import indent
from typing import Final

from api.cli.beginning.guesses import GuessedStep, Guesses
from api.cli.beginning.repository import HERE, Repo
from workflows.contracts.fields import without_misleading
from workflows.yaml_text import reads_as_text

DEFAULT_PORT_URL: Final = "http://127.0.0.1:8000"
"""Where `hybridci up` serves the schemas."""
_PLAIN: Final = re.compile(r"[A-Za-z./][A-Za-z0-9 ._/=@+-]*")
_NOTHING_TO_TEST: Final = GuessedStep("test", 'echo "Write here what tests this repository."', "nothing was found")
_NOTHING_TO_DEPLOY: Final = GuessedStep(
    "deploy", 'echo "Write here what brings $HYBRIDCI_VERSION to $HYBRIDCI_ENVIRONMENT."', "nothing was found"
)


def schema_line(url: str, name: str) -> str:
    """What editors with a YAML language server read."""
    return f"# yaml-language-server: $schema={in_a_line(url).rstrip('/')}/api/schemas/{name}.json"


def in_a_line(text: str) -> str:
    """For a comment or a terminal: a file's name may hold what ends the line, or is not what it looks like."""
    return without_misleading(text.encode(errors="replace").decode(), lines=False)


def in_command(path: str) -> str:
    """A file as a command to paste names it."""
    return shlex.quote(in_a_line(path))


def service_file(repo: Repo, found: Guesses, *, path: str, url: str) -> str:
    """A service with two environments."""
    deploy, file = found.deploy or [_NOTHING_TO_DEPLOY], in_command(path)
    parts = [
        schema_line(url, "service"),
        f"# How this repository is tested and deployed. `hybridci service check -f {file}` says what is wrong with it,",
        f"# `hybridci service apply -f {file}` registers it. All fields: docs/files.md, or `hybridci schema service`.",
        "",
        f"name: {_scalar(repo.name)}",
        f"git_repo: {_scalar(repo.address)}{_of_here(repo)}",
    ]
    if repo.branch is not None:
        parts.append(f"git_ref: {_scalar(repo.branch)}  # the branch whose pushes webhooks deploy")
    if found.build:
        parts += ["", "# Once for each version, before anything else.", "build:", *_steps(found.build, 2)]
    parts += [
        "", "# Then this. A version whose tests fail goes nowhere.", "test:",
        *_steps(found.test or [_NOTHING_TO_TEST], 2), "  timeout_seconds: 1800",
        "", "# Then through the environments, in this order. Steps find HYBRIDCI_VERSION, HYBRIDCI_ENVIRONMENT,",
        "# HYBRIDCI_COMMIT and more.", "environments:", "  - name: staging", *_steps(deploy, 4),
        "    # health_check: {run: curl -fsS https://staging.example.com/health}", "", "  - name: production",
        *_steps(deploy, 4),
        "    approval:  # somebody says yes before: `hybridci deploy approve`",
        "      required: 1",
        "      # groups: [{name: owners, members: [ann@example.com]}]  # only these; never the version's author",
        "    # rollout: {percent: [10, 50, 100], pause_seconds: 60}  # the steps run once for each percentage",
        "    # verification: {run: ./smoke.sh, bake_seconds: 300}    # fails: what was live before comes back",
        "    # rollback: {steps: [{name: back, run: ./rollback.sh}]} # without it, the earlier version's own steps run",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def job_file(found: Guesses, *, path: str, url: str) -> str:
    """A job that builds and tests what is checked out."""
    parts = [
        schema_line(url, "job"),
        f"# One job: `hybridci job submit -F {in_command(path)} --wait` runs it for the commit checked out here.",
        "# All fields: docs/files.md, or `hybridci schema job`.",
        "",
        "job_type: test",
        "git_repo: .  # this folder; agents elsewhere need an address: --repo https://… --ref main",
        "",
        *_steps([*found.build, *(found.test or [_NOTHING_TO_TEST])], 0),
        "",
        "timeout_seconds: 1800  # of each attempt",
        "retry: {max_attempts: 1}  # a red test stays red; 3 is the default",
        "# env: {LOG_LEVEL: debug}",
        "# secrets: [API_TOKEN]  # names only; the agent knows the values",
        "# artifacts: [dist/**]  # files to keep",
        "# requires: [os=linux]  # labels of the agent",
    ]
    return "\n".join(parts) + "\n"


def _of_here(repo: Repo) -> str:
    if repo.address != HERE:
        return ""
    return f"  # this folder's repository ({in_a_line(repo.why)}): only agents on this machine can read it"


def _steps(steps: Sequence[GuessedStep], spaces: int) -> list[str]:
    lines = ["steps:"]
    for step in steps:
        lines += [f"  - name: {_scalar(step.name)}  # from {in_a_line(step.because)}"]
        if "\n" in step.run:
            lines += ["    run: |", *indent(step.run, "      ").splitlines()]
        else:
            lines += [f"    run: {_scalar(step.run)}"]
    return [f"{' ' * spaces}{line}" for line in lines]


def _scalar(text: str) -> str:
    """Plain where that means the same, else in JSON's quotes, which are YAML's too."""
    return text if _PLAIN.fullmatch(text) and reads_as_text(text) and text == text.strip() else json.dumps(text)
