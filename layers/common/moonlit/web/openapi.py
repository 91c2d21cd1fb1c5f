"""The OpenAPI document of the whole API: generated from every HTTP function, committed beside this module."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge
from aws_lambda_powertools.event_handler.openapi.models import HTTPBearer, SecurityScheme

import moonlit
from moonlit.web import auth
from moonlit.web.http_api import HttpApi

DOCUMENT = Path(__file__).with_name("openapi.json")
_TITLE = "Moonlit Scheduler"
_SCHEMES: dict[str, SecurityScheme] = {
    auth.SCHEME: HTTPBearer(bearerFormat="JWT", description="An access token of the sign-in, of staff or of a partner.")
}
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
        schema = api.get_openapi_json_schema(
            title=_TITLE, version=moonlit.__version__, openapi_version="3.1.0", security_schemes=_SCHEMES
        )
        merged.add_schema(json.loads(schema))
    return json.dumps(merged.get_openapi_schema(), indent=1, sort_keys=True) + "\n"


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
