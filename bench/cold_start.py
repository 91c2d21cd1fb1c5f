"""Importing a function, beside importing the libraries that it loads; what it must not load; the layer's size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.findings import Finding
from bench.probing import probe
from bench.rig import Rig
from bench.sizes import Sizes
from local.database import Database
from local.host.sandbox import VENV, Libraries
from local.processes import ROOT

# Slow to import, so nobody does it in vain: an EHR client, AWS's, the ORM; and HTTP's event handler without HTTP.
_HEAVY = ("boto3", "httpx", "sqlalchemy.orm", "aws_lambda_powertools.event_handler")
_EVENT_HANDLER = _HEAVY[-1]
_MEGABYTE = 1024 * 1024


def measure(rig: Rig, sizes: Sizes) -> Iterator[Finding]:
    """Measure every function of the template in fresh processes."""
    speaks_http = {route.function for route in rig.template.routes}
    for function in filter(lambda each: sizes.includes(each.folder), rig.template.functions.values()):
        environment = rig.environment(function.folder, Database("", "", ""))
        loaded = probe("app", function.folder, environment).loaded
        yield _import_time(function.folder, environment, loaded, sizes.imports)
        allowed = {_EVENT_HANDLER} if function.logical_id in speaks_http else set()
        heavy = [name for name in _HEAVY if name in loaded]
        yield Finding(
            what=f"{function.folder}: slow imports without need", n=1, unit="", ours=len(set(heavy) - allowed), bar=0,
            note=f"loads {', '.join(heavy)}" if heavy else "",
        )  # fmt: skip
    size = sum(map(_size, (VENV / "layer", ROOT / "layers" / "common"))) / _MEGABYTE
    yield Finding(what="the layer, unpacked", n=1, ours=size, unit="MB", bar=60)


def _import_time(folder: str, environment: Mapping[str, str], loaded: Mapping[str, str | None], times: int) -> Finding:
    libraries = [name for name, file in loaded.items() if _is_library(file)]
    ours, bare = [], []
    for _ in range(times):
        ours.append(probe("app", folder, environment).milliseconds)
        bare.append(probe("modules", folder, environment, libraries).milliseconds)
    return Finding(
        what=f"{folder}: import, beside its libraries", n=times, ours=min(ours), reference=min(bare), bar=1.3
    )


def _is_library(file: str | None) -> bool:
    known = Libraries()
    return file is not None and any(Path(file).is_relative_to(folder) for folder in (VENV / "layer", known.runtime,
                                                                                   known.own))  # fmt: skip


def _size(folder: Path) -> int:
    """Return the bytes below `folder` without what Python compiles by itself."""
    files = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return sum(file.stat().st_size for file in files)
