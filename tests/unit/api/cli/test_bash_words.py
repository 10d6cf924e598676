"""A word that bash takes apart is completed whole: by what bash says, and in a real bash at a terminal."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cli.bash_words import join_words, replaced

COMMAND = f"""#!{sys.executable}
import os, sys
if "_HYBRIDCI_COMPLETE" in os.environ:
    from hybridci_command import main
    main()
else:
    print("GOT<" + " ".join(sys.argv[1:]) + ">", flush=True)
"""


@pytest.mark.parametrize(
    ("words", "joined", "wanted"),
    [
        (["checkout", "@", "1"], "checkout@1", "@1.4"),
        (["checkout", "@"], "checkout@", "@1.4"),
        (["checkout@1"], "checkout@1", "checkout@1.4"),
        (["check"], "check", "checkout@1.4"),
        (["--env", "production", "checkout", "@", "1."], "checkout@1.", "@1.4"),
    ],
)
def test_what_bash_took_apart_is_one_word(words: list[str], joined: str, wanted: str) -> None:
    environ = {"COMP_WORDS": "\n".join(["hybridci", "deploy", "show", *words]), "COMP_CWORD": str(2 + len(words))}
    join_words(environ)
    assert environ["COMP_WORDS"].split("\n")[int(environ["COMP_CWORD"])] == joined
    assert replaced("checkout@1.4", joined, environ) == wanted


def test_of_a_colon_nothing_is_replaced() -> None:
    environ = {"COMP_WORDS": "hybridci\ncontext\nuse\n127.0.0.1\n:\n8", "COMP_CWORD": "5"}
    join_words(environ)
    assert replaced("127.0.0.1:8000", "127.0.0.1:8", environ) == "8000"


def test_what_stands_before_keeps_its_words() -> None:
    environ = {"COMP_WORDS": "hybridci\n--context\nci\n:\n8000\njob\nshow\n", "COMP_CWORD": "7"}
    before = dict(environ)
    join_words(environ)
    assert environ == before, "the last word is whole: nothing of it stays"
    odd = {"COMP_WORDS": "hybridci", "COMP_CWORD": "x"}
    join_words(odd)
    assert odd == {"COMP_WORDS": "hybridci", "COMP_CWORD": "x"}


class Bash:
    """At a terminal of its own, with the completion that typer installs."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        command = folder / "hybridci"
        command.write_text(COMMAND)
        command.chmod(0o755)
        asked = {**environ, "_HYBRIDCI_COMPLETE": "source_bash"}
        script = subprocess.run([str(command)], env=asked, capture_output=True, text=True, timeout=120, check=True)
        (folder / "completion").write_text(script.stdout)
        self._terminal, its_end = pty.openpty()
        path = f"{folder}:{environ['PATH']}"
        own = {**environ, "PATH": path, "PS1": "READY ", "TERM": "dumb", "INPUTRC": os.devnull}
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            env=own, stdin=its_end, stdout=its_end, stderr=its_end, start_new_session=True,
        )  # fmt: skip
        os.close(its_end)
        self._seen("READY ")
        self.typed(f"source '{folder}/completion'; hybridci loaded\n")

    def typed(self, text: str) -> str:
        """What the command was given."""
        os.write(self._terminal, text.encode())
        return self._seen(r"GOT<(.*?)>\r\nREADY ")[1]

    def close(self) -> None:
        os.write(self._terminal, b"exit\n")
        self._process.wait(60)
        os.close(self._terminal)

    def _seen(self, pattern: str) -> re.Match[str]:
        text = ""
        while (found := re.search(pattern, text)) is None:
            text += os.read(self._terminal, 4096).decode("utf-8", "replace")
        return found


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Bash]:
    """Of contexts, of which two are named by their port: whoever completes them asks no server."""
    folder = tmp_path / "hybridci"
    folder.mkdir()
    names = ["ci.example.com", "127.0.0.1:8000", "127.0.0.1:9443"]
    known = {name: {"url": f"https://{name}"} for name in names}
    (folder / "contexts.json").write_text(json.dumps({"contexts": known, "used": None}))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HYBRIDCI_")}
    (tmp_path / "bin").mkdir()
    shell = Bash(tmp_path / "bin", {**clean, "XDG_CONFIG_HOME": str(tmp_path)})
    yield shell
    shell.close()


def test_a_real_bash_completes_behind_a_sign_at_which_it_ends_words(bash: Bash) -> None:
    assert bash.typed("hybridci context use ci\t\n") == "context use ci.example.com"
    assert bash.typed("hybridci context use 127.0.0.1:9\t\n") == "context use 127.0.0.1:9443"
    assert bash.typed("hybridci context use 127.0.0.1:\t8\t\n") == "context use 127.0.0.1:8000"
    assert bash.typed("COMP_WORDBREAKS=${COMP_WORDBREAKS//:}; hybridci whole words\n") == "whole words"
    assert bash.typed("hybridci context use 127.0.0.1:8\t\n") == "context use 127.0.0.1:8000"
