"""Input that wants git to run something, servers that refuse, trees that leave the workspace."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agent.git.checkout import Checkout
from agent.git.errors import explain, redact
from api.cli.stack.certificate_authority import make as make_certificates
from api.cli.stack.certificates import Certificates
from tests.unit.repositories import Into, Repository, found


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "cache")


@pytest.fixture
def into(tmp_path: Path) -> Into:
    return Into(tmp_path)


@pytest.mark.parametrize(
    "repo",
    [
        "--upload-pack=touch pwned", "-oProxyCommand=touch pwned", "ext::sh -c touch% pwned", "fd::17", "http://a/b",
        "git://example.com/x", "ssh://-oProxyCommand=x/y", "-x@host:path", "git@-oProxyCommand=x:y", "../repository",
        "/etc", "file:///a b", "https://x/\n--y", "ext::sh://a", "FILE:///x", "",
    ],
)  # fmt: skip
async def test_only_urls_are_repositories(repo: str, checkout: Checkout, into: Into, tmp_path: Path) -> None:
    error = await into.error(checkout, repo, "d" * 40)
    assert (error.cause, error.retryable) == ("repository_invalid", False)
    assert not found(tmp_path, "pwned")


@pytest.mark.parametrize(
    "ref", ["--upload-pack=x", "-f", "a:b", "a..b", "*", "a b", "a\nb", "@{-1}", "x.lock", "^a", ""]
)
async def test_only_references_are_references(ref: str, repository: Repository, checkout: Checkout, into: Into) -> None:
    assert (await into.error(checkout, repository.url, repository.commit(a="1"), ref)).cause == "repository_invalid"


@pytest.mark.parametrize("sha", ["main", "HEAD", "--help", "D" * 40, "d" * 39, "d" * 40 + "\n", ":/a"])
async def test_only_commit_ids_are_commits(sha: str, repository: Repository, checkout: Checkout, into: Into) -> None:
    repository.commit(a="1")
    assert (await into.error(checkout, repository.url, sha)).cause == "unknown_commit"


@pytest.fixture
def refusing_server() -> Iterator[Callable[[int], str]]:
    """An HTTP server that answers with one status, as (status → URL)."""
    servers: list[HTTPServer] = []

    def start(status: int) -> str:
        class Refusal(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        server = HTTPServer(("127.0.0.1", 0), Refusal)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}/x.git"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "cause", "retryable"),
    [
        (401, "repository_auth", False), (403, "repository_auth", False), (404, "repository_not_found", False),
        (503, "repository_unreachable", True), (410, "repository_archived", False), (407, "repository_proxy", False),
    ],
)  # fmt: skip
async def test_a_server_that_refuses(
    status: int,
    cause: str,
    retryable: bool,
    refusing_server: Callable[[int], str],
    tmp_path: Path,
    into: Into,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    address = refusing_server(status)
    checkout = Checkout(tmp_path / "cache", allowed_protocols=("http",))
    error = await into.error(checkout, f"http://me:s3cret-word@{address}", "d" * 40)
    assert (error.cause, error.retryable) == (cause, retryable), error.message
    assert b"s3cret-word" not in into.log
    assert "s3cret-word" not in error.message
    assert "s3cret-word" not in (tmp_path / "workspace-1/.git/config").read_text()


async def test_hooks_and_filters_of_a_repository_do_not_run(
    repository: Repository, tmp_path: Path, checkout: Checkout, into: Into, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither those inside the commit, nor in a template, nor what the operator's own configuration would run."""
    pwned = tmp_path / "pwned"
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    hook = f"#!/bin/sh\ntouch {pwned}\n"
    (template / "post-checkout").write_text(hook)
    (template / "post-checkout").chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[init]\n\ttemplateDir = {template.parent}\n[core]\n\thooksPath = {template}\n\tfsmonitor = "touch {pwned}"\n'
        f'[filter "evil"]\n\tsmudge = "touch {pwned}; cat"\n\trequired = true\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(template.parent))
    (repository.path / ".githooks").mkdir()
    (repository.path / ".githooks" / "post-checkout").write_text(hook)
    sha = repository.commit(
        **{"a": "1", ".gitattributes": "* filter=evil\n", ".gitmodules": "[core]\n\tfsmonitor = x\n"}
    )
    for _ in range(2):  # git is asked for less where it is known that the id is a commit's
        workspace = await into(checkout, repository.url, sha)
        assert (workspace / "a").read_text() == "1"
        assert not pwned.exists()
        assert not (workspace / ".git" / "hooks").exists()


@pytest.mark.parametrize("name", [".git", ".GIT", ".Git", "GIT~1", ".g\u200cit", "..", "."])
async def test_a_tree_that_would_write_into_git_is_refused(
    name: str, repository: Repository, checkout: Checkout, into: Into
) -> None:
    inner = repository.git("hash-object", "-w", "--stdin", stdin="[core]\n\tfsmonitor = touch pwned\n")
    tree = repository.git("mktree", stdin=f"100644 blob {inner}\tconfig\n")
    raw = b"40000 " + name.encode() + b"\0" + bytes.fromhex(tree)
    sha = repository.commit_tree(raw)
    error = await into.error(checkout, repository.url, sha)
    assert (error.cause, error.retryable) == ("repository_invalid", False), error.message


async def test_submodules_are_left_alone(
    repository: Repository, checkout: Checkout, into: Into, tmp_path: Path
) -> None:
    modules = '[submodule "-x"]\n\tpath = sub\n\turl = -uecho pwned\n\tupdate = !touch pwned\n'
    (repository.path / ".gitmodules").write_text(modules)
    repository.git("add", ".gitmodules")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'a' * 40},sub")
    repository.git("commit", "-q", "-m", "submodule")
    for _ in range(2):
        workspace = await into(checkout, repository.url, repository.git("rev-parse", "HEAD"))
        assert list((workspace / "sub").iterdir()) == []
    assert not found(tmp_path, "pwned")


async def test_links_are_checked_out_as_links_and_not_written_through(
    repository: Repository, checkout: Checkout, into: Into, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (repository.path / "link").symlink_to(outside)
    repository.git("add", "-A")
    blob = repository.git("hash-object", "-w", "--stdin", stdin="x")
    sha = repository.commit()
    for _ in range(2):
        assert (await into(checkout, repository.url, sha) / "link").is_symlink()
    # One tree with a link and a folder of the same name: git must not write through the link.
    inner = repository.git("mktree", stdin=f"100644 blob {blob}\tpwned\n")
    link = repository.git("hash-object", "-w", "--stdin", stdin=str(outside))
    raw = b"120000 a\0" + bytes.fromhex(link) + b"40000 a\0" + bytes.fromhex(inner)
    await asyncio.gather(into(checkout, repository.url, repository.commit_tree(raw)), return_exceptions=True)
    assert list(outside.iterdir()) == []


async def test_a_certificate_that_nobody_vouches_for_is_told_apart_and_not_tried_again(
    checkout: Checkout, into: Into, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Certificates(tmp_path)
    make_certificates(files, ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    try:
        for host in ("127.0.0.1", "localhost"):  # nobody's word; and another host's
            error = await into.error(checkout, f"https://{host}:{server.server_port}/x.git", "d" * 40)
            assert (error.cause, error.retryable) == ("repository_certificate", False), error.message
            assert "GIT_SSL_CAINFO" in error.message
            monkeypatch.setenv("GIT_SSL_CAINFO", str(files.authority))
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("proxy", "retryable"),
    [("http://no.invalid:3128", False), ("http://localhost:9", True), ("http://{}", False)],
)
async def test_a_proxy_that_refuses_is_told_apart(
    proxy: str, retryable: bool, refusing_server: Callable[[int], str], into: Into, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("http_proxy", proxy.format(refusing_server(407).removesuffix("/x.git")))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    checkout = Checkout(tmp_path / "cache", allowed_protocols=("http",))
    error = await into.error(checkout, "http://example.invalid/x.git", "d" * 40)
    assert (error.cause, error.retryable) == ("repository_proxy", retryable), error.message
    assert "NO_PROXY" in error.message


async def test_a_branch_that_is_gone_with_its_commit(repository: Repository, checkout: Checkout, into: Into) -> None:
    repository.commit(a="1")
    error = await into.error(checkout, repository.url, "d" * 40, "feature/gone")
    assert (error.cause, error.retryable) == ("ref_gone", False)
    assert "feature/gone" in error.message
    assert (await into.error(checkout, repository.url, "d" * 40, "main")).cause == "unknown_commit"


def test_secrets_in_urls_are_redacted() -> None:
    assert redact("at 'https://tok3n@host/x', ssh://me:pw@host/y") == "at 'https://***@host/x', ssh://me:***@host/y"
    assert redact("ssh://git@host/x git@host:x https://host/a@b") == "ssh://git@host/x git@host:x https://host/a@b"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("fatal: write error: No space left on device\nfatal: early EOF", "disk_full"),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", "repository_auth"),
        ("git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.", "repository_auth"),
        ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", "repository_not_found"),
        ("fatal: the remote end hung up unexpectedly", "repository_unreachable"),
        ("fatal: unable to access 'https://x/y/': CONNECT tunnel failed, response 403", "repository_proxy"),
        ("fatal: unable to access 'https://x/y/': CONNECT tunnel failed, response 502", "repository_proxy"),
        ("fatal: unable to access 'https://x/y/': Received HTTP code 407 from proxy after CONNECT", "repository_proxy"),
        ("fatal: unable to access 'https://x:8/y/': Failed to connect to p port 3128: no", "repository_proxy"),
        ("fatal: unable to access 'https://x:8/y/': Failed to connect to x port 8: refused", "repository_unreachable"),
        ("fatal: unable to access 'https://x/y/': The requested URL returned error: 301", "repository_moved"),
        ("ERROR: Repository was archived.\nfatal: Could not read from remote repository.", "repository_archived"),
        ("fatal: unable to access 'https://x/y/': SSL certificate problem: unable", "repository_certificate"),
        ("fatal: unable to access 'https://x/y/': SSL_connect: Connection reset", "repository_unreachable"),
        ("something new", "checkout_failed"),
    ],
)  # fmt: skip
def test_what_git_says_has_a_cause(said: str, cause: str) -> None:
    error = explain(said, "Fetching x")
    assert error.cause == cause
    assert error.message.startswith("Fetching x failed")
