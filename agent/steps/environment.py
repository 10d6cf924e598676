"""The environment of a step: clean and documented. Nothing of the agent's own (keys, TEMPORAL_*, AWS_*) gets in.

The table of all that a step sees is in ``docs/steps.md``; a test compares it with what is made here. In the order in
which each wins over what is before it: the agent's, what its operator gives, the job's ``env``, its secrets, the step's
own ``env``. Deliberately not here: what the operator gives (``given``).
"""

import getpass
import re
import string
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from agent.steps.process import COOKIE, cookie_of
from workflows.contracts.attempts import AttemptInput
from workflows.contracts.jobs import Step
from workflows.contracts.reserved import RESERVED_VARIABLES
from workflows.contracts.sealed import SEALED_PREFIX

_PATH: Final = re.compile(r"\$(?:PATH(?![A-Za-z0-9_])|\{PATH\})")


def build_environment(
    attempt: AttemptInput,
    *,
    agent_id: str,
    workspace: Path,
    home: Path,
    temp: Path,
    path: str,
    given: Mapping[str, str] | None = None,
    sealed: Collection[str] = (),
    secrets: Mapping[str, str] | None = None,
    user: str | None = None,
) -> dict[str, str]:
    """The variables of every step of the attempt. ``given``: the operator's; ``user``: as whom they run, None: as the
    agent; ``sealed``: names of the job's values that are secret.

    ``$PATH`` in a PATH is the one before. With ``attempt.expand`` all variables that are known before the job's are
    put in, once: neither what they hold nor a secret is looked through again. What a deployment says is left as it is.
    """
    cookie = cookie_of(attempt.job_id, attempt.attempt)
    user = user or _user()
    defaults = {
        "PATH": path, "HOME": str(home), "TMPDIR": str(temp), "USER": user, "LOGNAME": user,
        "SHELL": "/bin/sh", "TERM": "dumb", "LANG": "C.UTF-8",
        "CI": "true",
        **facts_of(attempt, agent_id=agent_id, workspace=workspace),
    }  # fmt: skip
    host = {**defaults, **_on_top(given or {}, defaults)}
    job = _on_top(attempt.env, host, expand=attempt.expand, exact=sealed)
    return {**host, **job, **(secrets or {}), COOKIE: cookie}


def facts_of(attempt: AttemptInput, *, agent_id: str, workspace: Path) -> dict[str, str]:
    """What is said of the attempt, beside what the job and its deployment say themselves."""
    facts = {
        "HYBRIDCI": "true",
        "HYBRIDCI_JOB_ID": attempt.job_id,
        "HYBRIDCI_ATTEMPT_NUMBER": str(attempt.attempt),
        "HYBRIDCI_JOB_TYPE": attempt.job_type,
        "HYBRIDCI_POOL": attempt.pool,
        "HYBRIDCI_AGENT_ID": agent_id,
        "HYBRIDCI_REPO": attempt.git_repo,
        "HYBRIDCI_COMMIT": attempt.git_commit_sha,
        "HYBRIDCI_AUTHOR": attempt.git_author,
        "HYBRIDCI_WORKSPACE": str(workspace),
    }
    if attempt.git_ref is not None:
        facts["HYBRIDCI_REF"] = attempt.git_ref
    if attempt.on_ref is not None:  # an attempt whose commit is not there has no steps
        facts["HYBRIDCI_ON_REF"] = attempt.on_ref
    if attempt.fence is not None:
        facts["HYBRIDCI_FENCE"] = str(attempt.fence.number)
        facts["HYBRIDCI_FENCE_NAME"] = attempt.fence.name
    return facts


def step_environment(base: Mapping[str, str], step: Step) -> dict[str, str]:
    """``base`` with the step's own ``env`` on top, the cookie excepted."""
    return {**base, **_on_top(step.env, base), COOKIE: base[COOKIE]}


def expanded(step: Step, known: Mapping[str, str], *, sealed: Collection[str]) -> Step:
    """For a job that asks for it: the step with what is ``known`` put into its own values. Secrets are not known."""
    return step.model_copy(update={"env": _on_top(step.env, known, expand=True, exact=sealed)})


def sealed_names(env: Mapping[str, str]) -> frozenset[str]:
    """Of the values that only the agent opens, as they came."""
    return frozenset(name for name, value in env.items() if value.startswith(SEALED_PREFIX))


class _Names(string.Template):
    """``$NAME`` and ``${NAME}``; ``$$`` is a dollar sign, and what is not known stays as it is written."""

    idpattern = r"(?a:[_A-Za-z][_A-Za-z0-9]*)"
    flags = re.NOFLAG


def _on_top(
    env: Mapping[str, str], before: Mapping[str, str], *, expand: bool = False, exact: Collection[str] = ()
) -> dict[str, str]:
    """These variables, as they are but for PATH and, where it is asked for, the names in them; ``exact`` ones as they
    are.
    """
    found = dict(env)
    for name, value in env.items():
        if name in exact:
            continue
        if expand and name not in RESERVED_VARIABLES:
            found[name] = _Names(value).safe_substitute(before)
        elif name == "PATH":
            found[name] = _PATH.sub(lambda _: before.get("PATH", ""), value)
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's numeric user without an entry in /etc/passwd
        return "agent"
