"""What the agent's operator gives to every step besides what the agent gives by itself.

Names of the agent's own variables that are passed through (HYBRIDCI_AGENT_PASS_ENV), a file of others
(HYBRIDCI_AGENT_ENV_FILE), and whose HOME it is (HYBRIDCI_AGENT_HOME). Nothing here is secret: it is not masked.
Deliberately not here: the whole list of what a step sees (``environment``), and secrets (``agent.secrets``).
"""

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Final, Self

from dotenv.parser import parse_stream

from agent.own_environment import is_own, tells_secret
from agent.settings import AgentSettings, SettingsError
from agent.steps.job_user import JobUser

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IDENTITY: Final = "[user]\n\tname = hybridci\n\temail = hybridci@localhost\n"
"""As a file in HOME, so that whatever a repository or a step sets wins."""


@dataclass(frozen=True, slots=True)
class Given:
    """``variables`` win over the agent's, a job's win over them. ``home``: None for one of the attempt's own."""

    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    home: Path | None = None

    @classmethod
    def load(cls, settings: AgentSettings, user: JobUser | None) -> Self:
        """Raises SettingsError."""
        passed = _passed(settings.steps_pass_env)
        read = {} if settings.steps_env_file is None else _read(settings.steps_env_file)
        return cls({**passed, **read}, _home(user) if settings.steps_home == "agent" else None)

    def furnish(self, home: Path) -> None:
        """Put into an attempt's own HOME what git needs to commit. Raises OSError."""
        if self.home is None:
            (home / ".gitconfig").write_text(_IDENTITY)


def _passed(names: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        _require_usable(name, "HYBRIDCI_AGENT_PASS_ENV")
        if tells_secret(name):
            raise SettingsError(
                f"HYBRIDCI_AGENT_PASS_ENV names {name}, which is a secret by its name: give it to the jobs that ask "
                "for it, by HYBRIDCI_SECRETS_FILE, so that it is masked."
            )
        if name in os.environ:
            found[name] = os.environ[name]
    return found


def _read(file: Path) -> dict[str, str]:
    setting = "HYBRIDCI_AGENT_ENV_FILE"
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting} names {file}, which cannot be read ({error}).") from error
    values: dict[str, str] = {}
    for found in parse_stream(StringIO(text)):
        written = found.original.string
        if found.error or "\0" in written:
            line = found.original.line + written[: len(written) - len(written.lstrip())].count("\n")
            raise SettingsError(
                f"{setting} has a line {line} that is no NAME=value, with its quotes closed: correct it."
            )
        if found.key is None:  # a comment, or nothing
            continue
        _require_usable(found.key, setting)
        if found.value is None:
            raise SettingsError(
                f"{setting} has {found.key} without a value: write {found.key}=value, or {found.key}= for an empty one."
            )
        values[found.key] = found.value
    return values


def _require_usable(name: str, setting: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise SettingsError(f"{setting} has {name!r}, which is no variable's name: letters, digits and '_'.")
    if is_own(name):
        raise SettingsError(f"{setting} has {name}: what begins with HYBRIDCI_ or TEMPORAL_ is the agent's to say.")


def _home(user: JobUser | None) -> Path:
    if user is not None:
        return Path(pwd.getpwnam(user.name).pw_dir)
    try:
        return Path.home()
    except RuntimeError as error:
        raise SettingsError("HYBRIDCI_AGENT_HOME is 'agent', and the agent has no HOME: set it.") from error
