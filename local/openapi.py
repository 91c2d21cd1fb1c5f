"""Write the committed OpenAPI document anew, or with --check compare it: `make openapi`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from moonlit.web import openapi
from moonlit.web.http_api import HttpApi

FUNCTIONS = Path(__file__).parents[1] / "functions"


def http_apis() -> list[HttpApi]:
    """Return the resolver of every function that has one, by the function's name."""
    found = []
    for path in sorted(FUNCTIONS.glob("*/app.py")):
        if "HttpApi(" not in path.read_text():
            continue
        spec = importlib.util.spec_from_file_location(f"openapi_{path.parent.name}", path)
        if spec is None or spec.loader is None:
            raise ImportError(path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(module.app)
    return found


def main() -> int:
    """Return 1 when --check found a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    document = openapi.generate(http_apis())
    if not parser.parse_args().check:
        openapi.DOCUMENT.write_text(document)
        return 0
    if document != openapi.committed():
        print("The OpenAPI document differs from the code: run `make openapi` and commit.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
