"""Reading an object, or a range of it, in pieces that are small beside it."""

from collections.abc import AsyncGenerator
from typing import Any, Final

from activities.stores.dynamo.client import AwsClients, Missing
from workflows.contracts.errors import NotFound

_PIECE_BYTES: Final = 256 * 1024


async def pieces_of(
    clients: AwsClients, bucket: str, key: str, absent: str, part: tuple[int, int] | None = None
) -> AsyncGenerator[bytes]:
    """``part``: its first byte and the number of bytes, at least one. ``absent``: what is said when there is no such
    object, in NotFound. Raises Unavailable. Close it (``aclosing``): it holds a connection.
    """
    more: dict[str, Any] = {} if part is None else {"Range": f"bytes={part[0]}-{part[0] + part[1] - 1}"}
    try:
        answer = await clients.call_s3(clients.s3.get_object, Bucket=bucket, Key=key, **more)
    except Missing as missing:
        if missing.details["aws"] == "NoSuchBucket":
            raise
        raise NotFound(absent) from None
    body = answer["Body"]
    try:
        while piece := await clients.call_s3(body.read, _PIECE_BYTES):
            yield piece
    finally:
        body.close()
