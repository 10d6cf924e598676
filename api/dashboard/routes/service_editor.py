"""A service's definition: written and checked, each error at its line; applied when its difference was seen; compared.

The text is the file of ``hybridci service apply``. It is kept whatever happens. Deliberately not here: what it means
(the API checks it and applies it).
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.auth.csrf import CSRF_HEADER
from api.dashboard.answers import Fields, form_of, page, see
from api.dashboard.inside import Inside, RefusedByApi
from api.http.problems import Problem
from api.services.document import Document, definition_yaml, difference, read_document
from api.services.schemas import DefinitionCheck, DefinitionError, ServiceVersions
from workflows.contracts.deployments.services import Service, ServicePage
from workflows.yaml_text import MAX_YAML_BYTES, UnreadableYaml

router = APIRouter(include_in_schema=False)
_SERVICES: Final = "/api/dashboard/services"
_YAML: Final = "application/yaml"
_NEW: Final = """name: checkout
git_repo: https://example.com/checkout.git
environments:
  - name: staging
    steps:
      - {name: deploy, run: ./deploy.sh staging "$HYBRIDCI_VERSION"}
  - name: production
    steps:
      - {name: deploy, run: ./deploy.sh production "$HYBRIDCI_VERSION"}
    approval: {required: 1}
    verification: {bake_seconds: 300, max_error_rate: 0.02}
    rollback:
      steps:
        - {name: back, run: ./deploy.sh production "$HYBRIDCI_VERSION"}
"""


@dataclass(frozen=True, slots=True)
class _Edited:
    """What stands in the editor. ``checked``: the digest of the text whose difference was shown."""

    name: str
    text: str
    version: int
    check: DefinitionCheck | None = None
    errors: list[DefinitionError] = field(default_factory=list[DefinitionError])
    problem: Problem | None = None
    checked: str = ""
    stale: str = ""


@router.get("/new-service")
async def new_service(request: Request) -> Response:
    """With an example to begin with."""
    api = Inside(request)
    await api.get(_SERVICES, ServicePage, {"limit": 1})  # who is not known signs in first
    return _editor_page(request, api, _Edited(name="", text=_NEW, version=0))


@router.post("/new-service")
async def register_service(request: Request) -> Response:
    """Check it; register it when this very text was checked before."""
    return await _posted(request, "")


@router.get("/services/{name}/edit")
async def edit_service(request: Request, name: str) -> Response:
    """Its definition as it is now."""
    api = Inside(request)
    found = await api.get(f"{_SERVICES}/{name}", Service)
    return _editor_page(request, api, _Edited(name=name, text=definition_yaml(found), version=found.version))


@router.post("/services/{name}/edit")
async def change_service(request: Request, name: str) -> Response:
    """Check it; apply it when this very text was checked before, and nobody was faster."""
    return await _posted(request, name)


@router.get("/services/{name}/definition")
async def definition(request: Request, name: str) -> Response:
    """A version of it, what it changed, and which versions there are."""
    api = Inside(request)
    before = request.query_params.get("before")
    found, versions = await asyncio.gather(
        api.get(f"{_SERVICES}/{name}", Service, {"version": request.query_params.get("version")}),
        api.get(f"{_SERVICES}/{name}/versions", ServiceVersions, {"before": before}),
    )
    against = request.query_params.get("against") or str(found.version - 1)
    other = None
    if against != "0":
        try:
            other = await api.get(f"{_SERVICES}/{name}", Service, {"version": against})
        except RefusedByApi as refused:
            if refused.problem.status != 404:  # not kept any more: the text alone
                raise
    text = definition_yaml(found)
    lines = list[str]()
    if other is not None:
        names = (f"version {other.version}", f"version {found.version}")
        lines = await asyncio.to_thread(difference, definition_yaml(other), text, names)
    return page(
        request, "services/definition.html", api=api, service=found, text=text, against=other, difference=lines,
        versions=versions,
    )  # fmt: skip


async def _posted(request: Request, name: str) -> Response:
    form, api = await form_of(request), Inside(request)
    text = form["text"].replace("\r\n", "\n")
    version = int(form["version"]) if form["version"].isdecimal() and len(form["version"]) < 10 else 0
    edited = _Edited(name=name, text=text, version=version)
    wants_to_apply = form["do"] == "apply" and form["checked"] == _digest(text, version)
    document = await _read(text)
    if isinstance(document, DefinitionError):
        await _check(api, name or "new", text, form["csrf"])  # who may not is told that
        return _editor_page(request, api, _with(edited, errors=[document]))
    called = name or (document.name or "").strip()
    if not called:
        missing = DefinitionError(field="name", message="says how the service is called: add it", line=1)
        await _check(api, "new", text, form["csrf"])
        return _editor_page(request, api, _with(edited, errors=[missing]))
    try:
        if wants_to_apply:
            return await _applied(request, api, edited, called, document, form)
        check = await _check(api, called, text, form["csrf"])
    except RefusedByApi as refused:
        return _refused(request, api, edited, document, refused)
    return _checked_page(request, api, edited, check)


def _checked_page(request: Request, api: Inside, edited: _Edited, check: DefinitionCheck) -> Response:
    """With what it would change to the version that there is now, whichever the text was made from."""
    stale = ""
    if check.version != edited.version:
        stale = (
            f"{check.updated_by or 'Somebody'} has applied version {check.version} since this text was begun."
            " The difference is to that: apply it over that version, or take over what is missing."
            if edited.version
            else f"There is a service {check.name} already, in version {check.version}: this would change it."
        )
    checked = "" if check.errors else _digest(edited.text, check.version)
    fresh = _Edited(
        name=edited.name, text=edited.text, version=check.version, check=check, errors=check.errors, checked=checked,
        stale=stale,
    )  # fmt: skip
    return _editor_page(request, api, fresh)


async def _applied(
    request: Request, api: Inside, edited: _Edited, name: str, document: Document, form: Fields
) -> Response:
    expected = {"if-match": f'"{edited.version}"'} if edited.version else {"if-none-match": "*"}
    try:
        await api.ask(
            "PUT",
            f"{_SERVICES}/{quote(name, safe='')}",
            body=document.fields,
            headers={CSRF_HEADER: form["csrf"], **expected},
        )
    except RefusedByApi as refused:
        if refused.problem.status != 412:
            raise
        check = await _check(api, name, edited.text, form["csrf"])
        return _checked_page(request, api, edited, check)
    return see(request, f"/services/{name}")


def _refused(request: Request, api: Inside, edited: _Edited, document: Document, refused: RefusedByApi) -> Response:
    errors = [
        DefinitionError(field=each.field, message=each.message, line=document.places.line(each.field))
        for each in refused.problem.errors
    ]
    problem = refused.problem.model_copy(update={"errors": []})
    return _editor_page(request, api, _with(edited, errors=errors, problem=problem))


async def _check(api: Inside, name: str, text: str, csrf: str) -> DefinitionCheck:
    answer = await api.ask(
        "POST",
        f"{_SERVICES}/{quote(name, safe='')}/check",
        body=text.encode() or b" ",
        headers={CSRF_HEADER: csrf, "content-type": _YAML},
    )
    return DefinitionCheck.model_validate_json(answer.body)


async def _read(text: str) -> Document | DefinitionError:
    raw = text.encode("utf-8", "replace")
    if len(raw) > MAX_YAML_BYTES:
        return DefinitionError(field="", message=f"it is {len(raw)} bytes long; at most {MAX_YAML_BYTES} are taken")
    try:
        return await asyncio.to_thread(read_document, raw)
    except UnreadableYaml as error:
        return DefinitionError(field="", message=str(error), line=error.line)


def _with(edited: _Edited, *, errors: list[DefinitionError], problem: Problem | None = None) -> _Edited:
    return _Edited(name=edited.name, text=edited.text, version=edited.version, errors=errors, problem=problem)


def _digest(text: str, version: int) -> str:
    return hashlib.sha256(json.dumps([text, version]).encode()).hexdigest()


def _editor_page(request: Request, api: Inside, edited: _Edited) -> Response:
    status = edited.problem.status if edited.problem is not None else 422 if edited.errors else 200
    lines = edited.text.split("\n")
    shown = [
        (each, lines[each.line - 1][:200] if each.line is not None and 0 < each.line <= len(lines) else "")
        for each in edited.errors
    ]
    return page(request, "services/editor.html", status=status, api=api, edited=edited, errors=shown)
