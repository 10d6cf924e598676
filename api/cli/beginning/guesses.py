"""What builds, tests and deploys a repository, guessed from the files at its top.

The authors' own words win: a target of the Makefile over what a language's tools would do. What is guessed is shown
and may be wrong; nothing is run. Deliberately not here: the file that is written (``text``).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from api.cli.beginning.reading import json_of, map_of, text_of, toml_of

_TARGET: Final = re.compile(r"(?m)^([A-Za-z][A-Za-z0-9_-]*)[ \t]*:(?![=:])")
_NO_TEST: Final = "no test specified"
_TEST_EXTRAS: Final = ("test", "tests", "testing", "dev")


@dataclass(frozen=True, slots=True)
class GuessedStep:
    """A step, and the file that it follows from."""

    name: str
    run: str
    because: str


@dataclass(slots=True)
class Guesses:
    """Steps by what they are for."""

    build: list[GuessedStep] = field(default_factory=list[GuessedStep])
    test: list[GuessedStep] = field(default_factory=list[GuessedStep])
    deploy: list[GuessedStep] = field(default_factory=list[GuessedStep])

    def all(self) -> list[GuessedStep]:
        """In the order in which they run."""
        return [*self.build, *self.test, *self.deploy]


def guess(top: Path) -> Guesses:
    """Of the folder at the repository's top. What cannot be read is passed over."""
    found = Guesses()
    _make(top, found)
    _scripts(top, found)
    if not found.test:
        for look in _LANGUAGES:
            found.test += look(top)
    if not found.build:
        found.build += _node(top, "build")
    if not found.deploy:
        found.deploy += _node(top, "deploy")
    if (top / "Dockerfile").is_file() and not found.build:
        found.build.append(GuessedStep("image", 'docker build -t "app:$HYBRIDCI_COMMIT" .', "Dockerfile"))
    return found


def _make(top: Path, found: Guesses) -> None:
    name = next((name for name in ("GNUmakefile", "makefile", "Makefile") if (top / name).is_file()), None)
    if name is None:
        return
    targets = dict.fromkeys(_TARGET.findall(text_of(top / name)))
    for steps, wanted in (
        (found.build, ("build",)), (found.test, ("lint", "test" if "test" in targets else "check")),
        (found.deploy, ("deploy",)),
    ):  # fmt: skip
        steps += [GuessedStep(target, f"make {target}", f"{name}: {target}") for target in wanted if target in targets]
    if [step.name for step in found.test] == ["lint"]:
        found.test.clear()  # the tests are elsewhere, and their tools may lint too


def _scripts(top: Path, found: Guesses) -> None:
    if found.deploy:
        return
    for path in ("deploy.sh", "scripts/deploy.sh", "bin/deploy", "script/deploy"):
        if (top / path).is_file():
            found.deploy.append(GuessedStep("deploy", f"bash {path}", path))
            return


def _python(top: Path) -> Iterator[GuessedStep]:
    project = toml_of(top / "pyproject.toml")
    tools = map_of(project.get("tool"))
    if (top / "tox.ini").is_file() or "tox" in tools:
        yield GuessedStep(
            "tox", _in_own_python("tox", ".venv/bin/tox"), "tox.ini" if not tools.get("tox") else "pyproject"
        )
        return
    marks = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "pytest.ini")
    mark = next((name for name in marks if (top / name).is_file()), None)
    if mark is None:
        return
    if not _uses_pytest(top, tools):
        if any(top.glob("test*.py")) or any(top.glob("tests/test*.py")):
            yield GuessedStep("unit", "python3 -m unittest discover", "files named test*.py")
        return
    if (top / "uv.lock").is_file():
        yield GuessedStep("pytest", "uv run pytest -q", "uv.lock")
    elif (top / "poetry.lock").is_file():
        yield GuessedStep("pytest", "poetry install --no-interaction\npoetry run pytest -q", "poetry.lock")
    else:
        yield GuessedStep("pytest", _in_own_python(_requirements(top, project), ".venv/bin/pytest -q"), mark)


def _uses_pytest(top: Path, tools: dict[str, Any]) -> bool:
    if "pytest" in tools or any((top / name).is_file() for name in ("pytest.ini", "conftest.py", "tests/conftest.py")):
        return True
    files = (*top.glob("requirements*.txt"), top / "pyproject.toml", top / "setup.cfg")
    return "pytest" in "".join(text_of(file) for file in files)


def _requirements(top: Path, project: dict[str, Any]) -> str:
    extras = map_of(map_of(project.get("project")).get("optional-dependencies"))
    extra = next((name for name in _TEST_EXTRAS if name in extras), None)
    wanted = ["pytest"]
    if "project" in project or (top / "setup.py").is_file():
        wanted.append("-e ." if extra is None else f"-e '.[{extra}]'")
    names = ("requirements.txt", "requirements-dev.txt", "requirements-test.txt", "dev-requirements.txt")
    return " ".join([*wanted, *(f"-r {name}" for name in names if (top / name).is_file())])


def _in_own_python(wanted: str, then: str) -> str:
    return f"python3 -m venv .venv\n.venv/bin/pip install -q {wanted}\n{then}"


def _node_tests(top: Path) -> list[GuessedStep]:
    return [*_node(top, "lint"), *_node(top, "test")] if _node(top, "test") else []


def _node(top: Path, script: str) -> list[GuessedStep]:
    said = map_of(map_of(json_of(top / "package.json")).get("scripts")).get(script)
    if not isinstance(said, str) or _NO_TEST in said:
        return []
    tools = (
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile", "pnpm run"),
        ("yarn.lock", "yarn install --frozen-lockfile", "yarn run"),
        ("bun.lock", "bun install --frozen-lockfile", "bun run"),
        ("package-lock.json", "npm ci", "npm run"),
    )
    for lock, install, run in tools:
        if (top / lock).is_file():
            return [GuessedStep(script, f"{install}\n{run} {script}", f"package.json: {script}, {lock}")]
    return [GuessedStep(script, f"npm install\nnpm run {script}", f"package.json: {script}")]


def _go(top: Path) -> Iterator[GuessedStep]:
    if (top / "go.mod").is_file():
        yield GuessedStep("vet", "go vet ./...", "go.mod")
        yield GuessedStep("go-test", "go test ./...", "go.mod")


def _rust(top: Path) -> Iterator[GuessedStep]:
    if (top / "Cargo.toml").is_file():
        locked = " --locked" if (top / "Cargo.lock").is_file() else ""
        yield GuessedStep("cargo-test", f"cargo test{locked}", "Cargo.toml")


def _java(top: Path) -> Iterator[GuessedStep]:
    if (top / "pom.xml").is_file():
        yield GuessedStep("maven", f"{'./mvnw' if (top / 'mvnw').is_file() else 'mvn'} -B verify", "pom.xml")
    elif (
        build := next((name for name in ("build.gradle", "build.gradle.kts") if (top / name).is_file()), None)
    ) is not None:
        yield GuessedStep("gradle", f"{'./gradlew' if (top / 'gradlew').is_file() else 'gradle'} check", build)


def _ruby(top: Path) -> Iterator[GuessedStep]:
    if (top / "Gemfile").is_file():
        yield GuessedStep(
            "ruby", f"bundle install\nbundle exec {'rspec' if (top / 'spec').is_dir() else 'rake test'}", "Gemfile"
        )


def _dotnet(top: Path) -> Iterator[GuessedStep]:
    found = next((file.name for kind in ("*.sln", "*.csproj", "*.fsproj") for file in sorted(top.glob(kind))), None)
    if found is not None:
        yield GuessedStep("dotnet", "dotnet test", found)


_LANGUAGES: Final[tuple[Callable[[Path], Any], ...]] = (_python, _node_tests, _go, _rust, _java, _ruby, _dotnet)
