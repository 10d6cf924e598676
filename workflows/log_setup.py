"""Structured logs for every process: one JSON object a line, on stderr. Called by entry points only.

A line has ``time`` (UTC), ``level``, ``logger``, ``process``, ``message`` and whatever the caller passed as ``extra``.
Deliberately not here: log levels of single libraries beyond the two that shout, and files or rotation (the supervisor's
and the platform's business). Callers never pass secrets; our own tokens are known by their form all the same, for
people paste them where they do not belong, into an address above all.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_QUIETER: Final = ("botocore", "boto3", "urllib3", "httpx", "httpcore")
"""Libraries that log each request at INFO or DEBUG: only their warnings are of interest."""
_TOKEN: Final = re.compile(r"(hci_[a-z]+_[0-9a-z]{16}_)[0-9A-Za-z]+")
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def setup_logging(level: str, process: str) -> None:
    """Send every logger's records to stderr as JSON lines. ``process`` is ``api``, ``worker`` or ``agent``.

    Calling it again replaces the earlier set-up. Raises ValueError for an unknown level.
    """
    wanted = level.upper()
    if wanted not in LEVELS:
        raise ValueError(f"LOG_LEVEL is {level!r}; use one of {', '.join(LEVELS)}.")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(wanted)
    for name in _QUIETER:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON. Values that are not JSON are written as their ``str``."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its line end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": self._process,
            "message": record.getMessage(),
        }
        for key, value in vars(record).items():
            if key not in _STANDARD and key not in line:
                line[key] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return without_tokens(json.dumps(line, default=str, ensure_ascii=False))


def without_tokens(text: str) -> str:
    """The text with ``***`` for the secret part of each of our tokens; what tells which one it is stays."""
    return _TOKEN.sub(r"\1***", text) if "hci_" in text else text
