"""A repository, commands and a file become a job body; real git."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api.cli.beginning.repository import look
from api.cli.client.connection import USAGE, CliError
from api.cli.client.submit import SubmitOptions, build_body, local_git, parse_checkout, parse_duration, remote_git
from api.cli.client.submit_files import parse_inputs
from workflows.contracts.jobs import JobSpec


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "späces & 100%"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text("1")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first\n\nbody")
    git(folder, "tag", "-a", "v1", "-m", "one")
    git(folder, "commit", "-q", "--allow-empty", "-m", "second")
    return folder


def body(**options: Any) -> tuple[dict[str, Any], list[str]]:
    warnings: list[str] = []
    return build_body(SubmitOptions(**options), warnings.append), warnings


def test_a_subfolder_means_its_repository(repository: Path) -> None:
    built, warnings = body(repo=str(repository / "sub"), run=["true"])
    assert built == {
        "git_repo": repository.resolve().as_uri(),
        "git_commit_sha": git(repository, "rev-parse", "HEAD"),
        "git_author": "ann@example.com",
        "git_ref": "main",
        "git_commit_message": "second",
        "job_type": "command",
        "steps": [{"name": "true", "run": "true"}],
    }
    assert warnings == []
    assert JobSpec.model_validate(built).pool == "default"


def test_git_can_clone_the_url(repository: Path, tmp_path: Path) -> None:
    built, _ = body(repo=str(repository), run=["true"])
    git(tmp_path, "clone", "-q", built["git_repo"], "copy")
    assert git(tmp_path / "copy", "rev-parse", "HEAD") == built["git_commit_sha"]


def test_refs_and_short_commits(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD~1")
    tagged = local_git(str(repository), ref="v1")
    assert (tagged.git_commit_sha, tagged.git_ref, tagged.git_commit_message) == (first, "v1", "first\n\nbody")
    short = local_git(str(repository), commit=first[:8])
    assert (short.git_commit_sha, short.git_ref) == (first, None)
    assert local_git(str(repository), ref="HEAD~1").git_ref is None
    with pytest.raises(CliError, match="has no commit nowhere") as caught:
        local_git(str(repository), ref="nowhere")
    assert caught.value.exit_code == USAGE
    with pytest.raises(CliError, match="has no commit --all"):
        local_git(str(repository), ref="--all")


def test_a_bare_repository_and_a_hook_of_another(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    found = local_git(str(tmp_path / "bare.git"))
    assert found.git_repo == (tmp_path / "bare.git").resolve().as_uri()
    assert found.git_ref == "main"


def committed_bare(folder: Path, mark: Path) -> Path:
    """A clone of somebody else's, with a folder of committed files that git takes for a repository."""
    tools = folder / "tools"
    git(folder, "clone", "-q", "--bare", ".", "tools")
    shutil.rmtree(tools / "hooks")
    settings(tools / "config", mark)
    (tools / ".gitattributes").write_text("* filter=evil\n")
    (tools / "HEAD").write_text("ref: refs/heads/main\n")
    return tools


def settings(config: Path, mark: Path) -> None:
    """Whatever git may run by itself when it only reads."""
    run = f"touch {mark}"
    for name, value in {
        "core.bare": "false", "core.worktree": ".", "core.fsmonitor": f"{run}; false", "core.pager": run,
        "core.sshCommand": run, "core.hooksPath": str(config.parent / "hooks"), "log.showSignature": "true",
        "gpg.program": str(config.parent / "sign"), "diff.external": run, "filter.evil.clean": run,
        "filter.evil.process": run, "filter.e=v.il.clean": run, "filter.evil.required": "true",
        "protocol.ext.allow": "always", "remote.origin.url": f"ext::{run}", "remote.origin.uploadpack": run,
        "remote.origin.promisor": "true", "credential.helper": f"!{run}", "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin", "url.ext::touch .insteadOf": "https://never.invalid",
    }.items():  # fmt: skip
        git(config.parent, "config", "--file", str(config), name, value)


def test_a_committed_bare_repository_runs_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    tools = committed_bare(repository, mark)
    job = repository / "ci.yml"
    job.write_text("git_repo: ./tools\nsteps: [{name: a, run: 'true'}]\n")
    with pytest.raises(CliError, match=re.escape(f"write git_repo: {tools.resolve().as_uri()}")):
        body(file=job)
    job.write_text("git_repo: ./tools/objects\nsteps: [{name: a, run: 'true'}]\n")
    with pytest.raises(CliError, match="in a bare repository"):
        body(file=job)
    found = local_git(str(tools))
    assert (found.git_repo, found.git_ref, found.warnings) == (tools.resolve().as_uri(), "main", [])
    with pytest.raises(CliError, match="has no commit"):
        local_git(str(tools), commit="1" * 40)
    monkeypatch.chdir(tools)
    with pytest.raises(CliError, match="in no git repository"):
        look(Path.cwd())
    with pytest.raises(CliError, match="could not be asked"):
        remote_git("https://never.invalid/x", ref="main")
    assert not mark.exists()


def test_the_settings_of_a_clone_run_nothing(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "ran"
    (repository / ".gitattributes").write_text("* filter=evil\nsub/* filter=e=v.il\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "third")
    (repository / "sub" / "file").write_text("2")
    (repository / ".gitattributes").touch()
    settings(repository / ".git" / "config", mark)
    git(repository, "config", "--file", ".git/config", "core.worktree", str(repository))
    built, warnings = body(repo=str(repository), run=["true"])
    assert (built["git_repo"], len(warnings)) == (repository.resolve().as_uri(), 1)
    with pytest.raises(CliError, match="has no commit"):
        local_git(str(repository), commit="1" * 40)
    look(repository)
    monkeypatch.chdir(repository)
    with pytest.raises(CliError, match="could not be asked"):
        remote_git("https://never.invalid/x", ref="main")
    assert not mark.exists()


def test_only_committed_code_runs(repository: Path) -> None:
    (repository / "sub" / ".hybridci").mkdir()
    (repository / "sub" / ".hybridci" / "admin.key").write_text("k")
    assert body(repo=str(repository), run=["true"])[1] == []
    (repository / "sub" / "file").write_text("2")
    (repository / "new").write_text("n")
    _, warnings = body(repo=str(repository), run=["true"])
    assert len(warnings) == 1
    assert warnings[0].startswith("2 changes in")
    assert body(repo=str(repository), ref="v1", run=["true"])[1] == []


def test_no_repository_and_no_commit(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="not a git repository"):
        local_git(str(tmp_path))
    with pytest.raises(CliError, match="no such folder"):
        local_git(str(tmp_path / "nothing"))
    git(tmp_path, "init", "-q")
    with pytest.raises(CliError, match="no commit yet"):
        local_git(str(tmp_path))


def test_a_repository_elsewhere(repository: Path) -> None:
    url = repository.resolve().as_uri()
    head, first = git(repository, "rev-parse", "HEAD"), git(repository, "rev-parse", "HEAD~1")
    assert remote_git(url, ref="main").git_commit_sha == head
    assert remote_git(url, ref="v1").git_commit_sha == first
    assert remote_git("https://never.invalid/r.git", commit="a" * 40).git_commit_sha == "a" * 40
    for wrong, message in (
        ({}, "--ref"), ({"commit": "abc"}, "40 hex"), ({"ref": "none"}, "no branch or tag"),
    ):  # fmt: skip
        with pytest.raises(CliError, match=message):
            remote_git(url, **wrong)
    with pytest.raises(CliError, match="could not be asked"):
        remote_git(f"{url}-nothing", ref="main")


@pytest.mark.parametrize("said", ["checkout", "team/checkout", "nothing-there"])
def test_a_bare_name_is_no_folder(tmp_path: Path, said: str) -> None:
    """`git_repo: checkout` was told as --repo, which nobody had given."""
    (tmp_path / "team" / "checkout").mkdir(parents=True)
    (tmp_path / "checkout").mkdir()
    file = tmp_path / "job.yaml"
    file.write_text(f"git_repo: {said}\nsteps: [{{name: one, run: 'true'}}]\n")
    with pytest.raises(CliError) as refused:
        body(file=file)
    assert refused.value.message.startswith(f"git_repo {said} in {file} is no address")
    assert f"write ./{said}," in refused.value.message
    assert "--repo" not in refused.value.message


def test_the_home_of_nobody_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("git_repo: ~nobody-here/a\nsteps: [{name: one, run: 'true'}]\n")
    with pytest.raises(CliError, match="there is no folder"):
        body(file=file)


def test_file_then_options(repository: Path, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(
        "job_type: test\npool: linux\nenv: {A: '1', B: '2'}\ntags: [2026-11-21]\nretry: {backoff: 3}\n"
        "steps: [{name: one, run: 'true', timeout_seconds: 5}]\n"
    )
    built, _ = body(
        file=file, repo=str(repository), env=["B=3"], tag=["t"], retries=1, timeout="2h", priority="low", author="me@x"
    )
    assert built["steps"] == [{"name": "one", "run": "true", "timeout_seconds": 5}]
    assert (built["job_type"], built["pool"], built["env"]) == ("test", "linux", {"A": "1", "B": "3"})
    assert (built["tags"], built["retry"]) == (["2026-11-21", "t"], {"backoff": 3, "max_attempts": 2})
    assert (built["timeout_seconds"], built["priority"], built["git_author"]) == (7200, "LOW", "me@x")
    assert built["git_commit_sha"] == git(repository, "rev-parse", "HEAD")
    assert body(file=file, repo=str(repository), run=["other"])[0]["steps"] == [{"name": "other", "run": "other"}]


def test_a_complete_file_needs_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "job.json"
    file.write_text('{"git_repo": "https://x/r", "git_commit_sha": "c", "git_author": "a", "job_type": "t"}')
    assert body(file=file)[0] == {"git_repo": "https://x/r", "git_commit_sha": "c", "git_author": "a", "job_type": "t"}


def test_text_in_a_file_stays_text(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(
        "git_repo: https://x/r\ngit_commit_sha: c\ngit_author: a\njob_type: t\n"
        "env: {DEBUG: on, MODE: 0777, SINCE: 1:30, DAY: 2026-11-21}\n"
    )
    assert body(file=file)[0]["env"] == {"DEBUG": "on", "MODE": "0777", "SINCE": "1:30", "DAY": "2026-11-21"}


ALIASES_OF_ALIASES = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "neither YAML nor JSON"),
        ("- 1", "holds no job"),
        ("a: .nan", "neither YAML"),
        ("a: !!binary YQ==", "line 1: the tag"),
        ("[" * 10_000, "neither YAML nor JSON"),
        ("a: &a [*a]", "neither YAML nor JSON"),
        (ALIASES_OF_ALIASES, "aliases written out it is too large"),
        ("a: 1\n'a': 2", "line 2: the key 'a' is there twice"),
        ("a: 1\n--- b", "a second document"),
        ("a: " + "x" * (1 << 20), "more than 1048576 bytes"),
    ],
)
def test_unusable_files(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "job.yaml").write_text(content)
    with pytest.raises(CliError, match=message) as caught:
        body(file=tmp_path / "job.yaml")
    assert caught.value.exit_code == USAGE


@pytest.mark.parametrize(
    "options", [{"run": ["a"], "env": ["A"]}, {"run": ["a"], "name": ["x", "y"]}, {}, {"run": ["a"], "timeout": "soon"}]
)
def test_unusable_options(repository: Path, options: dict[str, Any]) -> None:
    with pytest.raises(CliError) as caught:
        body(repo=str(repository), **options)
    assert caught.value.exit_code == USAGE


def test_durations() -> None:
    assert [parse_duration(text, "-") for text in ("90", "90s", "15m", "2h", "1d", "3 min")] == [
        90, 90, 900, 7200, 86_400, 180,
    ]  # fmt: skip
    for wrong in ("0", "-1", "1.5h", "1w", "", "\u0663", "1_0", "9" * 5000, "9" * 5000 + "d"):
        with pytest.raises(CliError):
            parse_duration(wrong, "--timeout")


def test_how_a_job_is_checked_out_ended_and_gone_on_with(repository: Path, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("checkout: {tags: true, depth: 3}\ncancel: {grace_seconds: 5}\nsteps: [{name: a, run: b}]\n")
    built, _ = body(
        repo=str(repository), file=file, checkout=["submodules,lfs", "depth=1", "path=src"], cancel_signal="TERM",
        expand=True, resume=True,
    )  # fmt: skip
    assert built["checkout"] == {"tags": True, "depth": 1, "submodules": True, "lfs": True, "path": "src"}
    assert built["cancel"] == {"signal": "TERM", "grace_seconds": 5}
    spec = JobSpec.model_validate(built)
    assert (spec.expand, spec.resume, spec.checkout.depth, spec.checkout.path) == (True, "step", 1, "src")
    for odd in ("\u0663", "1_0", "9" * 5000):
        assert parse_checkout([f"depth={odd}"]) == {"depth": odd}, "no number: the API says so"


@pytest.mark.parametrize("word", ["", "=1", "depth="])
def test_a_checkout_that_says_nothing_is_named(word: str) -> None:
    with pytest.raises(CliError, match="says nothing") as caught:
        parse_checkout([word])
    assert caught.value.exit_code == USAGE


def test_files_of_other_jobs_and_those_to_keep(repository: Path) -> None:
    whole = {"3f2a": "3f2a9c01-5b7e-4f0e-9d6a-2f1f6f1c7d10"}
    given = ["3f2a:dist/*", "branch=main,type=build,path=in:a:b", "3f2a:!dist/x", "branch=x"]
    inputs = parse_inputs(given, lambda job_id: whole[job_id])
    assert inputs == [
        {"job": whole["3f2a"], "artifacts": ["dist/*", "!dist/x"]},
        {"branch": "main", "job_type": "build", "path": "in", "artifacts": ["a:b"]},
        {"branch": "x"},
    ]
    built, _ = body(
        repo=str(repository), run=["true"], inputs=inputs, artifact=["dist/*", "!dist/x"], artifacts_if_none="fail",
        artifacts_expire="7d",
    )  # fmt: skip
    spec = JobSpec.model_validate(built)
    assert [each.job or each.branch for each in spec.inputs] == [whole["3f2a"], "main", "x"]
    assert (spec.artifacts, spec.artifact_rules.if_none) == (["dist/*", "!dist/x"], "fail")
    assert spec.artifact_rules.expires == 7 * 86_400


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("main:dist/*", "branch=main"),
        ("3f2a:", "behind the colon"),
        ("branch=", "'branch=' says nothing"),
        ("branch=main,pool=x", "'pool=x' says nothing"),
        ("", "'' says nothing"),
        ("3f2a,3f2b", "names two jobs"),
    ],
)
def test_an_input_that_says_nothing_is_named(text: str, words: str) -> None:
    with pytest.raises(CliError, match=re.escape(words)) as caught:
        parse_inputs([text], lambda job_id: job_id)
    assert caught.value.exit_code == USAGE


def test_artifacts_of_options_join_those_of_the_file(tmp_path: Path, repository: Path) -> None:
    """A map in the file was lost with its rules as soon as --artifact was given."""
    file = tmp_path / "job.yaml"
    file.write_text("artifacts: {paths: [a], if_none: fail}\nsteps: [{name: a, run: b}]\n")
    built, _ = body(repo=str(repository), file=file, artifact=["b"])
    assert built["artifacts"] == {"paths": ["a", "b"], "if_none": "fail"}
    file.write_text("artifacts: [a]\nsteps: [{name: a, run: b}]\n")
    assert body(repo=str(repository), file=file, artifact=["b"])[0]["artifacts"] == ["a", "b"]
    assert body(repo=str(repository), file=file)[0]["artifacts"] == ["a"]
