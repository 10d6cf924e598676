"""With which options and variables git is asked in a folder that may be somebody else's (``git`` says why)."""

from typing import Final

INHERITED: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""Set when git runs us from a hook; they would win over the folder that is meant."""
_SETTINGS: Final = (
    "safe.bareRepository=explicit", "core.fsmonitor=false", "core.hooksPath=/dev/null", "log.showSignature=false",
)  # fmt: skip
OPTIONS: Final = ["--no-pager", *(word for setting in _SETTINGS for word in ("-c", setting))]
LOCAL: Final = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
"""Nothing is fetched, and nothing written."""
