"""Search attributes: what a person filters by in the Temporal UI.

Few and shared by jobs and deployments, because SQL visibility stores offer ten keyword columns in all. That is why the
author, the eleventh, is a list of keywords.
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
SERVICE: Final = SearchAttributeKey.for_keyword("CiService")
ENVIRONMENT: Final = SearchAttributeKey.for_keyword("CiEnvironment")
VERSION: Final = SearchAttributeKey.for_keyword("CiVersion")
AUTHOR: Final = SearchAttributeKey.for_keyword_list("CiAuthor")

WAITS_FOR_APPROVAL: Final = "waiting_approval"
"""``CiStatus`` of a deployment that waits for a yes, in the place of its status: what a list is made for."""

_KEYWORDS: Final = (STATUS, JOB_TYPE, POOL, PRIORITY, REPO, SHA, AGENT, SERVICE, ENVIRONMENT, VERSION)
NAMES: Final[Mapping[str, str]] = {key.name: "Keyword" for key in _KEYWORDS} | {AUTHOR.name: "KeywordList"}
KINDS: Final[Mapping[str, int]] = {key.name: int(key.indexed_value_type) for key in (*_KEYWORDS, AUTHOR)}
"""As Temporal's ``AddSearchAttributesRequest`` wants them."""
