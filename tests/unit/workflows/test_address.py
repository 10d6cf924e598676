"""What is said of settings of Temporal that cannot be read: nothing of what they hold."""

from pathlib import Path

import pytest

from workflows.client.address import TemporalNotConfigured, temporal_config


def test_a_profile_that_cannot_be_read_is_not_quoted(tmp_path: Path) -> None:
    profiles = tmp_path / "temporal.toml"
    profiles.write_text('[profile.default]\naddress = "127.0.0.1:7233"\napi_key = "s3cr3t-4711\n')
    with pytest.raises(TemporalNotConfigured, match="at line 3") as refused:
        temporal_config({"TEMPORAL_CONFIG_FILE": str(profiles)})
    assert "s3cr3t-4711" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.__suppress_context__, "a traceback would quote it too"
