"""Bundles of small artifacts on S3: ``artifacts/<job>/<attempt>.bundles/<digest>.zip`` as it came, and
``<digest>.json``, written behind it, with where each file is. What has no list yet is not there.

A bundle never changes, so its list is remembered. Deliberately not here: what a bundle may hold (``stores.bundles``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, Final

from activities.bounded import gather_bounded
from activities.stores.bundles import BUNDLE_LIST, BundledFile
from activities.stores.dynamo.client import AwsClients, Missing
from activities.stores.s3.prefixes import ARTIFACTS
from workflows.newest import Newest

_REMEMBERED_LISTS: Final = 32
_REMEMBERED_ATTEMPTS: Final = 8
_BEGINNING: Final = datetime.fromtimestamp(0, UTC)
_LIST: Final = ".json"
_ZIP: Final = ".zip"


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A file and the object that holds it."""

    key: str
    file: BundledFile


class S3Bundles:
    """In one bucket."""

    def __init__(self, clients: AwsClients, bucket: str) -> None:
        self._clients, self._bucket = clients, bucket
        self._lists: Newest[str, list[BundledFile]] = Newest(_REMEMBERED_LISTS)
        self._attempts: Newest[str, Mapping[str, PlacedFile]] = Newest(_REMEMBERED_ATTEMPTS)

    async def keep(self, job_id: str, attempt: int, body: BinaryIO, files: list[BundledFile], *, sha256: str) -> None:
        """The list comes last: whatever is killed before, nothing is there by half. Raises Unavailable."""
        key = _prefix(job_id, attempt) + sha256
        await self._clients.upload(self._bucket, key + _ZIP, body, {"sha256": sha256})
        said = BUNDLE_LIST.dump_json(files)
        await self._clients.call_s3(self._clients.s3.put_object, Bucket=self._bucket, Key=key + _LIST, Body=said)

    async def files(self, job_id: str, attempt: int) -> Mapping[str, PlacedFile]:
        """All files of the attempt's bundles, by path; of one path the last that came. Raises Unavailable."""
        prefix = _prefix(job_id, attempt)
        keys = await self._keys(prefix)
        found = {
            file.ref.path: PlacedFile(key + _ZIP, file)
            for key, listed in zip(keys, await gather_bounded(self._list, keys), strict=True)
            for file in _raised(listed)
        }
        self._attempts[prefix] = found
        return found

    async def find(self, job_id: str, attempt: int, path: str) -> PlacedFile | None:
        """The one of this path: from what is known of the attempt, for a bundle's files stay, else as they are now."""
        known = self._attempts.get(_prefix(job_id, attempt), {}).get(path)
        return known or (await self.files(job_id, attempt)).get(path)

    def forget(self, job_id: str) -> None:
        """They are about to be removed."""
        for prefix in [prefix for prefix in self._attempts if prefix.startswith(f"{ARTIFACTS}{job_id}/")]:
            del self._attempts[prefix]

    async def _keys(self, prefix: str) -> list[str]:
        """Of all bundles that are there, in the order in which they came."""
        found: list[tuple[datetime, str]] = []
        after = prefix
        while True:
            page = await self._clients.call_s3(
                self._clients.s3.list_objects_v2, Bucket=self._bucket, Prefix=prefix, StartAfter=after
            )
            entries = [
                (entry.get("LastModified", _BEGINNING), entry.get("Key", "")) for entry in page.get("Contents", [])
            ]
            found += [(at, key.removesuffix(_LIST)) for at, key in entries if key.endswith(_LIST)]
            if not page.get("IsTruncated") or not entries:
                return [key for _, key in sorted(found)]
            after = entries[-1][1]

    async def _list(self, key: str) -> list[BundledFile]:
        known = self._lists.get(key)
        if known is None:
            try:
                answer = await self._clients.call_s3(self._clients.s3.get_object, Bucket=self._bucket, Key=key + _LIST)
            except Missing:
                return []  # removed since it was listed
            known = self._lists[key] = BUNDLE_LIST.validate_json(await self._clients.call_s3(answer["Body"].read))
        return known


def _raised(listed: list[BundledFile] | Exception) -> list[BundledFile]:
    if isinstance(listed, Exception):
        raise listed
    return listed


def _prefix(job_id: str, attempt: int) -> str:
    return f"{ARTIFACTS}{job_id}/{attempt:04d}.bundles/"
