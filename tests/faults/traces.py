"""Look for values where they must not be: in files, and in the memory of running processes."""

import base64
import json
import os
import urllib.parse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ahocorasick_rs import BytesAhoCorasick

from tests.files import contents

_PIECE: Final = 1 << 24


def encodings(value: str) -> set[bytes]:
    """A value as it could be written, in all the forms that are cut from longer ones too (base64 at each offset)."""
    raw = value.encode()
    found = {
        raw, raw[::-1], value.encode("utf-16-le"), raw.hex().encode(), raw.hex().upper().encode(),
        urllib.parse.quote(value, safe="").encode(), urllib.parse.quote_plus(value).encode(),
        json.dumps(value)[1:-1].encode(), base64.b32encode(raw).rstrip(b"="),
    }  # fmt: skip
    for shift in range(3):
        skipped = -(-shift * 4 // 3) if shift else 0
        core = base64.b64encode(b"\0" * shift + raw)[skipped + (1 if shift else 0) :].rstrip(b"=")[:-1]
        found |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in found if len(form) >= 8}


def in_files(folders: Iterable[Path], forms: Mapping[bytes, str]) -> list[str]:
    """Which values are in which files below these folders."""
    search, hits = _Search(forms), list[str]()
    for folder in folders:
        found = [(folder, folder.read_bytes())] if folder.is_file() else contents(folder)
        for path, content in found:
            hits += [f"{name} in {path}" for name in sorted(search.names_in(content))]
    return hits


def in_memory(pid: int, forms: Mapping[bytes, str]) -> tuple[int, list[str]]:
    """How many bytes of a process could be read, and which values are in them. Needs the right to trace it."""
    longest = max(len(form) for form in forms)
    search, seen, hits = _Search(forms), 0, set[str]()
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        for start, end in _regions(pid):
            kept = b""
            for offset in range(start, end, _PIECE):
                try:
                    piece = os.pread(memory, min(_PIECE, end - offset), offset)
                except OSError:  # a guard page, a device
                    break
                seen += len(piece)
                text = kept + piece
                hits |= search.names_in(text)
                kept = text[-longest:]
    finally:
        os.close(memory)
    return seen, sorted(hits)


class _Search:
    """All forms at once: one after the other takes ten times as long, and there are gigabytes."""

    def __init__(self, forms: Mapping[bytes, str]) -> None:
        self._names = list(forms.values())
        self._search = BytesAhoCorasick(list(forms))

    def names_in(self, content: bytes) -> set[str]:
        found = self._search.find_matches_as_indexes(content, overlapping=True)
        return {self._names[index] for index, _, _ in found}


def _regions(pid: int) -> list[tuple[int, int]]:
    """Writable ones: what is only read comes from files, which are searched as files."""
    regions: list[tuple[int, int]] = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, rights, *_ = line.split()
        start, end = (int(each, 16) for each in place.split("-"))
        if rights.startswith("rw") and "[vvar" not in line:
            regions.append((start, end))
    return regions
