"""Search attributes: what a person filters by in the Temporal UI. All are keywords.

Few and shared, because SQL visibility stores offer ten keyword columns in all. Deployments will share ``CiStatus``,
``CiRepo`` and ``CiSha``.
"""

from collections.abc import Mapping
from typing import Final

from temporalio.common import SearchAttributeKey

STATUS: Final = SearchAttributeKey.for_keyword("CiStatus")
JOB_TYPE: Final = SearchAttributeKey.for_keyword("CiJobType")
POOL: Final = SearchAttributeKey.for_keyword("CiPool")
PRIORITY: Final = SearchAttributeKey.for_keyword("CiPriority")
REPO: Final = SearchAttributeKey.for_keyword("CiRepo")
SHA: Final = SearchAttributeKey.for_keyword("CiSha")
AGENT: Final = SearchAttributeKey.for_keyword("CiAgent")

NAMES: Final[Mapping[str, str]] = {key.name: "Keyword" for key in (STATUS, JOB_TYPE, POOL, PRIORITY, REPO, SHA, AGENT)}
