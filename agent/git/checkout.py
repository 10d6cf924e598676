"""Checking out one exact commit into a workspace, in one git process when the commit is in the agent's copy already:
``git checkout``, or ``git read-tree`` for an id that is known to be a commit's.

A workspace has a ``.git`` of its own, which borrows the objects of the agent's copy (``cache``): what a job does
with git never changes the copy. HEAD is the commit, ``origin`` is the repository; branches are not there.
Submodules, tags and LFS files are there when the job asks for them (``CheckoutOptions``), else the log says which it
lacks. A step's own ``git fetch`` has no credentials but the step's, unless the agent's operator lets steps read the
job's repositories through the agent (``loopback``).

A job runs as the agent's user, so a hostile one could still write into the copy's files; separate such jobs by pool.
"""

import errno
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.git.addresses import require_usable
from agent.git.ancestry import require_on_ref
from agent.git.borrowed import Borrowed, borrow_ends
from agent.git.cache import GitCache, WantedCommit
from agent.git.command import GitCall, Patience, checkout_environment, git
from agent.git.errors import CheckoutError as CheckoutError
from agent.git.errors import explain, invalid_tree, redact
from agent.git.large_files import fetch_large_files
from agent.git.notices import notices
from agent.git.people import read_people
from agent.git.submodules import DEEPEST, make_known, require_own_place, submodules_of
from agent.steps.job_user import let_read, let_through
from workflows.contracts.identity.people import GitPeople
from workflows.contracts.workspace.checkout import AS_USUAL, CheckoutOptions
from workflows.newest import Newest

_REMEMBERED_COMMITS: Final = 10_000
_REMEMBERED_PEOPLE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Source:
    """The agent's copies, repositories that borrow from them, and the kinds of addresses that may be fetched from."""

    cache: GitCache
    borrowed: Borrowed
    protocols: tuple[str, ...]


class Checkout:
    """Workspaces from one bare cache per repository. Safe for many jobs at once and for two agents on one folder.

    ``shared``: other users of this host may read a copy from which a workspace borrows.
    """

    def __init__(
        self, cache_dir: Path, *, allowed_protocols: tuple[str, ...] = ("https", "ssh", "file"), shared: bool = False
    ) -> None:
        self._folder = cache_dir.resolve()
        self._protocols, self._shared = allowed_protocols, shared
        self._cache = GitCache(self._folder, allowed_protocols)
        self._borrowed = Borrowed(self._cache, self._folder)
        self._commits: Newest[str, None] = Newest(_REMEMBERED_COMMITS)  # ids that git has said to be commits
        self._people: Newest[str, GitPeople | None] = Newest(_REMEMBERED_PEOPLE)
        self._held: dict[Path, list[int]] = {}
        self._reached: dict[Path, list[str]] = {}

    @property
    def source(self) -> Source:
        """The same copies, for who only reads in them."""
        return Source(self._cache, self._borrowed, self._protocols)

    async def into(
        self,
        workspace: Path,
        *,
        repo: str,
        sha: str,
        ref: str | None,
        timeout_seconds: float,
        write: Callable[[bytes], None],
        cookie: str | None = None,
        options: CheckoutOptions = AS_USUAL,
    ) -> None:
        """Make ``workspace`` hold exactly ``sha``. ``write`` gets log lines. Raises CheckoutError.

        ``workspace`` may exist when it is empty. ``cookie`` marks git's processes, so that they can be found when the
        agent dies. Cancelling the task kills git and leaves the cache sound. ``leave`` comes later, however this ends.
        Of ``options`` the path is the caller's matter: ``workspace`` is there already.
        """
        wanted = WantedCommit(repo, sha, ref, options.depth, options.filter)
        call = GitCall(write, Patience.of(timeout_seconds), cookie or f"checkout-{uuid.uuid4()}")
        held = self._held.setdefault(workspace, [])
        reached = self._reached[workspace] = []
        try:
            await self._whole(call, workspace, wanted, options, held, reached)
        except OSError as error:
            cause = "disk_full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "checkout_failed"
            message = (
                f"The agent could not write its own files ({error}): look at the disk it works on, or move "
                "HYBRIDCI_AGENT_DIR."
            )
            raise CheckoutError(cause, message, retryable=True) from error
        write(f"HEAD is now at {sha}\n".encode())
        for notice in notices(workspace, options):
            write(f"{notice}\n".encode())

    async def _whole(
        self,
        call: GitCall,
        workspace: Path,
        wanted: WantedCommit,
        options: CheckoutOptions,
        held: list[int],
        reached: list[str],
        *,
        deep: int = 0,
    ) -> None:
        """One repository with all that is asked for, its submodules likewise, as far down as they go."""
        require_usable(wanted, self._protocols)
        reached.append(wanted.repo)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        held.append(await self._cache.hold(call, wanted))
        await self._borrowed.prepare(call, workspace, wanted)
        await self._check_out(call, workspace, wanted)
        self._require_head(workspace, wanted.sha)
        if options.tags and deep == 0:
            (workspace / ".git" / "packed-refs").write_bytes(await self._cache.tags(call, wanted))
            borrow_ends(self._cache, wanted, workspace)
        if self._shared:
            let_through([self._folder])
            let_read(self._cache.path(wanted))
        if options.lfs:
            await fetch_large_files(call, workspace, self._cache.path(wanted), wanted.repo, self._protocols)
        if options.submodules:
            await self._submodules(call, workspace, wanted, options, held, reached, deep=deep + 1)

    async def _submodules(
        self,
        call: GitCall,
        workspace: Path,
        wanted: WantedCommit,
        options: CheckoutOptions,
        held: list[int],
        reached: list[str],
        *,
        deep: int,
    ) -> None:
        found = await submodules_of(call, workspace, wanted.repo)
        if found and deep > DEEPEST:
            message = f"The submodules have submodules of their own more than {DEEPEST} deep: correct the commit."
            raise CheckoutError("submodule_invalid", message, retryable=False)
        for each in found:
            inside = WantedCommit(each.url, each.sha, None, options.depth, options.filter)
            call.write(f"--- Submodule {each.path}: {each.sha[:12]} of {redact(each.url)}\n".encode())
            require_own_place(workspace, each.path)
            try:
                await self._whole(call, workspace / each.path, inside, options, held, reached, deep=deep)
            except CheckoutError as error:
                message = f"Submodule {each.path!r}: {error.message}"
                raise CheckoutError(error.cause, message, retryable=error.retryable) from error
        make_known(workspace, found)

    def _require_head(self, workspace: Path, sha: str) -> None:
        head = (workspace / ".git" / "HEAD").read_text().strip()
        if head != sha:
            message = f"HEAD is {head!r} where {sha} was asked for: name a commit, not a tag or a tree."
            raise CheckoutError("unknown_commit", message, retryable=False)
        self._commits[sha] = None

    async def on_ref(
        self,
        workspace: Path,
        *,
        repo: str,
        sha: str,
        ref: str,
        timeout_seconds: float,
        write: Callable[[bytes], None],
        cookie: str,
        options: CheckoutOptions = AS_USUAL,
    ) -> None:
        """See that ``sha``, which ``workspace`` holds, is on the branch ``ref`` as the server has it now. Raises
        CheckoutError, ``commit_not_on_ref`` when it is not.

        A checkout without its whole history cannot tell: then the copy that has it is asked.
        """
        wanted = WantedCommit(repo, sha, ref)
        require_usable(wanted, self._protocols)
        call = GitCall(write, Patience.of(timeout_seconds), cookie)
        if options.depth is None and options.filter is None:
            head = await require_on_ref(self._cache, call, wanted, ref, workspace=workspace)
        else:
            self._held.setdefault(workspace, []).append(await self._cache.hold(call, wanted))
            await self._cache.ensure(call, wanted)
            with tempfile.TemporaryDirectory(prefix="history-", dir=self._folder) as folder:
                await self._borrowed.prepare(call, Path(folder), wanted)
                head = await require_on_ref(self._cache, call, wanted, ref, workspace=Path(folder))
        write(f"{sha} is on {ref}, whose head is {head}\n".encode())

    async def people(self, workspace: Path, *, sha: str, timeout_seconds: float, cookie: str) -> GitPeople | None:
        """Who wrote and committed ``sha``, which ``workspace`` holds; None where git cannot tell. Asks git once for a
        commit. Raises CheckoutError.
        """
        if sha not in self._people:
            call = GitCall(lambda _: None, Patience.of(timeout_seconds), cookie)
            self._people[sha] = await read_people(call, sha, workspace=workspace)
        return self._people[sha]

    async def again(
        self,
        workspace: Path,
        *,
        repo: str,
        sha: str,
        ref: str | None,
        timeout_seconds: float,
        cookie: str,
        options: CheckoutOptions = AS_USUAL,
    ) -> None:
        """Work goes on in a workspace that holds ``sha`` already: keep what it borrows from. Raises CheckoutError."""
        wanted = WantedCommit(repo, sha, ref, options.depth, options.filter)
        self._reached[workspace] = [repo]
        call = GitCall(lambda _: None, Patience.of(timeout_seconds), cookie)
        self._held.setdefault(workspace, []).append(await self._cache.hold(call, wanted))
        await self._cache.ensure(call, wanted)

    def reached(self, workspace: Path) -> list[str]:
        """The repositories that are checked out there and below, as the agent fetches them, the first one's first."""
        return list(self._reached.get(workspace, ()))

    def leave(self, workspace: Path) -> None:
        """Nobody works there, or below, any more: the copies that it borrows from may be evicted."""
        for place in [place for place in self._reached if place == workspace or workspace in place.parents]:
            del self._reached[place]
        for place in [place for place in self._held if place == workspace or workspace in place.parents]:
            for held in self._held.pop(place):
                self._cache.let_go(held)

    async def _check_out(self, call: GitCall, workspace: Path, wanted: WantedCommit) -> None:
        """Try at once; then with the commit fetched; then with a fresh copy, for what was there is damaged."""
        if self._cache.path(wanted).exists() and await self._write_files(call, workspace, wanted, quiet=True) is None:
            return
        await self._cache.ensure(call, wanted)
        said = await self._write_files(call, workspace, wanted)
        if said is None:
            return
        call.write(b"The cached copy of the repository is damaged and is fetched anew\n")
        await self._cache.ensure(call, wanted, renew=True)
        said = await self._write_files(call, workspace, wanted)
        if said is not None:
            raise explain(said, f"Checking out {wanted.sha}")

    async def _write_files(
        self, call: GitCall, workspace: Path, wanted: WantedCommit, *, quiet: bool = False
    ) -> str | None:
        """The hot path. None when it worked, else what git said. Raises CheckoutError where a fetch cannot help."""
        env = checkout_environment(git_dir=workspace / ".git", work_tree=workspace)
        (workspace / ".git" / "index.lock").unlink(missing_ok=True)  # of an earlier try that was killed
        borrow_ends(self._cache, wanted, workspace)
        known = wanted.sha in self._commits
        arguments = ["checkout", "--quiet", "--force", "--detach", wanted.sha, "--"]
        if known:  # writes the same files at two thirds of the cost, but would take a tag or a tree as well
            arguments = ["read-tree", "-u", "--reset", wanted.sha]
        code, said = await git(call, arguments, cwd=workspace, env=env, quiet=quiet)
        if code == 0:
            if known:
                _detach(workspace / ".git", wanted.sha)
            return None
        if (refused := invalid_tree(said)) is not None:
            raise refused
        if (error := explain(said, "Writing the workspace")).cause == "disk_full":
            raise error
        return said


def _detach(git_dir: Path, sha: str) -> None:
    """HEAD at the commit, with the log by which git says "HEAD detached at", as ``git checkout`` leaves them."""
    unborn = (git_dir / "HEAD").read_text().strip().removeprefix("ref: refs/heads/")
    (git_dir / "HEAD").write_text(f"{sha}\n")
    (git_dir / "logs").mkdir(exist_ok=True)
    moved = f"{'0' * len(sha)} {sha} hybridci <agent@hybridci> {int(time.time())} +0000"
    (git_dir / "logs" / "HEAD").write_text(f"{moved}\tcheckout: moving from {unborn} to {sha}\n")
