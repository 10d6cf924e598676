"""Where the dashboard shows what a workflow does, for links in the Temporal UI.

Whoever starts a workflow knows the dashboard's address and leaves it in the workflow's memo: what it starts itself
finds it there, in a replay too. Deliberately not here: which pages there are (``api.dashboard``).
"""

import re
from typing import Any, Final
from urllib.parse import quote

from temporalio import workflow

MEMO: Final = "dashboard"
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9._~:/%\[\]-]+")


def memo_of(dashboard: str | None) -> dict[str, Any]:
    """The memo of a workflow that is started; empty when nobody knows an address."""
    return {} if dashboard is None else {MEMO: dashboard.rstrip("/")}


def known_here() -> str | None:
    """The address in this workflow's memo."""
    found: object = workflow.memo_value(MEMO, default=None)
    return found if isinstance(found, str) else None


def job_links(dashboard: str | None, job_id: str) -> list[str]:
    """Markdown: a paragraph, or none."""
    page = f"/jobs/{quote(job_id, safe='')}"
    return _paragraph(dashboard, {"Log": f"{page}#log", "Job in the dashboard": page})


def deployment_links(dashboard: str | None, deployment_id: str) -> list[str]:
    """Likewise."""
    return _paragraph(dashboard, {"Deployment in the dashboard": f"/deployments/{quote(deployment_id, safe='')}"})


def _paragraph(dashboard: str | None, pages: dict[str, str]) -> list[str]:
    """An address that could be read as anything but one is no link."""
    if dashboard is None or _ADDRESS.fullmatch(dashboard) is None:
        return []
    return [" · ".join(f"[{words}]({dashboard}{page})" for words, page in pages.items())]
