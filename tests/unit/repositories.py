"""Real git repositories, and checking out from them, for tests."""

import os
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.git.checkout import Checkout, CheckoutError
from workflows.contracts.workspace.checkout import AS_USUAL, CheckoutOptions

_IDENTITY = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


class Repository:
    """A repository on disk, made by git itself."""

    def __init__(self, path: Path, *, object_format: str = "sha1") -> None:
        self.path, self.url = path, f"file://{path}"
        path.mkdir()
        self.git("init", "-q", "-b", "main", f"--object-format={object_format}")

    def git(self, *arguments: str, stdin: str | None = None) -> str:
        env = {**os.environ, **_IDENTITY}
        return subprocess.run(
            ["git", *arguments], cwd=self.path, env=env, input=stdin, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            (self.path / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a commit")
        return self.git("rev-parse", "HEAD")

    def commit_tree(self, entries: bytes) -> str:
        """A commit whose tree git itself would never make."""
        command = ["git", "hash-object", "-w", "-t", "tree", "--literally", "--stdin"]
        made = subprocess.run(command, cwd=self.path, input=entries, check=True, capture_output=True)
        return self.commit_of(made.stdout.decode().strip())

    def commit_of(self, tree: str) -> str:
        sha = self.git("commit-tree", tree, "-m", "crafted")
        self.git("update-ref", "refs/heads/crafted", sha)
        return sha


class Into:
    """Checks out into a new workspace each time and keeps the log."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number, self.log = folder, 0, bytearray()

    async def __call__(
        self,
        checkout: Checkout,
        repo: str,
        sha: str,
        ref: str | None = None,
        seconds: float = 60,
        options: CheckoutOptions = AS_USUAL,
    ) -> Path:
        self._number += 1
        workspace = self._folder / f"workspace-{self._number}"
        workspace.mkdir()
        await checkout.into(
            workspace, repo=repo, sha=sha, ref=ref, timeout_seconds=seconds, write=self.log.extend, options=options
        )
        return workspace

    async def error(
        self,
        checkout: Checkout,
        repo: str,
        sha: str,
        ref: str | None = None,
        seconds: float = 60,
        options: CheckoutOptions = AS_USUAL,
    ) -> CheckoutError:
        with pytest.raises(CheckoutError) as caught:
            await self(checkout, repo, sha, ref, seconds, options)
        return caught.value


def cache_of(tmp_path: Path) -> Path:
    (cache,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir() and len(path.name) == 64)
    return cache


def found(folder: Path, name: str) -> list[Path]:
    return list(folder.rglob(name))


def output(*argv: str, folder: Path) -> str:
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def holding(lock: Path) -> Generator[None, None, None]:
    """Another process has the file locked."""
    holder = subprocess.Popen(["flock", str(lock), "sleep", "1000"], start_new_session=True)
    try:
        while subprocess.run(["flock", "-n", str(lock), "true"], check=False).returncode == 0:
            time.sleep(0.01)
        yield
    finally:
        os.killpg(holder.pid, 9)
        holder.wait()
