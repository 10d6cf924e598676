"""Ages as people write them; what is refused names its setting."""

import pytest
from pydantic import ValidationError

from activities.retention.settings import RetentionSettings
from workflows.contracts.storage.retention import RetentionPolicy


def test_without_a_word_everything_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDCI_KEEP_JOBS", "")
    assert RetentionSettings().policy() == RetentionPolicy()


def test_ages_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, age in (("JOBS", "90d"), ("LOGS", "36 h"), ("ARTIFACTS", "30min"), ("DEPLOYMENTS", "45S")):
        monkeypatch.setenv(f"HYBRIDCI_KEEP_{name}", age)
    monkeypatch.setenv("HYBRIDCI_KEEP_LIVE_VERSIONS", "3")
    assert RetentionSettings().policy() == RetentionPolicy(
        jobs=90 * 86_400, logs=36 * 3600, artifacts=1800, deployments=45, live_versions=3
    )


@pytest.mark.parametrize("age", ["90", "0d", "-1d", "d", "1w", "1.5d", "999999999d", "ninety", "9\u0660d"])
@pytest.mark.parametrize("name", ["JOBS", "LOGS", "ARTIFACTS", "DEPLOYMENTS", "EVENTS"])
def test_what_is_no_age_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, age: str) -> None:
    monkeypatch.setenv(f"HYBRIDCI_KEEP_{name}", age)
    with pytest.raises(ValidationError, match=f"HYBRIDCI_KEEP_{name}"):
        RetentionSettings()


@pytest.mark.parametrize("name", ["LOGS", "ARTIFACTS"])
def test_nothing_outlives_its_job(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("HYBRIDCI_KEEP_JOBS", "30d")
    monkeypatch.setenv(f"HYBRIDCI_KEEP_{name}", "31d")
    with pytest.raises(ValidationError, match=f"HYBRIDCI_KEEP_{name} must not be more than HYBRIDCI_KEEP_JOBS"):
        RetentionSettings()


@pytest.mark.parametrize("number", ["1", "51", "many"])
def test_so_many_versions_there_are(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    monkeypatch.setenv("HYBRIDCI_KEEP_LIVE_VERSIONS", number)
    with pytest.raises(ValidationError, match="HYBRIDCI_KEEP_LIVE_VERSIONS"):
        RetentionSettings()
