"""Masking secrets in whatever leaves this host: a stream in, the same stream without them out.

The result does not depend on where the stream is cut. Bytes are held back only while they may be the beginning of a
secret, so that a live log stays live. A secret that is printed becomes ``***``; the forms it can have are worked out in
``encodings``. Base64, base32 and hexadecimal are also found when a program has broken them into lines, hexadecimal
also in dumps (``dumps``).
Deliberately not here: where secrets come from (``secrets``, ``sealed``) and the log itself (``logs.masked``).
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from ahocorasick_rs import BytesAhoCorasick, Implementation

from agent.secrets.dumps import Dumped, tail_of
from agent.secrets.encodings import forms_of

MASK: Final = b"***"
_ANCHOR_BYTES: Final = 12
"""Forms are found by their first bytes and compared in full there, so that the automaton stays small."""
_FEW: Final = 2_000
"""Up to so many patterns (of about 20 secrets) the fastest automaton is used, which takes 7 MB then."""
_TELLING_BYTES: Final = 8
"""At the end of a stream, a beginning of a secret that is as long as this is masked as well."""
_RUN: Final = rb"[A-Za-z0-9+/_-]{16}"
_BREAK: Final = re.compile(rb"\n(?<=" + _RUN + rb"\n)")
_BREAK_WITH_RETURN: Final = re.compile(rb"\r(?:\n(?<=" + _RUN + rb"\r\n)|\Z(?<=" + _RUN + rb"\r))")
"""A line break inside something encoded: all before it on its line is of that alphabet, a word's length at least."""
_CONTEXT_BYTES: Final = 24
"""What has to be known before a line break to say whether it is one of those, and before a dump's digits."""

Spans = list[tuple[int, int]]


class _Bucket:
    """The forms that share their first bytes."""

    __slots__ = ("_forms", "_lengths", "_sorted")

    def __init__(self, forms: Iterable[bytes]) -> None:
        self._sorted = sorted(forms)
        self._forms = frozenset(self._sorted)
        self._lengths = sorted({len(form) for form in self._sorted}, reverse=True)

    def longest(self, data: bytes, begin: int) -> int:
        """The length of the longest form that stands there, 0 for none."""
        room = len(data) - begin
        for length in self._lengths:
            if length <= room and data[begin : begin + length] in self._forms:
                return length
        return 0

    def may_grow(self, data: bytes, begin: int) -> bool:
        """True when all the data from there on is the beginning of a longer form."""
        if len(data) - begin >= self._lengths[0]:
            return False
        return _some_begins(self._sorted, data[begin:])


class _Matcher:
    """Finds forms in bytes."""

    def __init__(self, forms: Iterable[bytes], triggers: Iterable[bytes] = ()) -> None:
        by_anchor: dict[bytes, list[bytes]] = {}
        for form in forms:
            by_anchor.setdefault(form[:_ANCHOR_BYTES], []).append(form)
        self._anchors = sorted(by_anchor)
        self._buckets = [_Bucket(by_anchor[anchor]) for anchor in self._anchors]
        patterns = [*self._anchors, *sorted(set(triggers) - by_anchor.keys())]
        few = len(patterns) <= _FEW
        self._search = BytesAhoCorasick(
            patterns, implementation=Implementation.DFA if few else Implementation.ContiguousNFA
        )

    def scan(self, data: bytes, start: int) -> tuple[Spans, int, bool]:
        """The forms that begin at ``start`` or later, from where on the data may be the beginning of one, and whether a
        trigger was there.
        """
        spans: Spans = []
        hold, triggered = len(data), False
        for index, begin, _ in self._search.find_matches_as_indexes(data, overlapping=True):
            if index >= len(self._buckets):
                triggered = True
                continue
            if begin < start:
                continue
            bucket = self._buckets[index]
            if length := bucket.longest(data, begin):
                spans.append((begin, begin + length))
            if begin < hold and bucket.may_grow(data, begin):
                hold = begin
        for begin in range(max(start, len(data) - _ANCHOR_BYTES + 1), hold):
            if _some_begins(self._anchors, data[begin:]):
                return spans, begin, triggered
        return spans, hold, triggered


def _some_begins(ordered: list[bytes], beginning: bytes) -> bool:
    """True when one of them goes on after this beginning: it would be the next in order."""
    index = bisect_right(ordered, beginning)
    return index < len(ordered) and ordered[index].startswith(beginning)


class Patterns:
    """What to look for; made once for an attempt and shared by all its streams. Making it takes time: in a thread."""

    def __init__(self, values: Iterable[bytes]) -> None:
        forms = forms_of(values)
        self.empty = not forms.plain
        self._all = _Matcher(forms.plain | forms.encoded, forms.triggers)
        self._encoded = _Matcher(forms.encoded)
        self._dumped = _Matcher(forms.dumped)

    def scan(self, data: bytes, start: int, *, last: bool = False) -> tuple[Spans, int]:
        """The forms that begin at ``start`` or later, in order, and from where on the data may be the beginning of one:
        line breaks inside of encoded forms, and all that is between digits in dumps, left out of account.
        """
        spans, hold, triggered = self._all.scan(data, start)
        more, held = self._in_dumps(data, start, whole=triggered, last=last)
        spans, hold = spans + more, min(hold, held)
        breaks = [found.span() for found in _BREAK.finditer(data)]
        if b"\r" in data:
            breaks = sorted([*breaks, *(found.span() for found in _BREAK_WITH_RETURN.finditer(data))])
        if breaks:
            joined = _Joined(data, breaks)
            more, held, _ = self._encoded.scan(joined.data, joined.position(start))
            spans += [(joined.origin(begin), joined.origin(end - 1) + 1) for begin, end in more]
            spans = [span for span in spans if span[0] >= start]
            if held < len(joined.data):
                hold = min(hold, max(joined.origin(held), start))
        spans.sort()
        return spans, hold

    def _in_dumps(self, data: bytes, start: int, *, whole: bool, last: bool) -> tuple[Spans, int]:
        """``whole``: all of the data, else its end, where a secret may have begun."""
        offset = 0 if whole else tail_of(data)
        dumped = Dumped(data[offset:] if offset else data)
        if not dumped.digits:
            return [], len(data)
        found, held, _ = self._dumped.scan(dumped.digits, dumped.position(max(0, start - offset)))
        spans: Spans = []
        hold = len(data)
        if held < len(dumped.digits):
            begin = max(dumped.origin(held) + offset, start)
            if not last:
                hold = begin
            elif len(dumped.digits) - held >= 2 * _TELLING_BYTES:
                spans.append((begin, len(data)))
        for begin, end in found:
            origin, line_end = dumped.origin(begin) + offset, dumped.line_end(end)
            if origin < start:
                continue
            if line_end is None and not last:
                hold = min(hold, origin)
            spans.append((origin, len(data) if line_end is None else line_end + offset))
        return spans, hold


class _Joined:
    """Data without some line breaks, and where each of its bytes was before."""

    def __init__(self, data: bytes, breaks: Spans) -> None:
        self._origins = [0, *(end for _, end in breaks)]
        pieces = [
            data[begin:end] for begin, end in zip(self._origins, [*(b for b, _ in breaks), len(data)], strict=True)
        ]
        self.data = b"".join(pieces)
        self._starts = [0]
        for piece in pieces[:-1]:
            self._starts.append(self._starts[-1] + len(piece))

    def origin(self, position: int) -> int:
        """Where it was in the data with the breaks."""
        index = bisect_right(self._starts, position) - 1
        return self._origins[index] + position - self._starts[index]

    def position(self, origin: int) -> int:
        """Where it is now; inside a break: what comes before it."""
        index = bisect_right(self._origins, origin) - 1
        following = self._starts[index + 1] if index + 1 < len(self._starts) else len(self.data)
        return min(self._starts[index] + origin - self._origins[index], following)


class Redactor:
    """One stream. Not thread-safe. ``found`` says how many secrets were masked so far."""

    def __init__(self, patterns: Patterns) -> None:
        self._patterns = patterns
        self._context, self._carry = b"", b""
        self._covered = 0  # so many bytes of the carry belong to a secret whose mask is written already
        self.found = 0

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """What can be let through of all that came so far."""
        return self._take(bytes(data), last=False)

    def flush(self) -> bytes:
        """The rest: the stream has ended here. What comes after is another one."""
        rest = self._take(b"", last=True)
        self._context = b""
        return rest

    def unmasked_rest(self) -> bytes:
        """The rest as it is: the stream has ended, and what looked like the beginning of a secret is none."""
        rest, self._carry, self._context, self._covered = self._carry[self._covered :], b"", b"", 0
        return rest

    def _take(self, data: bytes, *, last: bool) -> bytes:
        base = len(self._context)
        text = self._context + self._carry + data
        spans, hold = self._patterns.scan(text, base, last=last)
        if last:
            spans += [(hold, len(text))] if len(text) - hold >= _TELLING_BYTES else []
            hold = len(text)
        pieces: list[bytes] = []
        masked_to = base + self._covered
        for begin, end in spans:
            if begin >= hold:
                break  # not decided yet: it is found again
            if begin >= masked_to:
                pieces += (text[masked_to:begin], MASK)
                masked_to = begin
                self.found += 1
            masked_to = max(masked_to, end)
        pieces.append(text[masked_to:hold])
        self._covered = max(masked_to - hold, 0)
        self._carry = text[hold:]
        self._context = text[max(hold - _CONTEXT_BYTES, 0) : hold]
        return b"".join(pieces)


def mask_text(patterns: Patterns | None, text: str) -> str:
    """A whole text without the secrets."""
    if patterns is None:
        return text
    redactor = Redactor(patterns)
    raw = text.encode(errors="surrogateescape")
    return (redactor.feed(raw) + redactor.flush()).decode(errors="replace")
