"""What a step reads through the agent, and what it never sees or does. Real git, a server that asks for a password."""

import asyncio
import gzip
import os
import re
import shlex
import signal
import socket
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from agent.git.checkout import Checkout
from agent.git.loopback import readable
from agent.git.upstream import ReadableRepository
from agent.steps.job_user import JobUser
from tests.unit.agent.git.test_checkout_options import link
from tests.unit.private_git import PASSWORD, PrivateGit, knows_password, private_git
from tests.unit.repositories import Into, Repository
from workflows.contracts.workspace.checkout import CheckoutOptions

WORD = "unguessable-word-of-this-attempt"
PROTOCOLS = ("https", "ssh", "file", "http")


@dataclass
class Step:
    """A step's git: its environment has nothing of the agent's but what is given to it."""

    folder: Path
    env: dict[str, str]

    async def run(self, *command: str, folder: Path | None = None) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder or self.folder, env=self.env,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, said.decode()

    async def git(self, *arguments: str, folder: Path | None = None) -> str:
        code, said = await self.run("git", *arguments, folder=folder)
        assert code == 0, said
        return said.strip()

    @property
    def address(self) -> str:
        """Of the first repository."""
        [found] = [value for value in self.env.values() if re.fullmatch(r"url\..*/0\.insteadOf", value)]
        return found.removeprefix("url.").removesuffix(".insteadOf")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "served").mkdir()
    return Repository(tmp_path / "served" / "shop")


@pytest.fixture
def private(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateGit]:
    with private_git(repository.path.parent) as server:
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(knows_password(tmp_path / "agents.gitconfig", server.url)))
        yield server


@asynccontextmanager
async def step_of(folder: Path, *repos: str, **env: str) -> AsyncGenerator[Step]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    own = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **env}
    async with readable(repos, word=WORD, protocols=PROTOCOLS, cookie="job-1-git", env=own) as more:
        yield Step(folder, {**own, **more})


async def test_a_step_fetches_a_new_commit_without_the_credential(
    private: PrivateGit, repository: Repository, tmp_path: Path
) -> None:
    url = f"{private.url}/shop/.git"
    sha = repository.commit(a="1")
    checkout, into = Checkout(tmp_path / "cache", allowed_protocols=PROTOCOLS), Into(tmp_path)
    workspace = await into(checkout, url, sha, "main")
    assert checkout.reached(workspace) == [url]
    newer = repository.commit(b="2")
    async with step_of(workspace, *checkout.reached(workspace)) as step:
        await step.git("fetch", "-q", "origin")
        assert await step.git("rev-parse", "origin/main") == newer
        assert f"{newer}\trefs/heads/main" in await step.git("ls-remote", "origin")
        await step.git("clone", "-q", url, str(tmp_path / "clone"))
        await step.git("clone", "-q", "--depth=1", "--filter=blob:none", url, str(tmp_path / "shallow"))
        assert (tmp_path / "shallow" / "b").read_text() == "2"
        assert PASSWORD not in str(step.env)
    assert all(
        PASSWORD not in file.read_text(errors="replace") for file in (workspace / ".git").glob("*") if file.is_file()
    )
    assert {path.partition("?")[0] for _, path, _ in private.asked} <= {
        "/shop/.git/info/refs", "/shop/.git/git-upload-pack"
    }  # fmt: skip
    checkout.leave(workspace)
    assert checkout.reached(workspace) == []


async def test_much_comes_whole_and_its_negotiation_is_packed(
    private: PrivateGit, repository: Repository, tmp_path: Path
) -> None:
    for number in range(60):
        repository.commit(**{f"f{number}": os.urandom(60_000).hex()})
    url = f"{private.url}/shop/.git"
    async with step_of(tmp_path, url) as step:
        await step.git("clone", "-q", url, "clone")
        repository.git("checkout", "-q", "-b", "other", "HEAD~30")
        newer = repository.commit(z="z")
        await step.git("fetch", "-q", "origin", folder=tmp_path / "clone")
        assert await step.git("rev-parse", "origin/other", folder=tmp_path / "clone") == newer
        await step.git("fsck", "--full", folder=tmp_path / "clone")


async def test_submodules_are_read_and_a_proxy_of_the_steps_is_not_asked(
    private: PrivateGit, repository: Repository, tmp_path: Path
) -> None:
    library = Repository(repository.path.parent / "library")
    inside = library.commit(b="2")
    sha = link(repository, inside, "lib", "../../library/.git")
    checkout, into = Checkout(tmp_path / "cache", allowed_protocols=PROTOCOLS), Into(tmp_path)
    url = f"{private.url}/shop/.git"
    workspace = await into(checkout, url, sha, "main", options=CheckoutOptions(submodules=True))
    newer = library.commit(c="3")
    async with step_of(workspace, *checkout.reached(workspace), http_proxy="http://127.0.0.1:9") as step:
        await step.git("config", "submodule.lib.branch", "main")
        await step.git("submodule", "update", "--remote", "lib")
    assert library.git("rev-parse", "HEAD") == newer
    assert (workspace / "lib" / "c").read_text() == "3"


async def test_nothing_is_written_through_it(private: PrivateGit, repository: Repository, tmp_path: Path) -> None:
    repository.commit(a="1")
    url = f"{private.url}/shop/.git"
    async with step_of(tmp_path, url) as step:
        await step.git("clone", "-q", url, "clone")
        asked = len(private.asked)
        code, said = await step.run("git", "push", "origin", "HEAD:refs/heads/mine", folder=tmp_path / "clone")
        assert (code, "could not read Username" in said) == (128, True), "it goes to the server, as nobody"
        assert [whom for _, _, whom in private.asked[asked:]] == [None]
        async with httpx.AsyncClient(trust_env=False) as client:
            for method, rest in (("GET", "/info/refs?service=git-receive-pack"), ("POST", "/git-receive-pack")):
                answer = await client.request(method, step.address + rest, headers={"Git-Protocol": "version=2"})
                assert (answer.status_code, "only read" in answer.text) == (403, True)
            assert (await client.get(f"{step.address}/HEAD")).status_code == 404
    assert repository.git("branch", "--list", "mine") == ""


async def test_whoever_lacks_the_word_finds_nothing_and_afterwards_nobody_does(
    private: PrivateGit, repository: Repository, tmp_path: Path
) -> None:
    repository.commit(a="1")
    rest = "/info/refs?service=git-upload-pack"
    async with step_of(tmp_path, f"{private.url}/shop/.git") as step, httpx.AsyncClient(trust_env=False) as client:
        there = step.address
        version = {"Git-Protocol": "version=2"}
        assert (await client.get(there + rest, headers=version)).status_code == 200
        asked = len(private.asked)
        for wrong in (there.replace(WORD, "x" * len(WORD)), there.replace(f"/{WORD}", ""), f"{there[:-1]}1"):
            assert (await client.get(wrong + rest, headers=version)).status_code == 404
        old = await client.get(there + rest)
        assert (old.status_code, "Protocol 2" in old.text) == (400, True)
        broken = await client.post(
            f"{there}/git-upload-pack", content=b"no gzip", headers={**version, "Content-Encoding": "gzip"}
        )
        assert broken.status_code == 400
        bomb = gzip.compress(bytes(40 << 20))
        large = await client.post(
            f"{there}/git-upload-pack", content=bomb, headers={**version, "Content-Encoding": "gzip"}
        )
        assert large.status_code == 413
        assert len(private.asked) == asked
    port = httpx.URL(there).port
    assert port is not None
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_another_user_of_the_host_is_refused_though_it_has_the_address(
    private: PrivateGit, repository: Repository, tmp_path: Path
) -> None:
    repository.commit(a="1")
    url = f"{private.url}/shop/.git"
    own = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C"}
    user = JobUser("steps", 65534, 65534, ())
    async with readable([url], word=WORD, protocols=PROTOCOLS, cookie="job-1-git", env=own, user=user) as more:
        for uid, code in ((65534, 0), (65533, 128)):
            ended, said = await Step(Path("/"), {**own, **more}).run(
                "setpriv", f"--reuid={uid}", "--clear-groups", "git", "ls-remote", url
            )
            assert (ended, "Only the user" in said) == (code, code != 0), said


async def test_another_repository_whose_address_begins_alike_is_the_steps_own_matter(
    private: PrivateGit, repository: Repository, tmp_path: Path
) -> None:
    repository.commit(a="1")
    Repository(repository.path.parent / "shop-secrets").commit(b="2")
    async with step_of(tmp_path, f"{private.url}/shop") as step:
        code, said = await step.run("git", "ls-remote", f"{private.url}/shop-secrets/.git")
    assert (code, "could not read Username" in said) == (128, True)
    assert [(path, whom) for _, path, whom in private.asked if "secrets" in path] == [
        ("/shop-secrets/.git/info/refs?service=git-upload-pack", None)
    ]


async def test_what_the_server_says_is_told_without_the_credential(
    private: PrivateGit, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(a="1")
    url = private.url.replace("//", "//ann:wrong-pass-word@") + "/shop/.git"
    async with step_of(tmp_path, url) as step:
        assert "wrong-pass-word" not in str(step.env)
        code, said = await step.run("git", "ls-remote", f"{private.url}/shop/.git")
    assert code == 128
    assert "refused the agent's credentials" in said
    assert "wrong-pass-word" not in said
    private.version = False
    async with step_of(tmp_path, f"{private.url}/shop/.git") as step:
        code, said = await step.run("git", "ls-remote", f"{private.url}/shop/.git")
    assert (code, "does not speak protocol 2" in said) == (128, True)


async def test_over_ssh_and_of_a_folder(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = repository.commit(a="1")
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\necho "$@" >> "$0.asked"\neval "command=\\${$#}"\nexec sh -c "git ${command#git-}"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", shlex.quote(str(ssh)))
    path = repository.path / ".git"
    repos = [f"git@host:{path}", f"ssh://git@host:2222{path}", f"file://{path}"]
    async with step_of(tmp_path, *repos, GIT_SSH_COMMAND="false") as step:
        for number, repo in enumerate(repos):
            await step.git("clone", "-q", repo, f"clone-{number}")
            assert await step.git("rev-parse", "HEAD", folder=tmp_path / f"clone-{number}") == sha
    asked = (tmp_path / "ssh.asked").read_text().splitlines()
    assert asked[0] == f"-o SendEnv=GIT_PROTOCOL git@host git-upload-pack {path}"
    assert asked[-1] == f"-o SendEnv=GIT_PROTOCOL -p 2222 git@host git-upload-pack {path}"


@pytest.mark.parametrize("inside", ["", "/.git", ".git"])
async def test_a_folder_is_found_as_a_checkout_finds_it(repository: Repository, tmp_path: Path, inside: str) -> None:
    sha = repository.commit(a="1")
    if inside == ".git":
        repository.git("clone", "-q", "--bare", ".", f"{repository.path}.git")
    url = f"file://{repository.path}{inside}"
    checkout = Checkout(tmp_path / "cache", allowed_protocols=PROTOCOLS)
    workspace = await Into(tmp_path)(checkout, url, sha, "main")
    async with step_of(workspace, *checkout.reached(workspace)) as step:
        assert await step.git("ls-remote", url, "refs/heads/main") == f"{sha}\trefs/heads/main"
        await step.git("fetch", "-q", "origin")
    checkout.leave(workspace)


async def test_the_settings_of_a_folder_run_nothing(repository: Repository, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    sha = repository.commit(a="1")
    for name, value in {
        "uploadpack.packObjectsHook": f"touch {ran};", "core.fsmonitor": f"touch {ran}; false",
        "core.repositoryFormatVersion": "1", "extensions.partialClone": "origin", "remote.origin.promisor": "true",
        "remote.origin.url": f"ext::touch {ran}", "protocol.ext.allow": "always", "core.sshCommand": f"touch {ran}",
        "remote.origin.uploadpack": f"touch {ran};", "core.alternateRefsCommand": f"touch {ran}", "core.worktree": "..",
    }.items():  # fmt: skip
        repository.git("config", name, value)
    checkout, into = Checkout(tmp_path / "cache", allowed_protocols=PROTOCOLS), Into(tmp_path)
    workspace = await into(checkout, repository.url, sha, "main")
    async with step_of(workspace, *checkout.reached(workspace)) as step:
        await step.git("clone", "-q", repository.url, str(tmp_path / "clone"))
        lost = repository.git("rev-parse", "HEAD:a")
        (repository.path / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
        code, said = await step.run("git", "clone", "-q", repository.url, str(tmp_path / "another"))
        assert code == 128, said
    await into.error(Checkout(tmp_path / "empty", allowed_protocols=PROTOCOLS), repository.url, sha, "main")
    checkout.leave(workspace)
    assert not ran.exists()


async def test_ssh_as_the_operator_has_configured_it(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(a="1")
    settings = tmp_path / "agents.gitconfig"
    settings.write_text(f"[core]\n\tsshCommand = echo > {tmp_path}/asked\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    async with step_of(tmp_path, "git@host:shop") as step:
        assert (await step.run("git", "ls-remote", "git@host:shop"))[0] == 128
    assert (tmp_path / "asked").read_text() == "-o SendEnv=GIT_PROTOCOL git@host git-upload-pack shop\n"


async def test_what_ssh_leaves_behind_holds_no_answer_up(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ControlPersist ssh leaves a process that keeps the error output open."""
    sha, stays, ssh = repository.commit(a="1"), tmp_path / "stays", tmp_path / "ssh"
    ssh.write_text(
        f"#!/bin/sh\nsetsid sleep 1000 < /dev/null > /dev/null &\necho $! >> {stays}\n"
        f"exec git upload-pack {repository.path}\n"
    )
    ssh.chmod(0o755)
    settings = tmp_path / "agents.gitconfig"
    settings.write_text(f"[core]\n\tsshCommand = {ssh}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    try:
        async with step_of(tmp_path, "git@host:shop") as step:
            assert await step.git("ls-remote", "git@host:shop", "refs/heads/main") == f"{sha}\trefs/heads/main"
    finally:
        for pid in stays.read_text().split():
            os.kill(int(pid), signal.SIGKILL)


async def test_who_stops_reading_ends_what_answers(repository: Repository) -> None:
    sha = repository.commit(large=os.urandom(2 << 20).hex())
    lines = (b"command=fetch\n", b"object-format=sha1\n", None, f"want {sha}\n".encode(), b"done\n")
    request = b"".join(b"0001" if line is None else f"{len(line) + 4:04x}".encode() + line for line in lines) + b"0000"
    answer = ReadableRepository(repository.url, PROTOCOLS, "job-1-git").answer(request)
    assert await anext(answer)
    await asyncio.wait_for(answer.aclose(), 60)


async def test_a_count_of_settings_that_is_none_costs_nothing(tmp_path: Path) -> None:
    async with step_of(tmp_path, "https://example.com/shop", GIT_CONFIG_COUNT="9" * 5000) as step:
        assert await step.git("config", "url.https://example.com/shop.pushInsteadOf") == "https://example.com/shop"


async def test_settings_of_git_that_the_job_has_in_its_environment_stay(tmp_path: Path) -> None:
    given = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Ann"}
    async with step_of(tmp_path, "https://example.com/shop", **given) as step:
        assert await step.git("config", "user.name") == "Ann"
        assert await step.git("config", "url.https://example.com/shop.pushInsteadOf") == "https://example.com/shop"
