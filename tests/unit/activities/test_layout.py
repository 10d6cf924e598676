"""Where links and chains stand: a module of each in every subject; the names that users know; none without a use."""

import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3] / "activities"
SUBJECTS = sorted(path.parent.name for path in ROOT.glob("*/links.py") if path.parent.name != "chaining")

LINKS = {
    "jobs": [
        "ValidateJobCreation", "CreateJob", "RetrieveJob", "ListJobs", "UpdateJobStatus", "RecordJobExecution",
        "ListRunningJobs", "SerializeJob",
    ],
    "deployments": [
        "ValidateDeploymentCreation", "CreateDeployment", "RetrieveDeployment", "ListDeployments",
        "ListDeploymentsByService", "RecordStagingDeployment", "RecordProductionDeployment", "RecordRollback",
        "SerializeDeployment",
    ],
    "agents": ["RegisterAgent", "RecordHeartbeats", "UpdateAgentStatus", "DeregisterAgent"],
}  # fmt: skip
CHAINS = {
    "jobs": [
        "job_creation", "job_execution", "list_jobs", "list_running_jobs", "retrieve_job", "enqueue_job", "start_job",
        "retry_job", "complete_job", "dead_letter_job", "queue_stats", "day_stats", "refresh_demands",
    ],
    "deployments": [
        "deployment_creation", "deployment_lifecycle", "list_deployments", "list_deployments_by_service",
        "retrieve_deployment", "deployment_stats", "deployment_count",
    ],
    "services": ["apply_service", "change_standing", "retrieve_service", "list_services"],
    "bans": ["ban", "ban_left_version", "lift_ban", "retrieve_bans", "select_bans", "require_no_ban"],
    "environments": ["record_environment", "retrieve_environment", "list_environments"],
    "line": ["change_line", "retrieve_line"],
    "events": ["list_events"],
    "agents": [
        "admit_agent", "register_agent", "record_heartbeats", "update_agent_status", "drain_agent", "pause_agent",
        "resume_agent", "deregister_agent", "retrieve_agent", "list_agents", "list_pool_agents",
    ],
    "metrics": ["record_metrics", "judge_metrics"],
    "pools": ["scale_pool", "retrieve_pool", "list_pools", "list_demands"],
    "retention": ["remove_job", "remove_logs", "remove_artifacts", "remove_deployment"],
    "credentials": [
        "issue_credential", "rotate_credential", "revoke_credential", "retrieve_credential", "list_credentials",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("subject", "name"), [(subject, name) for subject in LINKS for name in LINKS[subject]])
def test_a_link_is_found_in_its_subject(subject: str, name: str) -> None:
    assert _links(import_module(f"activities.{subject}.links"))[name].__module__ == f"activities.{subject}.links"


@pytest.mark.parametrize(("subject", "name"), [(subject, name) for subject in CHAINS for name in CHAINS[subject]])
def test_a_chain_is_found_in_its_subject(subject: str, name: str) -> None:
    assert callable(getattr(import_module(f"activities.{subject}.chains"), f"build_{name}_chain"))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_link_stands_in_a_chain(subject: str) -> None:
    chains = [import_module(f"activities.{each}.chains") for each in SUBJECTS]
    used = {name for module in chains for name in vars(module)}
    links = _links(import_module(f"activities.{subject}.links"))
    assert links
    assert {name for name in links if not name.startswith("_")} <= used


def test_few_files_and_small_folders() -> None:
    assert set(SUBJECTS) == set(CHAINS)
    shared = [path for path in (ROOT / "chaining").glob("*.py") if path.name != "__init__.py"]
    assert len(shared) + sum(len([*ROOT.glob(f"*/{name}.py")]) for name in ("links", "chains")) <= 30
    sizes = {folder: len([*folder.glob("*.py")]) for folder in {path.parent for path in ROOT.rglob("*.py")}}
    assert {folder.name: size for folder, size in sizes.items() if size > 25} == {}
    longest = {path: len(path.read_text("utf-8").splitlines()) for path in ROOT.glob("*/links.py")}
    assert {path.parent.name: lines for path, lines in longest.items() if lines > 300} == {}


def _links(module: ModuleType) -> dict[str, type]:
    """The classes that are defined there and that a chain can call."""
    return {
        name: each
        for name, each in vars(module).items()
        if inspect.isclass(each) and each.__module__ == module.__name__ and inspect.iscoroutinefunction(_call(each))
    }


def _call(link: type) -> object:
    return getattr(link, "call", None)
