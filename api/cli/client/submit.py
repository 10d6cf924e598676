"""Turn a repository, some commands and a file into the body of `POST /api/dashboard/jobs`.

Precedence: options, then the file, then what git knows. Maps (env, labels) are merged, `--run` replaces the file's
steps, other lists are appended to. Deliberately not here: reading the file (``structured_file``) and validation, which
is the API's and names every bad field at once.
"""

import getpass
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

from api.cli.client.connection import DATA_DIR, USAGE, CliError
from api.cli.client.git import Done, LocalRepository, ask_elsewhere, ask_git, said_of
from api.cli.client.structured_file import read_map
from api.cli.client.submit_files import with_artifacts
from api.cli.numbers import whole
from api.wording import counted
from workflows.contracts.fields import in_brief, is_path, without_misleading
from workflows.contracts.workspace.resume import ResumeAt

DEFAULT_TYPE: Final = "command"
_URL: Final = re.compile(r"^([a-z][a-z0-9+.-]*://|[^/@\s]+@[^/:\s]+:)")
_SHA: Final = re.compile(r"^([0-9a-f]{40}|[0-9a-f]{64})$")
_DURATION: Final = re.compile(r"([0-9]{1,12})\s*(s|m|min|h|d)?")
_UNIT_SECONDS: Final = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_DATA_INSIDE: Final = f":(exclude,glob)**/{DATA_DIR}/**"
"""The state of a `hybridci up` that was started inside the repository is no change of the repository."""
_MESSAGE_LENGTH: Final = 8000


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """What was given on the command line; None or empty for what was not. ``timeout`` is a duration as typed."""

    repo: str | None = None
    ref: str | None = None
    commit: str | None = None
    author: str | None = None
    run: Sequence[str] = ()
    name: Sequence[str] = ()
    job_type: str | None = None
    pool: str | None = None
    priority: str | None = None
    env: Sequence[str] = ()
    secret: Sequence[str] = ()
    artifact: Sequence[str] = ()
    artifacts_if_none: str | None = None
    artifacts_expire: str | None = None
    inputs: Sequence[Mapping[str, Any]] = ()
    timeout: str | None = None
    retries: int | None = None
    label: Sequence[str] = ()
    tag: Sequence[str] = ()
    require: Sequence[str] = ()
    checkout: Sequence[str] = ()
    cancel_signal: str | None = None
    cancel_grace: int | None = None
    expand: bool = False
    resume: bool = False
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class GitFields:
    """What git knows about the commit to run; the body's field names."""

    git_repo: str
    git_commit_sha: str
    git_author: str
    git_ref: str | None = None
    git_commit_message: str | None = None
    warnings: Sequence[str] = field(default=())


def build_body(options: SubmitOptions, warn: Callable[[str], None]) -> dict[str, Any]:
    """The job to post. Raises CliError with exit code 2 for what cannot be read or resolved."""
    body = {} if options.file is None else read_map(options.file, what="job", such_as="job_type and steps")
    if options.repo is None:
        resolve_repository(body, options.file)
    _apply_git(body, options, warn)
    _apply_steps(body, options)
    for name, value in (("job_type", options.job_type), ("pool", options.pool), ("git_author", options.author)):
        if value is not None:
            body[name] = value
    body.setdefault("job_type", DEFAULT_TYPE)
    if options.priority is not None:
        body["priority"] = options.priority.upper()
    if options.timeout is not None:
        body["timeout_seconds"] = parse_duration(options.timeout, "--timeout")
    if options.retries is not None:
        body["retry"] = {**_mapping(body, "retry"), "max_attempts": options.retries + 1}
    _apply_running(body, options)
    for name, pairs, option in (("env", options.env, "--env"), ("labels", options.label, "--label")):
        if pairs:
            body[name] = {**_mapping(body, name), **parse_pairs(pairs, option)}
    if options.artifact or options.artifacts_if_none or options.artifacts_expire:
        body["artifacts"] = with_artifacts(
            body.get("artifacts"),
            options.artifact,
            if_none=options.artifacts_if_none,
            expires=options.artifacts_expire,
        )
    lists = {"secrets": options.secret, "inputs": options.inputs, "tags": options.tag, "requires": options.require}
    for name, values in lists.items():
        if values:
            body[name] = [*(before := _sequence(body, name)), *(value for value in values if value not in before)]
    return body


def parse_checkout(words: Sequence[str]) -> dict[str, Any]:
    """``tags``, ``depth=1`` or ``submodules,lfs`` as the body's map; the API judges it. Raises CliError."""
    found: dict[str, Any] = {}
    for word in (part.strip() for words_given in words for part in words_given.split(",")):
        name, equals, value = word.partition("=")
        if not name or (equals and not value):
            raise CliError(
                f"--checkout {word!r} says nothing. Write for example --checkout submodules --checkout depth=1.", USAGE
            )
        count = whole(value)
        found[name] = True if not equals else value if count is None else count
    return found


def parse_duration(text: str, option: str) -> int:
    """Seconds of ``90``, ``90s``, ``15m``, ``2h`` or ``1d``. Raises CliError."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None or int(found[1]) == 0:
        raise CliError(f"{option} {text!r} is no duration: give seconds, or a number with s, m, h or d (15m).", USAGE)
    return int(found[1]) * _UNIT_SECONDS[found[2] or ""]


def parse_pairs(pairs: Sequence[str], option: str) -> dict[str, str]:
    """``KEY=VALUE`` texts as a map. Raises CliError."""
    result: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CliError(
                f"{option} {pair!r} is not KEY=VALUE. Write for example {option} {key or 'KEY'}=value.", USAGE
            )
        result[key] = value
    return result


def find_commit(repo: str, *, commit: str | None = None, ref: str | None = None) -> GitFields:
    """A commit of a repository: in a folder (or at a file:// URL), or behind a URL. Raises CliError."""
    if repo.startswith("file://"):
        repo = unquote(urlsplit(repo).path)
    return remote_git(repo, commit=commit, ref=ref) if _URL.match(repo) else local_git(repo, commit=commit, ref=ref)


def resolve_repository(body: dict[str, Any], file: Path | None) -> None:
    """Put the address of a folder's repository where ``git_repo`` names a folder: ``.``, ``./a``, ``../b``, seen from
    the folder of the file that says so (of stdin: from here). Anything else is left as it is, unless a folder there
    has that name. Raises CliError, for a bare repository too: of a file of somebody else's, its reader would not see
    what it names.
    """
    said: object = body.get("git_repo")
    if not isinstance(said, str):
        return
    beside = Path() if file is None or str(file) == "-" else file.parent
    folder = beside / os.path.expanduser(said)  # Path's own raises for a person who is not here
    if not is_path(said):
        if not _URL.match(said) and os.path.isdir(folder):
            raise _no_address(said, file)
        return
    if not os.path.isdir(folder):
        raise CliError(f"git_repo {said} in {file}: there is no folder {folder}. Correct it, or give a URL.", USAGE)
    if (found := LocalRepository.at(folder)).bare:
        address = found.top.as_uri()
        raise CliError(
            f"git_repo {said} in {file}: {folder} is a bare repository. If that is meant, write git_repo: {address}",
            USAGE,
        )
    body["git_repo"] = local_git(str(folder)).git_repo


def _no_address(said: str, file: Path | None) -> CliError:
    return CliError(
        f"git_repo {said} in {file} is no address, and no folder's path either: those are `.` and what begins with ./, "
        f"../, / or ~/. For a folder beside the file write ./{said}, else give a URL.",
        USAGE,
    )


def local_git(repo: str, *, commit: str | None = None, ref: str | None = None) -> GitFields:
    """Resolve a commit of a repository on this machine. Raises CliError."""
    folder = Path(repo).expanduser()
    if not folder.is_dir():
        raise CliError(f"--repo {repo}: there is no such folder. Give a folder with a git repository or a URL.", USAGE)
    found = LocalRepository.at(folder)
    wanted = commit or ref or "HEAD"
    sha = _said(
        found.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{wanted}^{{commit}}"),
        what=f"{repo} has no commit {wanted}" if commit or ref else f"{repo} has no commit yet: commit something first",
    )
    shown = found.ask("show", "-s", "--no-ext-diff", "--no-textconv", "--format=%ae%n%B", sha)
    author, _, message = _said(shown, what=repo).partition("\n")
    return GitFields(
        git_repo=found.top.resolve().as_uri(),
        git_commit_sha=sha,
        git_author=author or _author(),
        git_ref=_ref_name(found, ref) or _branch(found, sha),
        git_commit_message=without_misleading(message, lines=True).strip()[:_MESSAGE_LENGTH] or None,
        warnings=_dirty(found, repo, sha),
    )


def remote_git(url: str, *, commit: str | None = None, ref: str | None = None) -> GitFields:
    """A commit of a repository elsewhere; ``ref`` is resolved with `git ls-remote`. Raises CliError."""
    if commit is None and ref is None:
        raise CliError(
            f"--repo {url}: give --ref (a branch or tag) or --commit (all 40 digits) to say what to run.", USAGE
        )
    if commit is not None and not _SHA.match(commit):
        raise CliError(f"--commit {commit}: a repository elsewhere needs the whole commit id, 40 hex digits.", USAGE)
    sha = commit or _resolve_remote(url, ref or "")
    return GitFields(git_repo=url, git_commit_sha=sha, git_author=_author(), git_ref=ref)


def _apply_git(body: dict[str, Any], options: SubmitOptions, warn: Callable[[str], None]) -> None:
    """Options decide, then the file, then git. A file that says everything needs no repository at hand."""
    asked = options.repo is not None or options.commit is not None or options.ref is not None
    needed = [name for name in ("git_repo", "git_commit_sha", "git_author") if not body.get(name)]
    if not asked and (not needed or (needed == ["git_author"] and options.author is not None)):
        return
    in_file = body.get("git_repo")
    if options.repo is None and isinstance(in_file, str) and in_file and not _URL.match(in_file):
        raise _no_address(in_file, options.file)
    repo = options.repo or str(in_file or ".")
    ref = options.ref or (None if options.commit else _optional_text(body, "git_ref"))
    commit = options.commit or (None if options.ref else _optional_text(body, "git_commit_sha"))
    found = find_commit(repo, commit=commit, ref=ref)
    for warning in found.warnings:
        warn(warning)
    body["git_repo"], body["git_commit_sha"] = found.git_repo, found.git_commit_sha
    for name, value in (("git_ref", found.git_ref), ("git_commit_message", found.git_commit_message)):
        if value is not None and (asked or not body.get(name)):
            body[name] = value
    if not body.get("git_author"):
        body["git_author"] = found.git_author


def _apply_running(body: dict[str, Any], options: SubmitOptions) -> None:
    """How it is checked out, ended and gone on with."""
    if options.checkout:
        body["checkout"] = {**_mapping(body, "checkout"), **parse_checkout(options.checkout)}
    cancel = {"signal": options.cancel_signal, "grace_seconds": options.cancel_grace}
    said = {name: value for name, value in cancel.items() if value is not None}
    if said:
        body["cancel"] = {**_mapping(body, "cancel"), **said}
    if options.expand:
        body["expand"] = True
    if options.resume:
        body["resume"] = ResumeAt.STEP.value


def _apply_steps(body: dict[str, Any], options: SubmitOptions) -> None:
    if len(options.name) > len(options.run):
        raise CliError("There are more --name than --run: each --name names the --run at the same place.", USAGE)
    if options.run:
        names = [*options.name, *(_step_name(run) for run in options.run[len(options.name) :])]
        body["steps"] = [{"name": name, "run": run} for name, run in zip(names, options.run, strict=True)]
    elif options.file is None:
        raise CliError('Nothing to run: give --run "pytest -q" or --file job.yaml.', USAGE)


def _step_name(run: str) -> str:
    """As it is called in sentences, and of signs that a name may have."""
    return in_brief("\n".join(" ".join(_shown(line).split()) for line in run.splitlines()))


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _ref_name(found: LocalRepository, ref: str | None) -> str | None:
    """``ref`` when it names a branch or tag; None for an expression such as HEAD~1."""
    kinds = ("refs/heads/", "refs/tags/")
    known = ref and any(_sha_of(found, f"{kind}{ref}") for kind in kinds)
    return ref if known else None


def _branch(found: LocalRepository, sha: str) -> str | None:
    """The checked-out branch, when it is at this commit; None for a detached HEAD."""
    branch = _if_told(found.ask("symbolic-ref", "--quiet", "--short", "HEAD"))
    return branch if branch and _sha_of(found, "HEAD") == sha else None


def _dirty(found: LocalRepository, repo: str, sha: str) -> list[str]:
    if _sha_of(found, "HEAD") != sha:
        return []
    count = found.changes(f":(exclude,glob)**/{DATA_DIR}", _DATA_INSIDE)
    if not count:
        return []
    what = counted(count, "change")
    return [f"{what} in {repo} not committed: only committed code runs ({sha[:10]}). Commit first to include them."]


def _resolve_remote(url: str, ref: str) -> str:
    asked = ask_elsewhere("ls-remote", "--", url, ref, f"{ref}^{{}}")
    listed = _said(asked, what=f"{url} could not be asked for {ref}")
    lines = [line.split("\t", 1) for line in listed.splitlines() if "\t" in line]
    found = {name: sha for sha, name in lines}
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"{ref}^{{}}", ref):
        if name in found:
            return found[name]
    raise CliError(f"{url} has no branch or tag {ref}. Push it, or give another --ref or --commit.", USAGE)


def _author() -> str:
    return _if_told(ask_git(None, "config", "user.email")) or f"{getpass.getuser()}@{socket.gethostname()}"


def _sha_of(found: LocalRepository, name: str) -> str | None:
    return _if_told(found.ask("rev-parse", "--verify", "--quiet", name))


def _said(done: Done, *, what: str) -> str:
    if done.returncode != 0:
        said = said_of(done)
        raise CliError(f"{what}{f' ({said})' if said else ''}.", USAGE)
    return done.stdout.strip()


def _if_told(done: Done) -> str | None:
    return done.stdout.strip() if done.returncode == 0 else None


def _mapping(body: dict[str, Any], name: str) -> dict[str, Any]:
    value: Any = body.get(name)
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _sequence(body: dict[str, Any], name: str) -> list[Any]:
    value: Any = body.get(name)
    return cast(list[Any], value) if isinstance(value, list) else []


def _optional_text(body: dict[str, Any], name: str) -> str | None:
    value: Any = body.get(name)
    return str(value) if value else None
