"""What of a job's files is said on the command line: those that it begins with (`--input`), those that it keeps.

Deliberately not here: the rest of the body (``submit``), and validation, which is the API's.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from api.cli.client.connection import USAGE, CliError

_WORDS: Final = {"branch": "branch", "type": "job_type", "path": "path"}
_ID: Final = re.compile(r"[0-9a-fA-F-]{4,}")
_EXAMPLES: Final = "--input '3f2a9c01:dist/*' or --input 'branch=main,type=build,path=in:dist/*'"


def parse_inputs(given: Sequence[str], find_id: Callable[[str], str]) -> list[dict[str, Any]]:
    """``JOB:GLOB`` texts as the body's list. ``find_id``: of a job by how its id begins. Several of one job, into one
    folder, are one input with several globs. Raises CliError.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in given:
        whose, colon, pattern = text.partition(":")
        if colon and not pattern:
            raise CliError(f"--input {text!r} lacks a glob behind the colon. Write for example {_EXAMPLES}.", USAGE)
        wanted = found.get(whose)
        if wanted is None:
            wanted = found[whose] = _whose(whose, text, find_id)
        if pattern:
            wanted.setdefault("artifacts", []).append(pattern)
    return list(found.values())


def with_artifacts(
    said: object, patterns: Sequence[str], *, if_none: str | None, expires: str | None
) -> list[Any] | dict[str, Any]:
    """What the file says, as a list or a map, with more."""
    fields = dict(cast(Mapping[str, Any], said)) if isinstance(said, Mapping) else {"paths": said}
    before: object = fields.get("paths")
    paths = list(dict.fromkeys([*(cast(list[Any], before) if isinstance(before, list) else []), *patterns]))
    rules = {name: value for name, value in (("if_none", if_none), ("expires", expires)) if value is not None}
    fields |= {"paths": paths, **rules}
    return paths if fields.keys() == {"paths"} else fields


def _whose(whose: str, text: str, find_id: Callable[[str], str]) -> dict[str, Any]:
    wanted = dict[str, Any]()
    for word in whose.split(","):
        name, equals, value = (part.strip() for part in word.partition("="))
        if not name or (equals and (not value or name not in _WORDS)):
            raise CliError(
                f"--input {text!r}: {word!r} says nothing. It takes a job's id, branch=, type= and path=: {_EXAMPLES}. "
                "The rest is for a file (-F).",
                USAGE,
            )
        if equals:
            wanted[_WORDS[name]] = value
        elif "job" in wanted:
            raise CliError(f"--input {text!r} names two jobs: give --input once for each.", USAGE)
        else:
            wanted["job"] = name
    if "job" in wanted:
        if _ID.fullmatch(wanted["job"]) is None:
            raise CliError(
                f"--input {text!r}: {wanted['job']} is no job's id. For the newest job of a branch that was well write "
                f"branch={wanted['job']}. Write for example {_EXAMPLES}.",
                USAGE,
            )
        wanted["job"] = find_id(wanted["job"])
    return wanted
