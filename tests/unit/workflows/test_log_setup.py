"""The log set-up: JSON lines on stderr, whatever is logged."""

import json
import logging
from collections.abc import Iterator

import pytest

from api.auth.tokens import new_token
from workflows.contracts.access import CredentialKind
from workflows.log_setup import setup_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The root logger as it was: the set-up is for whole processes."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_has_its_facts_and_the_callers(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("info", "worker")
    logging.getLogger("some.name").info(
        "naïve %s\nsecond",
        1,
        extra={
            "job_id": "j",
            "odd": {
                1,
            },
            "level": "mine",
        },
    )
    logging.getLogger("some.name").debug("not wanted")
    (line,) = lines(capsys)
    assert line["message"] == "naïve 1\nsecond"
    assert (line["level"], line["logger"], line["process"]) == ("INFO", "some.name", "worker")
    assert (line["job_id"], line["odd"]) == ("j", "{1}")
    assert str(line["time"]).endswith("+00:00")


def test_an_exception_is_in_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("INFO", "api")
    try:
        raise RuntimeError("told to")
    except RuntimeError:
        logging.getLogger("x").exception("failed")
    (line,) = lines(capsys)
    assert "RuntimeError: told to" in str(line["exception"])


@pytest.mark.parametrize("kind", CredentialKind)
def test_a_token_in_a_line_loses_its_secret(capsys: pytest.CaptureFixture[str], kind: CredentialKind) -> None:
    token, credential_id = new_token(kind)
    setup_logging("INFO", "api")
    logging.getLogger("x").info("asked for %s", token[:60], extra={"path": f"/api/access/keys/{token}/rotate"})
    (line,) = lines(capsys)
    shown = f"hci_{kind}_{credential_id}_***"
    assert (line["message"], line["path"]) == (f"asked for {shown}", f"/api/access/keys/{shown}/rotate")


def test_calling_it_again_replaces_it(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("INFO", "api")
    setup_logging("WARNING", "agent")
    logging.getLogger("x").info("not wanted")
    logging.getLogger("x").warning("once")
    logging.getLogger("botocore.endpoint").info("a request")
    assert [(line["message"], line["process"]) for line in lines(capsys)] == [("once", "agent")]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        setup_logging("LOUD", "api")
