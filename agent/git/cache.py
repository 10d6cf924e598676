"""The agent's copies of repositories: one bare repository per URL, filled only when a commit is missing.

Every change is made under a lock that holds between tasks, between agents and, because git inherits it, until the last
git process of a killed agent is gone. Readers do not take it: objects are only ever added, garbage collection is off,
and a copy that turns out to be damaged is thrown away and fetched anew (a job that still runs on it may then miss
objects that no branch has any more). What a reader holds only keeps the copy from being evicted.

A partial copy (``WantedCommit.filter``) has the commits that were asked for whole, and of the others what its filter
lets through (``partial``).
Deliberately not here: submodules and LFS (``submodules``, ``large_files``); the cache's limits (``eviction``).
"""

import asyncio
import hashlib
import os
import re
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from agent.git.command import GitCall, checkout_environment, fetch_environment, git, git_output
from agent.git.copies import change_lock, discard, fresh, open_lock, try_lock, use_lock
from agent.git.errors import CheckoutError, explain, redact, ref_gone, timed_out, unknown_commit
from agent.git.partial import ONLY_THESE, PARTIAL, missing_objects, promised

_LOCK_POLL_SECONDS: Final = 0.05
_FETCH: Final = ("fetch", "--no-tags", "--no-write-fetch-head", "--update-shallow", "--force")
_WHOLE: Final = 0x7FFFFFFF
"""What git takes for a depth without end."""
_MAX_TAGS_BYTES: Final = 32 << 20
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class _State(Enum):
    ABSENT = auto()
    DAMAGED = auto()
    LACKS_COMMIT = auto()
    HAS_COMMIT = auto()


@dataclass(frozen=True, slots=True)
class WantedCommit:
    """A commit of a repository. ``ref`` is where to look when the server hands out no bare commits. ``depth``: so many
    commits of history are enough. ``filter``: of older ones only that much. Such copies are apart from the whole.
    """

    repo: str
    sha: str
    ref: str | None
    depth: int | None = None
    filter: str | None = None

    @property
    def source(self) -> str:
        """What git fetches from. A partial copy knows its server by name; the address stands in no file of it."""
        return self.repo if self.filter is None else PARTIAL

    @property
    def settings(self) -> list[str]:
        """What goes with ``source``."""
        return [] if self.filter is None else ["-c", f"remote.{PARTIAL}.url={self.repo}"]

    @property
    def object_format(self) -> str:
        """The hash function that a commit id of this length comes from."""
        return "sha1" if len(self.sha) == 40 else "sha256"

    @property
    def keep_ref(self) -> str:
        """One reference per branch, overwritten by each fetch: enough for git to tell a server what it has already,
        while one per commit would make every fetch slower than the one before."""
        return f"refs/jobs/{hashlib.sha256((self.ref or self.sha[:2]).encode()).hexdigest()[:16]}"


class GitCache:
    """All copies in one folder, which several agents may share."""

    def __init__(self, folder: Path, protocols: tuple[str, ...]) -> None:
        self._folder = folder
        self._protocols = protocols
        self._locks: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    def path(self, wanted: WantedCommit) -> Path:
        """The bare repository for a URL, whether it exists or not."""
        kind = "" if wanted.depth is None else f"\0depth={wanted.depth}"
        kind += "" if wanted.filter is None else f"\0filter={wanted.filter}"
        name = hashlib.sha256(f"{wanted.repo}{kind}".encode()).hexdigest()
        return self._folder / (name if wanted.object_format == "sha1" else f"{name}-{wanted.object_format}")

    async def hold(self, call: GitCall, wanted: WantedCommit) -> int:
        """Note that the copy is used, now and until ``let_go`` of what this returns; that long it is not evicted.

        Raises CheckoutError ``checkout_timeout`` when its removal, which is under way, takes too long; OSError.
        """
        held = open_lock(use_lock(self.path(wanted)))
        try:
            while not try_lock(held, shared=True):
                call.patience.left()
                await asyncio.sleep(_LOCK_POLL_SECONDS)
            os.utime(held)
        except BaseException:
            os.close(held)
            raise
        return held

    def let_go(self, held: int) -> None:
        """The copy is not used any more."""
        os.utime(held)
        os.close(held)

    async def ensure(self, call: GitCall, wanted: WantedCommit, *, renew: bool = False) -> None:
        """Have the commit in the copy. ``renew`` throws the copy away first. Raises CheckoutError."""
        path = self.path(wanted)
        async with self._locked(call, path) as call:
            state = await self._look(call, path, wanted.sha)
            if state is _State.HAS_COMMIT and not renew:
                return await self._complete(call, path, wanted)
            if state is _State.DAMAGED or renew:
                await asyncio.to_thread(discard, path)
                state = _State.ABSENT
            try:
                await self._fill(call, path, wanted, new=state is _State.ABSENT)
            except CheckoutError as error:
                if state is _State.ABSENT or error.cause != "checkout_failed":
                    raise
                # Nothing that git usually says of a server: the copy itself is damaged.
                call.write(f"The cached copy cannot be used and is fetched anew: {error.message}\n".encode())
                await asyncio.to_thread(discard, path)
                await self._fill(call, path, wanted, new=True)
            return await self._complete(call, path, wanted)

    async def _complete(self, call: GitCall, path: Path, wanted: WantedCommit) -> None:
        """Of a partial copy: all files of the commit itself. Raises CheckoutError."""
        if wanted.filter is None:
            return
        env = await fetch_environment(call, git_dir=path, protocols=self._protocols)
        started, count = time.monotonic(), 0
        while missing := await missing_objects(call, path, wanted.sha):
            asked = path / "missing.tmp"
            asked.write_bytes(missing)
            # Folders come with all below them but files, which are what the next round finds missing.
            arguments = [*wanted.settings, *ONLY_THESE, *_FETCH, "--filter=blob:none", "--stdin", "--", PARTIAL]
            code, said = await git(call, arguments, cwd=path, env=env, stdin=asked)
            asked.unlink()
            if code != 0:
                raise explain(said, f"Fetching files of {redact(wanted.repo)}")
            count += missing.count(b"\n")
        if count:
            took = time.monotonic() - started
            call.write(f"Fetched {count} objects that the filter had left out in {took:.1f} s\n".encode())

    async def head(self, call: GitCall, wanted: WantedCommit, ref: str) -> str | None:
        """The commit that the server has at ``ref`` (a whole name) now, fetched into the copy, which must exist; None
        when there is no such ref. Raises CheckoutError.
        """
        path, kept = self.path(wanted), f"refs/heads-of/{hashlib.sha256(ref.encode()).hexdigest()[:16]}"
        async with self._locked(call, path) as call:
            _remove_debris(path)
            env = await fetch_environment(call, git_dir=path, protocols=self._protocols)
            arguments = [*wanted.settings, *_FETCH, "--", wanted.source, f"+{ref}:{kept}"]
            code, said = await git(call, arguments, cwd=path, env=env)
            if code != 0 and _is_about_the_commit(said):
                return None
            if code != 0:
                raise explain(said, f"Fetching {ref} of {redact(wanted.repo)}")
            arguments = ["rev-parse", "--verify", "--quiet", f"{kept}^{{commit}}"]
            code, said = await git(call, arguments, cwd=path, env=checkout_environment(git_dir=path), quiet=True)
            if code != 0 or not _COMMIT.fullmatch(said.strip()):
                raise explain(said, f"Reading {ref} of {redact(wanted.repo)}")
            return said.strip()

    async def tags(self, call: GitCall, wanted: WantedCommit) -> bytes:
        """All tags of the repository as the server has them now, fetched into the copy, which must exist: as git keeps
        packed refs. Raises CheckoutError.
        """
        path = self.path(wanted)
        async with self._locked(call, path) as call:
            _remove_debris(path)
            env = await fetch_environment(call, git_dir=path, protocols=self._protocols)
            depth = [] if wanted.depth is None else [f"--depth={wanted.depth}"]
            depth += [] if wanted.filter is None else [f"--filter={wanted.filter}"]
            arguments = [*wanted.settings, *_FETCH, *depth, "--prune", "--", wanted.source, "+refs/tags/*:refs/tags/*"]
            code, said = await git(call, arguments, cwd=path, env=env)
            if code != 0 and (said.strip() or not depth):  # with a depth git fails, and says nothing, where no tag is
                raise explain(said, f"Fetching the tags of {redact(wanted.repo)}")
            arguments = ["for-each-ref", "--format=%(objectname) %(refname)", "refs/tags"]
            env = checkout_environment(git_dir=path)
            code, listed, cut = await git_output(call, arguments, cwd=path, env=env, max_bytes=_MAX_TAGS_BYTES)
            if code != 0 or cut:
                why = "they are too many" if cut else "git cannot list them"
                message = f"The tags of {redact(wanted.repo)} cannot be read: {why}; leave `tags` out of `checkout`."
                raise CheckoutError("checkout_failed", message, retryable=not cut)
            return listed

    async def _look(self, call: GitCall, path: Path, sha: str) -> _State:
        if not await asyncio.to_thread(path.is_dir):
            return _State.ABSENT
        env = checkout_environment(git_dir=path)
        code, said = await git(call, ["cat-file", "-e", f"{sha}^{{commit}}"], cwd=path, env=env, quiet=True)
        if "not a git repository" in said:
            return _State.DAMAGED
        return _State.HAS_COMMIT if code == 0 else _State.LACKS_COMMIT

    async def _fill(self, call: GitCall, path: Path, wanted: WantedCommit, *, new: bool) -> None:
        started = time.monotonic()
        if new:
            await self._create(call, path, wanted)
        _remove_debris(path)
        env = await fetch_environment(call, git_dir=path, protocols=self._protocols)
        no_ref = False
        for arguments in _requests(wanted):
            code, said = await git(call, [*wanted.settings, *_FETCH, *arguments], cwd=path, env=env)
            if code != 0 and not _is_about_the_commit(said):
                raise explain(said, f"Fetching {redact(wanted.repo)}")
            no_ref = no_ref or (wanted.ref is not None and f"couldn't find remote ref {wanted.ref}\n" in said)
            if await self._look(call, path, wanted.sha) is _State.HAS_COMMIT:
                call.write(f"Fetched in {time.monotonic() - started:.1f} s\n".encode())
                return
        if no_ref and wanted.ref is not None:
            raise ref_gone(wanted.repo, wanted.sha, wanted.ref)
        raise unknown_commit(wanted.repo, wanted.sha)

    async def _create(self, call: GitCall, path: Path, wanted: WantedCommit) -> None:
        """Beside its place first, so that a copy that exists is a whole one."""
        new = fresh(path)
        await asyncio.to_thread(discard, new)
        new.mkdir(parents=True, mode=0o700)
        arguments = ["init", "--quiet", "--bare", "--template=", f"--object-format={wanted.object_format}"]
        code, said = await git(call, arguments, cwd=new, env=checkout_environment(git_dir=new))
        if code != 0:
            raise explain(said, "Creating the agent's copy of the repository")
        if wanted.filter is not None:
            with (new / "config").open("a") as file:
                file.write(f'[remote "{PARTIAL}"]\n{promised(wanted.filter)}')
        new.rename(path)

    @asynccontextmanager
    async def _locked(self, call: GitCall, path: Path) -> AsyncGenerator[GitCall, None]:
        """Alone with this copy. Waiting counts as the checkout's time."""
        lock = self._locks.setdefault(path, asyncio.Lock())
        try:
            async with asyncio.timeout(call.patience.left()):
                await lock.acquire()
        except TimeoutError:
            raise timed_out(call.patience.seconds) from None
        try:
            handle = open_lock(change_lock(path))
            try:
                while not try_lock(handle):
                    call.patience.left()
                    await asyncio.sleep(_LOCK_POLL_SECONDS)
                yield replace(call, held=(handle,))
            finally:
                os.close(handle)
        finally:
            lock.release()


def _requests(wanted: WantedCommit) -> list[list[str]]:
    """What to ask for, in turn: the commit itself, which servers may refuse; where it should be; everything."""
    depth = [] if wanted.depth is None else [f"--depth={wanted.depth}"]
    partly = [] if wanted.filter is None else [f"--filter={wanted.filter}"]
    requests = [[*depth, *partly, "--", wanted.source, f"+{wanted.sha}:{wanted.keep_ref}"]]
    if wanted.ref is not None:
        requests.append([*depth, *partly, "--", wanted.source, f"+{wanted.ref}:{wanted.keep_ref}"])
    whole = [] if wanted.depth is None else [f"--depth={_WHOLE}"]
    # Pruned, because a branch `a` that is gone would be in the way of a branch `a/b`.
    every = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
    requests.append([*whole, *partly, "--prune", "--", wanted.source, *every])
    return requests


def _is_about_the_commit(said: str) -> bool:
    """The server answered, but does not have or does not hand out what was asked for."""
    answers = (
        "not our ref",
        "couldn't find remote ref",
        "unadvertised object",
        "no such remote ref",
        "not a valid object",
    )
    return any(answer in said for answer in answers)


def _remove_debris(path: Path) -> None:
    """What git left when it was killed: nobody else can hold these, for we hold the lock."""
    for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/pack/.tmp-*"):
        for file in path.glob(pattern):
            file.unlink(missing_ok=True)
    for folder in path.glob("objects/*_objdir-*"):
        shutil.rmtree(folder, ignore_errors=True)
