"""The OpenAPI document of the whole API: generated from every HTTP function, committed beside this module."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge
from aws_lambda_powertools.event_handler.openapi.models import HTTPBearer, SecurityScheme

import moonlit
from moonlit.web import auth, problems
from moonlit.web.http_api import HttpApi

DOCUMENT = Path(__file__).with_name("openapi.json")
_TITLE = "Moonlit Scheduler"
_SCHEMES: dict[str, SecurityScheme] = {
    auth.SCHEME: HTTPBearer(bearerFormat="JWT", description="An access token of the sign-in, of staff or of a partner.")
}
_GATEWAY = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{css}</style></head>
<body><div id="ui"></div><script>{js}</script><script>
SwaggerUIBundle({{url: "openapi.json", dom_id: "#ui"}});
</script></body></html>
"""


def generate(apis: Iterable[HttpApi]) -> str:
    """Return the document of all the functions, as JSON text with sorted keys."""
    merged = OpenAPIMerge(title=_TITLE, version=moonlit.__version__, openapi_version="3.1.0", on_conflict="error")
    for api in apis:
        for route in (*api._static_routes, *api._dynamic_routes):  # noqa: SLF001  # Powertools has no other way to them.
            route.summary = (inspect.getdoc(route.func) or "").partition("\n")[0].rstrip(".")
        schema = api.get_openapi_json_schema(
            title=_TITLE, version=moonlit.__version__, openapi_version="3.1.0", security_schemes=_SCHEMES
        )
        merged.add_schema(json.loads(schema))
    document = merged.get_openapi_schema()
    for operations in document["paths"].values():
        for operation in operations.values():
            _add_what_every_route_answers(operation)
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _add_what_every_route_answers(operation: dict[str, Any]) -> None:
    """Describe what is answered before the route itself is asked: by API Gateway, and for what is not JSON."""
    responses = operation["responses"]
    if "security" in operation:
        responses["401"]["content"]["application/json"] = {"schema": _GATEWAY}
    if "requestBody" in operation:
        responses.setdefault("415", _problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE))


def _problem(status: HTTPStatus) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": status.phrase, "content": {problems.CONTENT_TYPE: {"schema": schema}}}


def committed() -> str:
    """Return the committed document."""
    return DOCUMENT.read_text()


def page() -> str:
    """Return a page that shows the document; the viewer comes with Powertools."""
    from aws_lambda_powertools.event_handler.openapi import swagger_ui

    assets = Path(swagger_ui.__file__).parent
    script = (assets / "swagger-ui-bundle.min.js").read_text()
    style = (assets / "swagger-ui.min.css").read_text()
    return _PAGE.format(title=_TITLE, css=style, js=script)
