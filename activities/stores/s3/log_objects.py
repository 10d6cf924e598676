"""The objects of one log in a bucket: their names and headers, and the requests for them.

``logs/<job>/<attempt>/<end>-<offset>-n<newlines>-h<bytes of header>[-f]``: a piece. The end comes first, so that a
listing that begins at a position yields what lies behind it and nothing else; ``-f`` marks the last one. Before
2026-11-30 names had neither newlines nor header. An object is one line of JSON, the header (S3's own metadata is
limited to 2 KB), then the log's bytes: ``marks``, ``places`` behind every 1,000th newline, ``sha256``.
``logs/<job>/<attempt>/index``: of a log that has ended and was compacted, what there is, in one object.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from activities.stores.chunks import StoredPiece
from activities.stores.dynamo.client import AwsClients, Missing
from activities.stores.interfaces.logs import LogChunk
from activities.stores.lines import places_of

_INDEX: Final = "index"
_MANY: Final = 1000
"""So many objects one request deletes."""


@dataclass(frozen=True, slots=True)
class LogHeader:
    """What an object says before its bytes. Offsets are inside it, times epoch milliseconds."""

    marks: Sequence[tuple[int, int]] = ()
    places: Sequence[int] = ()
    sha256: str | None = None

    @classmethod
    def read(cls, line: bytes) -> "LogHeader":
        """From an object's first line."""
        found: dict[str, Any] = json.loads(line)
        marks = [(int(offset), int(time)) for offset, time in found["marks"]]
        return cls(marks, found.get("places", []), found.get("sha256"))

    def line(self, *, final: bool) -> bytes:
        """As it is stored."""
        fields = {"marks": [list(mark) for mark in self.marks], "final": final, "sha256": self.sha256}
        return json.dumps({**fields, "places": list(self.places)}, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class LogIndex:
    """Of a compacted log: ``size`` bytes with the digest ``sha256`` in these pieces."""

    size: int
    sha256: str
    pieces: list[StoredPiece] = field(default_factory=list[StoredPiece])


class LogObjects:
    """Those of one attempt's log. Every method raises Unavailable, and Missing where an object is gone."""

    def __init__(self, clients: AwsClients, bucket: str, job_id: str, attempt: int, *, keys_per_listing: int) -> None:
        self._clients, self._bucket, self._keys = clients, bucket, keys_per_listing
        self._prefix = f"logs/{job_id}/{attempt:04d}/"

    async def list(self, start: int = 0) -> AsyncIterator[StoredPiece]:
        """Pieces that end behind ``start``, by ascending end; one at ``start`` too, which can be the final one."""
        after = f"{self._prefix}{start:016d}"
        while True:
            page = await self._clients.call_s3(
                self._clients.s3.list_objects_v2,
                Bucket=self._bucket,
                Prefix=self._prefix,
                StartAfter=after,
                MaxKeys=self._keys,
            )
            for entry in page.get("Contents", []):
                after = entry.get("Key", "")
                name = after[len(self._prefix) :]
                if name[:1].isdigit():
                    yield _piece_of(name)
            if not page.get("IsTruncated"):
                return

    async def put(self, chunk: LogChunk) -> StoredPiece:
        """Store it as a piece, which is its name too: the same again is the same object."""

        def counted_and_stored() -> StoredPiece:
            header = LogHeader(chunk.marks, places_of(chunk.data), chunk.sha256).line(final=chunk.final)
            piece = StoredPiece(chunk.end, chunk.offset, chunk.final, chunk.data.count(b"\n"), len(header))
            self._clients.s3.put_object(Bucket=self._bucket, Key=self._key(piece), Body=header + chunk.data)
            return piece

        return await self._clients.call_s3(counted_and_stored)

    async def whole(self, piece: StoredPiece) -> LogChunk:
        """All of a piece."""
        body = await self._get(self._key(piece))
        line, _, data = body.partition(b"\n")
        header = LogHeader.read(line)
        return LogChunk(piece.offset, data, header.marks, piece.final, header.sha256)

    async def header(self, piece: StoredPiece) -> LogHeader:
        """That of a piece whose header's length is known."""
        return LogHeader.read(await self._get(self._key(piece), 0, piece.header))

    async def data(self, piece: StoredPiece, start: int, end: int) -> bytes:
        """The log's bytes from ``start`` to ``end``, which are in the piece."""
        if piece.header is None:
            return (await self.whole(piece)).data[start - piece.offset : end - piece.offset]
        if start >= end:
            return b""
        before = piece.header - piece.offset
        return await self._get(self._key(piece), before + start, before + end)

    async def delete(self, pieces: Sequence[StoredPiece]) -> None:
        """Those that are gone already are no matter."""
        for first in range(0, len(pieces), _MANY):
            keys = [{"Key": self._key(piece)} for piece in pieces[first : first + _MANY]]
            await self._clients.call_s3(
                self._clients.s3.delete_objects,
                Bucket=self._bucket,
                Delete={"Objects": keys, "Quiet": True},  # type: ignore[typeddict-item]
            )

    async def index(self) -> LogIndex | None:
        """The index, or None as long as the log was not compacted."""
        try:
            found: dict[str, Any] = json.loads(await self._get(self._prefix + _INDEX))
        except Missing:
            return None
        return LogIndex(found["size"], found["sha256"], [StoredPiece(*each) for each in found["pieces"]])

    async def put_index(self, index: LogIndex) -> None:
        """Last of all: from here on the log is compacted."""
        body = {"size": index.size, "sha256": index.sha256, "pieces": [list(each) for each in index.pieces]}
        await self._clients.call_s3(
            self._clients.s3.put_object,
            Bucket=self._bucket,
            Key=self._prefix + _INDEX,
            Body=json.dumps(body, separators=(",", ":")).encode(),
        )

    def _key(self, piece: StoredPiece) -> str:
        known = "" if piece.header is None else f"-n{piece.lines}-h{piece.header}"
        return f"{self._prefix}{piece.end:016d}-{piece.offset:016d}{known}{'-f' if piece.final else ''}"

    async def _get(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
        def content() -> bytes:
            if start is None or end is None:
                return self._clients.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            wanted = f"bytes={start}-{end - 1}"
            return self._clients.s3.get_object(Bucket=self._bucket, Key=key, Range=wanted)["Body"].read()

        return await self._clients.call_s3(content)


def _piece_of(name: str) -> StoredPiece:
    end, offset, *more = name.split("-")
    told = {word[0]: word[1:] for word in more}
    lines, header = told.get("n"), told.get("h")
    return StoredPiece(
        int(end),
        int(offset),
        "f" in told,
        None if lines is None else int(lines),
        None if header is None else int(header),
    )
