"""The kinds of values that requests are made of, and the rules that keep foreign text from being read otherwise.

Deliberately not here: the models that use them.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints

from workflows.contracts.ids import NAME_PATTERN

MAX_TIMEOUT_SECONDS: Final = 7 * 24 * 3600
_ENV_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
_REPO_SCHEMES: Final = ("https://", "ssh://", "file://")
_CREDENTIALS: Final = re.compile(r"[a-z]+://([^/@]*:[^/@]+|(gh[pousr]_|github_pat_|glpat-|glptt-)[^/@]*)@")
_SCP_LIKE: Final = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:(?!:)[^\s:].*$")


def _no_control_characters(text: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError("must not contain control characters")
    return text


def _utf8(text: str) -> str:
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise ValueError("must be valid UTF-8: it contains a lone surrogate")
    return text


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def _not_blank(text: str) -> str:
    """A name or a reason of white space alone would count as one, and tell nobody anything."""
    if text and not text.strip():
        raise ValueError("must not be blank")
    return text


def _repository(url: str) -> str:
    """Only https, ssh and file, and nothing git could read as an option (``--upload-pack``) or a helper (``ext::``)."""
    if any(character.isspace() for character in url):
        raise ValueError("must not contain white space")
    if not url.startswith(_REPO_SCHEMES) and not _SCP_LIKE.match(url):
        raise ValueError("must be an https://, ssh:// or file:// URL, or user@host:path")
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


def _relative_glob(pattern: str) -> str:
    if pattern.startswith(("/", "~")) or ".." in pattern.split("/") or "\\" in pattern:
        raise ValueError("must be a relative path or glob that stays inside the workspace")
    return pattern


Text = Annotated[str, AfterValidator(_utf8), AfterValidator(_no_nul)]
Line = Annotated[Text, AfterValidator(_no_control_characters)]
NotBlank: Final = AfterValidator(_not_blank)
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
EnvName = Annotated[str, StringConstraints(pattern=_ENV_NAME, max_length=256)]
EnvValue = Annotated[Text, StringConstraints(max_length=32 * 1024)]
ShortLine = Annotated[Line, StringConstraints(max_length=256)]
ArtifactGlob = Annotated[Line, StringConstraints(min_length=1, max_length=1024), AfterValidator(_relative_glob)]
WholeSeconds = Annotated[int, Field(ge=1, le=MAX_TIMEOUT_SECONDS)]
Repository = Annotated[Line, StringConstraints(min_length=1, max_length=2048), AfterValidator(_repository)]
CommitSha = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
Person = Annotated[Line, StringConstraints(min_length=1, max_length=256), NotBlank]
GitRef = Annotated[Line, StringConstraints(min_length=1, max_length=255), AfterValidator(_git_ref)]
ExitCode = Annotated[int, Field(ge=0, le=255)]
Millis = Annotated[int, Field(ge=0)]
