"""The JSON Schemas of files, for editors. Open to everybody: they say what the documentation says."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from starlette.responses import Response

from api.file_schemas.shipped import NAMES, schema_text
from api.http.answers import json_answer
from workflows.contracts.errors import NotFound

router = APIRouter(tags=["core"])
_CACHED: Final = {"Cache-Control": "public, max-age=3600"}
_Name = Annotated[str, Path(description=f"One of {', '.join(NAMES)}.", examples=["service"], max_length=64)]


@router.get("/api/schemas/{name}.json", response_model=dict[str, Any], summary="The JSON Schema of a file")
async def get_file_schema(name: _Name) -> Response:
    """Draft 2020-12. The first line of a YAML file can name it: `# yaml-language-server: $schema=…`."""
    try:
        return json_answer(schema_text(name).encode(), headers=_CACHED)
    except KeyError:
        raise NotFound(f"There is no schema {name[:64]}; there are {', '.join(NAMES)}.") from None
