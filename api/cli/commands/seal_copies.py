"""The seals that the API shows, checked here: against a copy that was kept elsewhere, and with a key of one's own.

Deliberately not here: the verification of the events themselves, which the API does.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from api.cli.client.connection import USAGE, CliError
from api.cli.client.http import ApiClient
from api.cli.keys.seal_keys import is_signed
from workflows.contracts.audit.seals import SealChain, SignedSeal
from workflows.contracts.audit.verification import fault_words

SEALS: Final = "/api/audit/seals"
_PAGE: Final = 100
_MOST_NAMED: Final = 20


class SealCopies:
    """The copy in a file: of each seal a digest, by its number. A seal may stand in it more than once."""

    def __init__(self, path: Path) -> None:
        """Raises CliError."""
        self._path = path
        self._known: dict[int, bytes] = {}
        self.faults: list[str] = []
        self._read()

    def __len__(self) -> int:
        return len(self._known)

    def compare(self, seal: SignedSeal) -> str | None:
        """What is wrong with a seal that the API shows; None: it is that of the copy, or the copy has none."""
        kept = self._known.pop(seal.number, None)
        if kept is None or kept == _digest(seal):
            return None
        return f"seal {seal.number} is not the one that the copy has: it was rewritten."

    def left(self) -> Iterator[str]:
        """What the copy has and the API does not show, once all seals were compared."""
        gone = sorted(self._known)
        begin = 0
        for index, number in enumerate(gone):
            if index + 1 == len(gone) or gone[index + 1] != number + 1:
                first = gone[begin]
                yield (
                    f"seal {number} is in the copy and was taken from the trail."
                    if first == number
                    else f"seals {first} to {number} are in the copy and were taken from the trail."
                )
                begin = index + 1

    def _read(self) -> None:
        try:
            with self._path.open("rb") as lines:
                for count, line in enumerate(lines, start=1):
                    if line.strip():
                        self._take(line, count)
        except OSError as error:
            raise CliError(
                f"--seals names {self._path}, which cannot be read ({error.strerror}): name another file.", USAGE
            ) from None
        if not self._known:
            raise CliError(f"{self._path} (--seals) holds no seal: one JSON object a line is needed.", USAGE)

    def _take(self, line: bytes, count: int) -> None:
        try:
            seal = SignedSeal.model_validate_json(line)
        except ValueError:
            self.faults.append(f"line {count} of the copy is no seal.")
            return
        if self._known.setdefault(seal.number, _digest(seal)) != _digest(seal):
            self.faults.append(f"the copy has two different seals of number {seal.number}.")


def compare_seals(api: ApiClient, copies: SealCopies | None, keys: Mapping[str, str] | None) -> Iterator[str]:
    """What is wrong with the seals that the API shows. Raises CliError."""
    chain = SealChain.begin(is_signed, keys)
    behind = 0
    while True:
        page: Any = api.get(SEALS, {"behind": behind, "limit": _PAGE})
        for item in page["items"]:
            seal = SignedSeal.model_validate(item)
            wrong = None if copies is None else copies.compare(seal)
            if wrong is not None:
                yield wrong
            before = chain.number
            _, faults = chain.follow(seal)
            if keys is not None:  # otherwise the API has said it
                yield from (fault_words(fault, seal.number, before) for fault in faults)
            behind = seal.number
        if not page["items"]:
            break
    if copies is not None:
        yield from copies.faults[:_MOST_NAMED]
        yield from copies.left()


def _digest(seal: SignedSeal) -> bytes:
    return hashlib.sha256(json.dumps([seal.number, seal.text, seal.signature]).encode()).digest()
