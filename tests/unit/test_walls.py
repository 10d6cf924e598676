"""The import walls of pyproject.toml hold for modules that nobody has written yet: in a copy of the tree, one is added
behind each of them, and import-linter names it.

Deliberately not here: that the tree itself keeps the walls (``lint-imports`` in ``.ci/run``).
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("workflows", "activities", "api", "agent")

OFFENDERS: dict[str, dict[str, str]] = {
    "contracts are innermost": {
        "workflows/contracts/new_one.py": "import workflows.client.jobs",
        "workflows/contracts/new_two.py": "import codeuchain",
    },
    "workflows know no process": {
        "workflows/new_phase.py": "import activities.stores.open",
        "workflows/new_folder/phase.py": "import fastapi",
    },
    "a deployment's parts know what is below them": {
        "workflows/deployment/phases/new_phase.py": "import workflows.deployment.workflow",
    },
    "a deployment and an environment talk by signals only": {
        "workflows/environment/new_rule.py": "import workflows.deployment.presentation",
    },
    "an agent knows nothing of the control plane's tables": {
        "agent/new_reader.py": "import activities.stores.interfaces",
        "agent/secrets/new_vault.py": "import boto3",
    },
    "activities serve no HTTP and run no commands": {
        "activities/new_subject/links.py": "import subprocess",
        "activities/jobs/new_page.py": "import starlette.responses",
        "activities/new_root.py": "import api.http.errors",
    },
    "subjects of activities see store interfaces only": {
        "activities/jobs/new_links.py": "import activities.stores.dynamo.jobs",
        "activities/new_subject/chains.py": "import activities.stores.memory.jobs",
        "activities/agents/new_reader.py": "import activities.stores.open",
    },
    "links know no chains, chains nobody who runs them": {
        "activities/other_subject/links.py": "import activities.other_subject.chains",
        "activities/other_subject/chains.py": "import activities.other_subject.writers",
        "activities/other_subject/writers.py": "import activities.other_subject.activities",
        "activities/other_subject/activities.py": "",
    },
    "no circles between the folders of activities": {
        "activities/pools/new_view.py": "import activities.agents.registry",
    },
    "no circles between the folders of workflows": {
        "workflows/new_room/one.py": "import workflows.new_room.two",
        "workflows/new_room/two.py": "import workflows.new_room.one",
    },
    "no circles between the folders of an agent": {
        "agent/secrets/new_source.py": "import agent.attempt.run",
    },
    "no circles between the slices of the API": {
        "api/new_slice/one.py": "import api.new_slice.two",
        "api/new_slice/two.py": "import api.new_slice.one",
    },
    "slices name their ports, the app alone knows all services": {
        "api/jobs/new_helper.py": "import api.deps",
    },
    "routes are the app's alone": {
        "api/jobs/new_service.py": "import api.deployments.routes.commands",
        "api/auth/new_rule.py": "import api.sign_in.routes",
    },
    "schemas know no services": {
        "api/new_subject/schemas.py": "import api.deps",
    },
    "HTTP itself knows no subject": {
        "api/http/new_page.py": "import api.auth.principal",
    },
    "the API starts no process's internals": {
        "api/new_slice/routes.py": "import activities.jobs.activities",
        "api/new_slice/service.py": "import workflows.deployment",
        "api/new_helper.py": "import api.cli.main",
    },
    "the CLI speaks HTTP and starts processes by their command lines": {
        "api/cli/commands/new_command.py": "import activities.jobs.readers",
        "api/cli/new_stack.py": "import agent.worker",
    },
    "boto3 lives in the stores": {
        "activities/jobs/new_table.py": "import boto3",
        "activities/stores/new_store.py": "from botocore.config import Config",
        "api/new_bucket.py": "import boto3",
    },
    "the gateway is small, and knows neither tables nor the API's insides": {
        "api/gateway/new_check.py": "import activities.stores.interfaces",
        "api/gateway/new_route.py": "import api.jobs.routes.jobs",
    },
}
"""By wall, the files that break it."""
REPORTED_AS = {
    "activities/pools/new_view.py": ".pools -> .agents",
    "workflows/new_room/one.py": "No cycles are allowed in workflows.new_room.",
    "workflows/new_room/two.py": "No cycles are allowed in workflows.new_room.",
    "api/new_slice/one.py": "No cycles are allowed in api.new_slice.",
    "api/new_slice/two.py": "No cycles are allowed in api.new_slice.",
    "agent/secrets/new_source.py": ".secrets -> .attempt",
}
"""Of a circle the report names the folders."""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What import-linter says of each wall that does not hold, in a copy of the tree with all offenders in it."""
    copy = tmp_path_factory.mktemp("walls")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(ROOT / package, copy / package, ignore=ignored, ignore_dangling_symlinks=True)
    shutil.copy(ROOT / "pyproject.toml", copy)
    for files in OFFENDERS.values():
        for name, text in files.items():
            _add(copy / name, text)
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    run = subprocess.run([*command, "--no-cache"], cwd=copy, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1, run.stdout + run.stderr
    _, _, broken = run.stdout.partition("Broken contracts")
    sections = re.split(r"(?m)^(.+)\n-{5,}$", broken)
    return dict(zip(map(str.strip, sections[1::2]), sections[2::2], strict=True))


def test_every_wall_has_its_offenders() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    assert {wall["name"] for wall in settings["contracts"]} == set(OFFENDERS)


@pytest.mark.parametrize("wall", OFFENDERS)
def test_a_new_module_behind_a_wall_is_reported(wall: str, verdicts: dict[str, str]) -> None:
    said = verdicts.get(wall, "")
    importing = [name for name, text in OFFENDERS[wall].items() if text]
    assert [name for name in importing if REPORTED_AS.get(name, f"{_module(name)} ->") not in said] == [], said


def _module(name: str) -> str:
    return name.removesuffix(".py").replace("/", ".")


def _add(path: Path, text: str) -> None:
    folder = path.parent
    if not folder.exists():
        folder.mkdir()
        (folder / "__init__.py").write_text("", "utf-8")
    assert not path.exists(), f"{path.name} is not new any more: choose another name"
    path.write_text(f"{text}\n", "utf-8")
