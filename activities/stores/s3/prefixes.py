"""What stands under a prefix of the bucket, counted and removed: all objects of a job, of all logs, of all artifacts.

Deliberately not here: what single objects are called (``log_objects``, ``artifacts``).
"""

from typing import Final

from activities.stores.dynamo.client import AwsClients
from activities.stores.interfaces.amounts import Amount
from workflows.contracts.errors import Unavailable

LOGS: Final = "logs/"
ARTIFACTS: Final = "artifacts/"


async def amount_under(clients: AwsClients, bucket: str, prefix: str, at_most: int | None = None) -> Amount:
    """How many objects there are and how much they take, as far as ``at_most`` of them. Raises Unavailable."""
    objects, size, after = 0, 0, prefix
    while True:
        page = await clients.call_s3(clients.s3.list_objects_v2, Bucket=bucket, Prefix=prefix, StartAfter=after)
        found = page.get("Contents", [])
        objects, size = objects + len(found), size + sum(each.get("Size", 0) for each in found)
        if not page.get("IsTruncated") or not found:
            return Amount(objects, size)
        if at_most is not None and objects >= at_most:
            return Amount(objects, size, more=True)
        after = found[-1].get("Key", "")


async def remove_under(clients: AwsClients, bucket: str, prefix: str) -> Amount:
    """Remove all objects; what they took. One that is gone already is no matter. Raises Unavailable."""
    objects, size = 0, 0
    while True:
        page = await clients.call_s3(clients.s3.list_objects_v2, Bucket=bucket, Prefix=prefix)
        found = page.get("Contents", [])
        if not found:
            return Amount(objects, size)
        keys = [{"Key": each.get("Key", "")} for each in found]
        answer = await clients.call_s3(
            clients.s3.delete_objects,
            Bucket=bucket,
            Delete={"Objects": keys, "Quiet": True},  # type: ignore[typeddict-item]
        )
        if errors := answer.get("Errors"):
            raise Unavailable(f"{len(errors)} of {len(keys)} objects under {prefix} could not be removed: {errors[0]}")
        objects, size = objects + len(found), size + sum(each.get("Size", 0) for each in found)
        if not page.get("IsTruncated"):
            return Amount(objects, size)
