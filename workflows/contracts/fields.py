"""The kinds of values that requests are made of, and the rules that keep foreign text from being read otherwise.

What is *incoming* (validated in the context ``INCOMING``) is held to more than what is read back from a store or a
history: text that people read and compare must be what it looks like, but what was taken once stays readable.
Deliberately not here: the models that use them.
"""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, StringConstraints, ValidationInfo
from pydantic_core import CoreSchema

from workflows.contracts.folding import looks_blank
from workflows.contracts.ids import NAME_PATTERN

MAX_TIMEOUT_SECONDS: Final = 7 * 24 * 3600
MAX_TEXT_CHARACTERS: Final = 4096
"""What a record or an event keeps of one text. More than any field lets a caller write."""
_ENV_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
_REPO_SCHEMES: Final = ("https://", "ssh://", "file://", "http://", "git://")
_CREDENTIALS: Final = re.compile(r"[a-z]+://([^/@]*:[^/@]+|(gh[pousr]_|github_pat_|glpat-|glptt-)[^/@]*)@")
_SCP_LIKE: Final = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:(?!:)[^\s:].*$")


IS_MILLIS: Final = "x-epoch-millis"
"""What the JSON schema of a time says."""
INCOMING: Final[dict[str, bool]] = {"incoming": True}
"""The context of what comes from outside just now: ``Model.model_validate(…, context=INCOMING)``."""
_C1: Final = r"\x80-\x9f"
_REORDERING: Final = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"
_UNSEEN: Final = (
    r"\xad\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2065\u3164\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
"""Nobody sees these, and no text of today needs them."""
_IN_WRITING: Final = r"\u034f\u180b-\u180d\u180f"
"""Not seen either, and part of how some scripts are written."""
_VARIANTS: Final = r"\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""They choose the form of the sign before them: of a symbol (an emoji), of an ideograph."""
_JOINERS: Final = r"\u200c\u200d"
_LINE_ENDS: Final = r"\u2028\u2029"
_MISLEADING: Final = re.compile(f"[{_C1}{_REORDERING}{_UNSEEN}{_LINE_ENDS}]")
_IN_A_LINE: Final = re.compile(
    rf"[\x00-\x1f\x7f{_JOINERS}{_IN_WRITING}]|(?:(?<![^\s\w])(?<![\u2e80-\U0003ffff])|^)[{_VARIANTS}](?!\u20e3)"
    rf"|{_MISLEADING.pattern}"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_IN_PROSE: Final = re.compile(rf"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|{_MISLEADING.pattern}")


def misleading_in(text: str, *, lines: bool) -> str | None:
    """What is wrong with text that people read: a sign that nobody sees, that turns the order of what is shown, or that
    steers a terminal; or nothing but blanks. None: it is what it looks like.

    ``lines``: it may have several, with tabs. Emoji and several scripts are written with joiners, so these pass there;
    a name that differs from another by a joiner only does not.
    """
    if text and looks_blank(text):
        return "must not be blank"
    found = (_IN_PROSE if lines else _IN_A_LINE).search(text)
    return None if found is None else f"must not contain control or invisible characters (U+{ord(found[0]):04X})"


def without_misleading(text: str, *, lines: bool) -> str:
    """With a blank for each such character: for text whose sender cannot be asked to correct it."""
    return (_IN_PROSE if lines else _IN_A_LINE).sub(" ", text)


def shortened(text: str, most: int = MAX_TEXT_CHARACTERS) -> str:
    """The text, or as much of its beginning as leaves room to say that it was cut, and how long it was."""
    if len(text) <= most:
        return text
    end = f" … (cut: it had {len(text)} characters)"
    return text[: max(0, most - len(end))] + end


def in_brief(text: str, most: int = 60) -> str:
    """How a step, or a command, is called in sentences and tables: its first line, cut to so many characters."""
    first, *more = [line for line in text.strip().splitlines() if line.strip()] or [""]
    line = first.strip()
    cut = len(line) > most or bool(more)
    return line if not cut else f"{line[: most - 1].rstrip()}…"


def _clear_line(text: str, info: ValidationInfo) -> str:
    return _clear(text, info, lines=False)


def _clear_prose(text: str, info: ValidationInfo) -> str:
    return _clear(text, info, lines=True)


def _clear(text: str, info: ValidationInfo, *, lines: bool) -> str:
    if info.context is INCOMING and (wrong := misleading_in(text, lines=lines)) is not None:
        raise ValueError(wrong)
    return text


def _no_control_characters(text: str) -> str:
    if _CONTROL.search(text) is not None:
        raise ValueError("must not contain control characters")
    return text


def _utf8(text: str) -> str:
    if _SURROGATE.search(text) is not None:
        raise ValueError("must be valid UTF-8: it contains a lone surrogate")
    return text


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def _not_blank(text: str, info: ValidationInfo) -> str:
    """A name or a reason of white space alone would count as one, and tell nobody anything; what comes in must not look
    like one either.
    """
    if text and (not text.strip() or (info.context is INCOMING and looks_blank(text))):
        raise ValueError("must not be blank")
    return text


def is_path(repository: str) -> bool:
    """Whether it is a folder's path and no address: ``.``, ``./a``, ``../b``, ``/srv/b``, ``~/b``."""
    return repository in {".", ".."} or repository.startswith(("./", "../", "/", "~"))


def _repository(url: str) -> str:
    """Nothing git could read as an option (``--upload-pack``) or a helper (``ext::``). Whether ``http`` and ``git`` are
    good enough, an agent's operator decides.
    """
    if is_path(url):
        raise ValueError(
            "is a folder's path, which only `hybridci` on the machine of that folder can resolve: give the "
            "repository's address"
        )
    if any(character.isspace() for character in url):
        raise ValueError("must not contain white space")
    if not url.startswith(_REPO_SCHEMES) and not _SCP_LIKE.match(url):
        raise ValueError(
            "must be an https://, ssh:// or file:// URL, or user@host:path (http:// and git:// where agents allow them)"
        )
    host = url.split("://", 1)[-1]
    if host.startswith("-") or "@-" in host:
        raise ValueError("its host must not begin with '-'")
    if _CREDENTIALS.match(url):
        raise ValueError("must not carry a password or token: the agent has its own credentials")
    return url


def _git_ref(ref: str) -> str:
    """The rules of git-check-ref-format that keep a ref from being an option, a range or a path trick."""
    if ref.startswith("-") or ".." in ref or ref.endswith((".lock", "/", ".")) or "@{" in ref or "//" in ref:
        raise ValueError("is not a valid git reference")
    if any(character in " ~^:?*[\\" for character in ref):
        raise ValueError("is not a valid git reference")
    return ref


def relative_glob(pattern: str) -> str:
    """A pattern that stays inside the workspace. Raises ValueError."""
    path = pattern.removeprefix("!")
    if not path or path.startswith(("/", "~")) or ".." in path.split("/") or "\\" in path:
        raise ValueError("must be a relative path or glob that stays inside the workspace")
    return pattern


class _Millis:
    """Marks the schema of a time, so that answers can say it in words too. Costs nothing when values are read."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), IS_MILLIS: True}


Text = Annotated[str, AfterValidator(_utf8), AfterValidator(_no_nul)]
Prose = Annotated[Text, AfterValidator(_clear_prose)]
"""What people write in sentences: reasons, comments, commit messages. May have several lines."""
ReportedLine = Annotated[Text, AfterValidator(_no_control_characters)]
"""What a process says: one that nobody can ask to say it otherwise."""
Line = Annotated[ReportedLine, AfterValidator(_clear_line)]
NotBlank: Final = AfterValidator(_not_blank)
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
EnvName = Annotated[str, StringConstraints(pattern=_ENV_NAME, max_length=256)]
EnvValue = Annotated[Text, StringConstraints(max_length=32 * 1024)]
ShortLine = Annotated[Line, StringConstraints(max_length=256)]
ArtifactGlob = Annotated[Line, StringConstraints(min_length=1, max_length=1024), AfterValidator(relative_glob)]
WholeSeconds = Annotated[int, Field(ge=1, le=MAX_TIMEOUT_SECONDS)]
Repository = Annotated[Line, StringConstraints(min_length=1, max_length=2048), AfterValidator(_repository)]
CommitSha = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
CommitStart = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{4,64}$")]
"""A commit, or how it begins."""
JobIdStart = Annotated[str, StringConstraints(pattern=r"^[0-9a-f][0-9a-f-]{3,35}$")]
"""A job's id, or how it begins."""
Person = Annotated[Line, StringConstraints(min_length=1, max_length=256), NotBlank]
GitRef = Annotated[Line, StringConstraints(min_length=1, max_length=255), AfterValidator(_git_ref)]
ExitCode = Annotated[int, Field(ge=0, le=255)]
Millis = Annotated[int, Field(ge=0), _Millis()]
"""Milliseconds since the epoch, UTC."""
SignedMillis = Annotated[int, Field(ge=0)]
"""The same in what is signed: an answer says no more than was signed."""
