"""The documentation leads somewhere: links, paths, commands and routes that it names exist. No server is needed.

Whether a command does what a page says is tried where the note above its block says; a block without a note is run by
``tests/e2e`` or CI word for word.
"""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from api.auth.permissions import ROUTES
from api.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/*.md")])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
_FENCE = re.compile(r"^(?P<note><!-- not run here: [^\n]+ -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_PATH = re.compile(r"`([\w./-]*/[\w./-]*|[\w-]+\.(?:py|toml|yml))`")
_SET_UP = "python3 -m venv .venv && .venv/bin/pip install -q --require-hashes -r "
_SEPARATORS = {"&&", "||", "|", ";", "\n"}


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The headings' names as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text("utf-8")), re.M)
    plain = (re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_link_is_dead(page: Path) -> None:
    dead: list[str] = []
    for link in _LINK.finditer(prose(page)):
        target, _, anchor = link["target"].partition("#")
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(link["target"])
    assert not dead


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        targets = (link["target"].partition("#")[0] for link in _LINK.finditer(prose(page)))
        ahead += [(page.parent / target).resolve() for target in targets if target and "://" not in target]
    assert {page.relative_to(ROOT).as_posix() for page in PAGES if page not in seen} == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 9_000


def test_the_readmes_second_command_is_what_ci_runs() -> None:
    _, test = re.findall(r"^python3 -m venv .+$", (ROOT / "README.md").read_text("utf-8"), re.M)
    assert test in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()


# --- what the tables name ---------------------------------------------------------------------------------------------


def rows(page: str) -> Iterator[str]:
    """The second cells of the tables that say where something is."""
    text = (ROOT / page).read_text("utf-8")
    section = text.split("\n## Where do I find …\n")[1].split("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith("| what |"):
            yield line.strip("|").split(" | ")[-1]


@pytest.mark.parametrize("page", ["README.md", "docs/tour.md"])
def test_what_the_table_names_is_there(page: str) -> None:
    cells = list(rows(page))
    assert len(cells) >= 10
    missing: list[str] = []
    for cell in cells:
        words = re.findall(r"`([^`]+)`", cell)
        paths = [word for word in words if "/" in word]
        missing += [path for path in paths if not (ROOT / path).exists()]
        folders = [ROOT / path for path in paths if (ROOT / path).is_dir()]
        for name in (word for word in words if re.fullmatch(r"[A-Za-z_]\w+", word)):
            files = [file for folder in folders for file in folder.rglob("*.py")]
            files += [ROOT / path for path in paths if path.endswith(".py")]
            if not any(_defines(file, name) for file in files):
                missing.append(f"{name} in {', '.join(paths)}")
    assert not missing


def _defines(file: Path, name: str) -> bool:
    return re.search(rf"^\s*(?:async def|def|class) {name}\b", file.read_text("utf-8"), re.M) is not None


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_paths_in_the_text_exist(page: Path) -> None:
    """Of what begins like a path of the project."""
    roots = {each.name for each in ROOT.iterdir()}
    if page.name == "CHANGELOG.md":  # what it tells of may be gone
        return
    named = {path for path in _PATH.findall(prose(page)) if path.split("/")[0] in roots and "<" not in path}
    named = {path for path in named if not path.startswith((".venv", ".hybridci"))}
    assert {path for path in named if not (ROOT / path).exists()} == set()


# --- commands ---------------------------------------------------------------------------------------------------------


def blocks(page: Path) -> Iterator[tuple[str, bool]]:
    """(text, has a note why it is not run here) of each block for a shell."""
    for block in _FENCE.finditer(page.read_text("utf-8")):
        if block["kind"] in {"sh", "bash", "shell", "console"}:
            yield block["text"], block["note"] is not None


def commands(text: str) -> Iterator[list[str]]:
    """The simple commands of a script, without assignments and redirections."""
    lines = re.sub(r"(?m)(?:^|\s+)# .*$", "", text).replace("\\\n", " ")
    lexer = shlex.shlex(lines, posix=True, punctuation_chars="&|;\n")
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t", "", True
    words: list[str] = []
    for token in [*lexer, "\n"]:
        if token.strip(" ") not in _SEPARATORS and set(token) != {"\n"}:
            words.append(token)
            continue
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            value = words.pop(0).partition("=")[2]
            if value.startswith("$("):
                words.insert(0, value.removeprefix("$("))
                words[-1] = words[-1].removesuffix(")")
        if words:
            yield _without_redirections(words)
        words = []


def _without_redirections(words: list[str]) -> list[str]:
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in {">", "<", ">>"}:
            next(rest, None)
        elif not word.startswith((">", "2>")):
            kept.append(word)
    return kept


def fault_of(words: list[str], *, whole: bool = True) -> str | None:
    """What is wrong with a command of ours. ``whole``: what it needs must be there."""
    command: Any = typer.main.get_command(app)
    name, given = "hybridci", words[1:]
    context = command.make_context(name, [], resilient_parsing=True)
    while hasattr(command, "get_command") and given and not given[0].startswith("-"):
        found = command.get_command(context, given[0])
        if found is None:
            return f"{name} has no command {given[0]}"
        command, name, given = found, f"{name} {given[0]}", given[1:]
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in given if re.match(r"--\w", word) and word.partition("=")[0] not in options]
    if unknown:
        return f"{name} has no {', '.join(unknown)}"
    if not whole or "--help" in given:
        return None
    try:
        values, _, _ = command.make_parser(context).parse_args(args=list(given))
    except Exception as error:  # typer's own kinds differ between its versions; the test shows the text
        return f"{name}: {error}"
    lacking = [p.name for p in command.params if p.required and not values.get(p.name)]
    return f"{name} lacks {', '.join(lacking)}" if lacking else None


def route_fault(words: list[str]) -> str | None:
    """What is wrong with a request to the API by curl."""
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if {"-d", "--data"} & set(words) else "GET"
    addresses = [
        found[1] for word in words if (found := re.match(r"(?:https?://)?(?:localhost|127\.0\.0\.1):\d+(/[^?]*)", word))
    ]
    for path in addresses:
        pattern = re.compile(r"\{[^}]+\}")
        if not any(
            route.startswith(f"{method} ") and re.fullmatch(pattern.sub("[^/]+", route.split(" ")[1]), path)
            for route in ROUTES
        ):
            return f"no route {method} {path}"
    return None if addresses else f"{words} asks no server of ours"


def target_fault(words: list[str]) -> str | None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    unknown = [word for word in words[1:] if "=" not in word and word not in targets]
    return f"the Makefile has no {unknown}" if unknown else None


def module_fault(words: list[str]) -> str | None:
    name = words[words.index("-m") + 1]
    return None if importlib.util.find_spec(name) else f"there is no module {name}"


def block_faults(text: str, noted: bool) -> Iterator[str]:
    for words in commands(text):
        program = words[0].rpartition("/")[2]
        fault: str | None = None
        if program == "hybridci":
            fault = fault_of(words)
        elif program == "curl":
            fault = route_fault(words)
        elif program == "make":
            fault = target_fault(words)
        elif program == "python" and "-m" in words:
            fault = module_fault(words)
        if fault:
            yield fault
    if not noted and not all(line.startswith(("#", _SET_UP)) for line in text.splitlines() if line):
        yield f"it is not said why this is not run: {text}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_in_blocks_exist_and_say_why_they_are_not_run(page: Path) -> None:
    assert [fault for text, noted in blocks(page) for fault in block_faults(text, noted)] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_in_the_text_exist(page: Path) -> None:
    named = re.findall(r"`((?:hybridci|make|python -m) [^`]+)`", prose(page))
    faults = [
        fault_of(words, whole=False)
        if words[0] == "hybridci"
        else target_fault(words)
        if words[0] == "make"
        else module_fault(words)
        for words in (shlex.split(text) for text in named)
    ]
    assert [fault for fault in faults if fault] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_routes_in_the_text_exist(page: Path) -> None:
    named = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`]*)`", prose(page))
    known = {re.sub(r"\{[^}]+\}", "{}", route) for route in ROUTES}
    assert {
        f"{verb} {path}" for verb, path in named if f"{verb} {re.sub(r'{[^}]+}', '{}', path)}" not in known
    } == set()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_tests_that_notes_name_exist(page: Path) -> None:
    notes = re.findall(r"^<!-- not run here: (.+) -->$", page.read_text("utf-8"), re.M)
    named = {path.rstrip(".,") for note in notes for path in re.findall(r"tests/[\w/.]+", note)}
    assert {path for path in named if not (ROOT / path).exists()} == set()


# --- the checks themselves --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hybridci job sumbit --repo .", "has no command sumbit"),
        ("hybridci job list --colour red", "has no --colour"),
        ("hybridci deploy rollback", "lacks"),
        ("A=b hybridci job list && hybridci job nothing", "has no command nothing"),
        ("HYBRIDCI_API_KEY=$(hybridci token swap --id-token-file F)", "has no command swap"),
        ("curl -fsS localhost:8000/api/dashboard/job", "no route GET /api/dashboard/job"),
        ("python -m tests.nothing", "no module"),
        ("make everything", "has no"),
        ("hybridci job list", "not said why"),
    ],
)
def test_a_wrong_block_is_reported(text: str, words: str) -> None:
    noted = words != "not said why"
    assert any(words in fault for fault in block_faults(text, noted))
