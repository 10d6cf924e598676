"""The control worker's settings: what would stop workflows is refused at the start."""

import pytest
from pydantic import ValidationError

from activities.settings import WorkerSettings
from activities.stores.settings import StoreSettings


def test_there_is_a_record_write_for_each_workflow_task() -> None:
    settings = WorkerSettings(
        stores=StoreSettings(), max_concurrent_workflow_tasks=50, max_concurrent_local_activities=50
    )
    assert settings.max_concurrent_local_activities == 50
    with pytest.raises(ValidationError, match="HYBRIDCI_WORKER_RECORD_WRITES"):
        WorkerSettings(stores=StoreSettings(), max_concurrent_workflow_tasks=51, max_concurrent_local_activities=50)


def test_a_worker_keeps_at_least_one_workflow() -> None:
    """Without any, the SDK loses tasks in which a query meets a local activity (seen with tests/outages)."""
    assert WorkerSettings(stores=StoreSettings(), max_cached_workflows=1).max_cached_workflows == 1
    with pytest.raises(ValidationError, match="HYBRIDCI_WORKER_CACHED_WORKFLOWS"):
        WorkerSettings.model_validate({"stores": StoreSettings(), "HYBRIDCI_WORKER_CACHED_WORKFLOWS": 0})


def test_the_labels_that_jobs_are_found_by_are_named_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert StoreSettings().job_filter_labels == ()
    monkeypatch.setenv("JOB_FILTER_LABELS", " team, stage,,team ")
    assert StoreSettings().job_filter_labels == ("team", "stage")
    monkeypatch.setenv("JOB_FILTER_LABELS", "a,b,c,d,e")
    with pytest.raises(ValidationError, match="job_filter_labels"):
        StoreSettings()


def test_what_ended_is_kept_for_as_long_as_approvals_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    assert StoreSettings().keep_sessions == 100 * 86_400
    monkeypatch.setenv("HYBRIDCI_KEEP_SESSIONS", "365d")
    assert StoreSettings().keep_sessions == 365 * 86_400
    for wrong in ("89d", "100", "never"):
        monkeypatch.setenv("HYBRIDCI_KEEP_SESSIONS", wrong)
        with pytest.raises(ValidationError, match="HYBRIDCI_KEEP_SESSIONS"):
            StoreSettings()
