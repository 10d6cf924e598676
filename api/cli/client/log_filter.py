"""Of a log that is copied, only the lines with a text in them."""

from api.cli.client.terminal import LogSink


class MatchingLines:
    """In front of a sink: passes whole lines on, those with the text."""

    def __init__(self, sink: LogSink, text: str) -> None:
        self._sink, self._text = sink, text.encode("utf-8", "surrogateescape")
        self._partial = bytearray()  # a line without an end is not copied with each piece of it

    def write(self, data: bytes) -> None:
        """The next bytes of the log, cut anywhere."""
        first, *others = data.split(b"\n")
        self._partial += first
        for following in others:
            if self._text in self._partial:
                self._sink.write(bytes(self._partial) + b"\n")
            self._partial = bytearray(following)

    def flush(self) -> None:
        """Somebody is watching."""
        self._sink.flush()

    def close(self) -> None:
        """The log is over: so is its last line."""
        if self._text in self._partial:
            self._sink.write(bytes(self._partial) + b"\n")
            self._sink.flush()
        self._partial.clear()
