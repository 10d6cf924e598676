"""Putting small files into bundles: one request for hundreds of them instead of one each.

A bundle is a zip without compression whose entries have their SHA-256 as comment, as the API wants it. It is made in
memory from the very bytes that were looked through for secrets, and is bounded, so that ten thousand files cost no more
memory than some hundred. Blocking: call it in a thread. Deliberately not here: sending (``upload``), and which files
there are (``files``).
"""

import hashlib
import io
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from agent.artifacts.files import ArtifactError, FoundArtifact, open_artifact
from agent.artifacts.inspection import ContainsSecret, require_no_secret
from agent.secrets.redact import Patterns
from workflows.contracts.jobs import ArtifactRef

SMALL_BYTES: Final = 128 * 1024
"""What is larger goes alone: a request costs little beside it."""
WORTH_IT: Final = 8
"""Fewer files than this go alone."""
_BUNDLE_BYTES: Final = 4 << 20
_BUNDLE_FILES: Final = 500
_MAX_PATH_BYTES: Final = 900
"""A longer path no store keeps: it goes alone, so that its refusal is no other file's."""


@dataclass(slots=True)
class Bundle:
    """A body to send, and what is in it. ``secret``, ``problems``: files that are not, and why; ``alone``: those that
    have grown since they were found.
    """

    body: bytes = b""
    sha256: str = ""
    files: list[FoundArtifact] = field(default_factory=list[FoundArtifact])
    refs: list[ArtifactRef] = field(default_factory=list[ArtifactRef])
    secret: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])
    alone: list[FoundArtifact] = field(default_factory=list[FoundArtifact])


def apart(found: Sequence[FoundArtifact]) -> tuple[list[list[FoundArtifact]], list[FoundArtifact]]:
    """Groups of small files, one bundle each, and the files that go alone."""
    small = [each for each in found if each.size <= SMALL_BYTES and len(each.path.encode()) <= _MAX_PATH_BYTES]
    if len(small) < WORTH_IT:
        return [], list(found)
    groups: list[list[FoundArtifact]] = []
    size = 0
    for each in small:
        if not groups or size + each.size > _BUNDLE_BYTES or len(groups[-1]) == _BUNDLE_FILES:
            groups.append([])
            size = 0
        groups[-1].append(each)
        size += each.size
    bundled = set(small)
    return groups, [each for each in found if each not in bundled]


def make_bundle(group: Sequence[FoundArtifact], patterns: Patterns | None) -> Bundle:
    """Never raises for a file: what became of it is in the bundle."""
    bundle, body = Bundle(), io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
        for found in group:
            try:
                with open_artifact(found) as file:
                    content = file.read(SMALL_BYTES + 1)
                if len(content) > SMALL_BYTES:
                    bundle.alone.append(found)
                    continue
                require_no_secret(patterns, found.path, io.BytesIO(content))
            except ContainsSecret:
                bundle.secret.append(found.path)
            except (ArtifactError, OSError) as error:
                bundle.problems.append(f"{found.path}: {error}")
            else:
                bundle.files.append(found)
                bundle.refs.append(_put(archive, found, content))
    bundle.body = body.getvalue()
    bundle.sha256 = hashlib.sha256(bundle.body).hexdigest()
    return bundle


def _put(archive: zipfile.ZipFile, found: FoundArtifact, content: bytes) -> ArtifactRef:
    entry = zipfile.ZipInfo(found.path)
    digest = hashlib.sha256(content).hexdigest()
    entry.comment = digest.encode()
    entry.external_attr = (stat.S_IFREG | (0o755 if found.executable else 0o644)) << 16
    archive.writestr(entry, content)
    return ArtifactRef(path=found.path, size=len(content), sha256=digest, executable=found.executable)
