"""What commits of a repository say, without a workspace: ancestry, history, changes, files, heads.

Asked of a repository that borrows from the agent's copy, as a job's workspace does: first of what is there, and only
when a commit is missing of the server. Only objects count (see ``ancestry``). Everything is bounded.
Deliberately not here: who asks (``agent.tasks``), fetching and its locks (``cache``).
"""

import errno
import re
import shutil
import tempfile
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.git.addresses import require_usable
from agent.git.ancestry import is_ancestor
from agent.git.borrowed import borrow_ends
from agent.git.cache import WantedCommit
from agent.git.checkout import Source
from agent.git.command import GitCall, Patience, checkout_environment, fetch_environment, git, git_output
from agent.git.errors import CheckoutError, explain, redact

_BRANCHES: Final = "refs/heads/"
_HEAD: Final = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\t(\S+)")
_ENTRY: Final = re.compile(rb"(\d{6}) (\w+) ([0-9a-f]+) +(\d+|-)\t")
_LINE_BYTES: Final = 96
"""A commit's id and its time."""
_NO_REF: Final = 2
"""What ``git ls-remote --exit-code`` ends with when no ref matches."""


@dataclass(frozen=True, slots=True)
class Place:
    """A repository, and where to look when its server hands out no bare commits. ``seconds`` for all of it."""

    repo: str
    ref: str | None
    seconds: float


class Reading:
    """Safe for many questions at once. ``folder`` is this object's alone; what is left there of an earlier one goes."""

    def __init__(self, source: Source, folder: Path) -> None:
        self._source, self._folder = source, folder
        shutil.rmtree(folder, ignore_errors=True)

    async def ancestry(self, place: Place, ancestor: str, descendant: str) -> tuple[bool, bool]:
        """Is one an ancestor of the other (or the same), and is the history whole? Raises CheckoutError."""
        async with self._open(place, [ancestor, descendant]) as at:
            found, said = await is_ancestor(at.call, at.folder, ancestor, descendant, quiet=True)
            if found is None:
                await at.fetch()
                found, said = await is_ancestor(at.call, at.folder, ancestor, descendant, quiet=True)
            if found is None:
                raise explain(said, "Comparing the two commits")
            return found, not at.ends

    async def commits(
        self, place: Place, older: str, newer: str, limit: int
    ) -> tuple[list[tuple[str, int]], bool, bool]:
        """(id, commit time in epoch ms) of what ``newer`` has more, newest first; more than ``limit``? whole?"""
        arguments = ["log", "--format=%H %ct", f"--max-count={limit + 1}", f"{older}..{newer}", "--"]
        async with self._open(place, [older, newer]) as at:
            said, _ = await at.ask(["-c", "core.commitGraph=false", *arguments], (limit + 1) * _LINE_BYTES)
            lines = [line.split(" ") for line in said.decode("ascii", "replace").splitlines()]
            found = [(sha, max(0, int(seconds)) * 1000) for sha, seconds in lines]
            return found[:limit], len(found) > limit, not at.ends

    async def paths(
        self, place: Place, older: str, newer: str, *, most: int, max_bytes: int
    ) -> tuple[list[bytes], bool]:
        """Names of files that differ, and whether there are more than ``most``, or than fit into ``max_bytes``."""
        arguments = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", older, newer, "--"]
        async with self._open(place, [older, newer]) as at:
            said, cut = await at.ask(arguments, max_bytes)
            *names, rest = said.split(b"\0")
            return names[:most], cut or bool(rest) or len(names) > most

    async def file(self, place: Place, sha: str, path: str, max_bytes: int) -> bytes | None:
        """The file's content at a commit; None when there is none. Raises CheckoutError ``file_too_large``."""
        async with self._open(place, [sha]) as at:
            listed, _ = await at.ask(["ls-tree", "-z", "-l", "--full-tree", sha, "--", path], 8 * 1024)
            entry = _ENTRY.match(listed)
            if entry is None or not entry[1].startswith(b"100"):  # a folder, a link, another repository
                return None
            if int(entry[4]) > max_bytes:
                message = f"{path} has {int(entry[4])} bytes; at most {max_bytes} are read."
                raise CheckoutError("file_too_large", message, retryable=False)
            content, _ = await at.ask(["cat-file", "blob", entry[3].decode()], max_bytes)
            return content

    async def head(self, place: Place, ref: str) -> str | None:
        """The commit that the server has at ``ref`` now (a bare name is a branch's); None when there is none."""
        whole = ref if ref.startswith("refs/") else f"{_BRANCHES}{ref}"
        wanted = WantedCommit(place.repo, "0" * 40, whole)
        require_usable(wanted, self._source.protocols)
        call = _call(place)
        async with self._folder_of_its_own() as folder:
            env = await fetch_environment(call, git_dir=folder, protocols=self._source.protocols)
            del env["GIT_DIR"]
            arguments = ["ls-remote", "--exit-code", "--", place.repo, whole]
            code, said = await git(call, arguments, cwd=folder, env=env, quiet=True)
        if code not in {0, _NO_REF}:
            raise explain(said, f"Asking {redact(place.repo)} for {ref}")
        found = [match for line in said.splitlines() if (match := _HEAD.fullmatch(line.strip()))]
        return next((match[1] for match in found if match[2] == whole), None)

    async def fetched(self, place: Place, sha: str) -> None:
        """Have the commit here. Raises CheckoutError."""
        async with self._open(place, [sha]) as at:
            await at.fetch()

    @asynccontextmanager
    async def _open(self, place: Place, shas: Sequence[str]) -> AsyncGenerator["_Opened"]:
        wanted = [WantedCommit(place.repo, sha, place.ref) for sha in shas]
        for each in wanted:
            require_usable(each, self._source.protocols)
        if len({each.object_format for each in wanted}) > 1:
            message = "The two commits are ids of different hash functions: they are not of one repository."
            raise CheckoutError("unknown_commit", message, retryable=False)
        call, first = _call(place), wanted[0]
        cache = self._source.cache
        try:
            cache.path(first).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            held = await cache.hold(call, first)
            try:
                async with self._folder_of_its_own() as folder:
                    await self._source.borrowed.prepare(call, folder, first)
                    yield _Opened(self._source, call, folder, wanted, borrow_ends(cache, first, folder))
            finally:
                cache.let_go(held)
        except OSError as error:
            cause = "disk_full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "checkout_failed"
            message = f"The agent could not write its own files ({error}): look at the disk it works on."
            raise CheckoutError(cause, message, retryable=True) from error

    @asynccontextmanager
    async def _folder_of_its_own(self) -> AsyncGenerator[Path]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(tempfile.mkdtemp(prefix="read-", dir=self._folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class _Opened:
    """A repository that borrows from the copy. ``ends``: its history ends early."""

    source: Source
    call: GitCall
    folder: Path
    wanted: list[WantedCommit]
    ends: bool

    async def fetch(self) -> None:
        """Have all commits in the copy. Raises CheckoutError."""
        for each in self.wanted:
            await self.source.cache.ensure(self.call, each)
        self.ends = borrow_ends(self.source.cache, self.wanted[0], self.folder)

    async def ask(self, arguments: Sequence[str], max_bytes: int) -> tuple[bytes, bool]:
        """What git prints, and whether that was cut off at ``max_bytes``. Raises CheckoutError."""
        env = {**checkout_environment(git_dir=self.folder / ".git"), "GIT_LITERAL_PATHSPECS": "1"}
        code, said, cut = await git_output(self.call, arguments, cwd=self.folder, env=env, max_bytes=max_bytes)
        if code != 0 and not cut:
            await self.fetch()
            code, said, cut = await git_output(self.call, arguments, cwd=self.folder, env=env, max_bytes=max_bytes)
        if code != 0 and not cut:
            _, why = await git(self.call, arguments, cwd=self.folder, env=env, quiet=True)
            raise explain(why, "Reading the repository")
        return said, cut


def _call(place: Place) -> GitCall:
    return GitCall(_unheard, Patience.of(place.seconds), f"task-{uuid.uuid4()}")


def _unheard(_: bytes) -> None:
    """No log."""
