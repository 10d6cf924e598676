"""All pages of a stack, taken from the router, looked at in a real browser: what runs, what overflows, what axe finds.

Deliberately not here: what a stack is filled with (``tests.browser.story``).
"""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
from playwright.sync_api import BrowserContext, Page

from tests.api.dashboard.browser import address, pages

SERIOUS: Final = frozenset({"serious", "critical"})
_LISTEN: Final = """
addEventListener("securitypolicyviolation", (event) => console.error(
  `CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
window.alert = (words) => console.error(`ran: ${words}`);
"""
_LISTS: Final[Mapping[str, tuple[str, str]]] = {
    "job_id": ("/api/dashboard/jobs", "job_id"),
    "deployment_id": ("/api/dashboard/deployments", "deployment_id"),
    "name": ("/api/dashboard/services", "name"),
    "agent_id": ("/api/agents", "agent_id"),
    "delivery_id": ("/api/webhooks/deliveries", "delivery_id"),
    "key_id": ("/api/access/keys", "key_id"),
}
"""A part of an address: the list that has one, and its field."""
_UNKNOWN: Final[Mapping[str, str]] = {
    "environment": "production", "command": "cancel", "redrive_id": "0" * 32, "attempt": "1", "version": "1",
    "path": "none.txt",
}  # fmt: skip
"""What no list has; of an id that is unknown, the page that says so is looked at."""


@dataclass(slots=True)
class Findings:
    """What was found on the pages of a walk, by page."""

    wrong: list[str] = field(default_factory=list[str])
    remarks: list[str] = field(default_factory=list[str])


def axe_source() -> str:
    """The source of axe-core, out of its wheel. Raises ModuleNotFoundError when that is not installed."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("axe-playwright-python, of requirements-dev.lock, is not installed")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


def ids_of(api: httpx.Client) -> dict[str, str]:
    """One of each thing of a stack; of what it has none, an id that nothing has."""
    return dict(_UNKNOWN) | {name: _newest(api, path, member) for name, (path, member) in _LISTS.items()}


def _newest(api: httpx.Client, path: str, member: str) -> str:
    items: list[dict[str, Any]] = api.get(path, params={"limit": 1}).json().get("items", [])
    return str(items[0][member]) if items else "0123456789abcdef"


def addresses(ids: Mapping[str, str], more: Mapping[str, str] | None = None) -> Iterator[str]:
    """Every page that is read. Raises KeyError for a part of an address that nobody has told here (``_LISTS``)."""
    safe = {name: quote(value, safe="") for name, value in ids.items()}
    yield from (address(path, safe) for path in pages())
    yield from (more or {}).values()


def listen(context: BrowserContext, complaints: list[str]) -> None:
    """Keep what the console complains of, breaches of the policy and anything hostile that ran among them."""
    context.add_init_script(_LISTEN)
    context.on("weberror", lambda error: complaints.append(f"error: {error.error}"))
    context.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)


def is_document(context: BrowserContext, where: str) -> bool:
    """Whether a page stands there, and no part of one and no download."""
    answer = context.request.get(where, headers={"Accept": "text/html"}, max_redirects=0, fail_on_status_code=False)
    try:
        return "text/html" in answer.headers.get("content-type", "") and b"<main" in answer.body()
    finally:
        answer.dispose()


def look_at(page: Page, where: str, axe: str | None, found: Findings, state: str) -> None:
    """One page as it stands: its width, its title, what axe says of it."""
    page.goto(where)
    page.wait_for_selector("h1")
    place = f"{state} {where}"
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if over > 0:
        found.wrong.append(f"{place}: {over} px too wide: {_too_wide(page)}")
    if page.locator("h1").count() != 1:
        found.wrong.append(f"{place}: not one h1")
    if axe is None:
        return
    page.evaluate(axe)
    result: Any = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    for each in result["violations"]:
        first = each["nodes"][0]
        words = f"{place}: {each['impact']} {each['id']}: {each['help']}; {len(each['nodes'])} x, {first['html'][:300]}"
        if each["impact"] in SERIOUS:
            found.wrong.append(words + " " + json.dumps(first.get("failureSummary", ""))[:300])
        else:
            found.remarks.append(words)


def _too_wide(page: Page) -> str:
    """Which elements stand out of the page, outside of boxes that scroll by themselves."""
    return str(
        page.evaluate(
            """() => { const wide = document.documentElement.clientWidth, boxes = ["auto", "scroll", "hidden"];
            const scrolls = (each) => each && each !== document.body
              && (boxes.includes(getComputedStyle(each).overflowX) || scrolls(each.parentElement));
            return [...document.querySelectorAll("body *")]
              .filter((each) => each.getBoundingClientRect().right > wide + 1 && !scrolls(each))
              .slice(0, 3).map((each) => each.outerHTML.slice(0, 150)).join(" | "); }"""
        )
    )
