"""Why a call does not go through: a gRPC status and a sentence for the agent. The only errors inside the gateway."""

import grpc


class Refused(Exception):
    """The call ends here. ``reason`` says why and what to do next; ``trailing`` goes along with the status."""

    def __init__(self, code: grpc.StatusCode, reason: str, trailing: tuple[tuple[str, str | bytes], ...] = ()) -> None:
        super().__init__(reason)
        self.code, self.reason, self.trailing = code, reason, trailing


def denied(reason: str) -> Refused:
    """It may not do this."""
    return Refused(grpc.StatusCode.PERMISSION_DENIED, reason)


def malformed(reason: str) -> Refused:
    """The request is not what the method takes."""
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, reason)


def unknown(reason: str) -> Refused:
    """Nobody known is asking."""
    return Refused(grpc.StatusCode.UNAUTHENTICATED, reason)


def away(reason: str) -> Refused:
    """Something behind the gateway does not answer; the same call can succeed later."""
    return Refused(grpc.StatusCode.UNAVAILABLE, reason)


def too_much(reason: str) -> Refused:
    """More than is allowed at once."""
    return Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, reason)
