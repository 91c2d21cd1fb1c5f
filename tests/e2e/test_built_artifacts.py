"""What `sam build` makes for this machine runs as it is: its layer, its folders, nothing of the checkout."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

from local import demo_data
from local.host.sandbox import Libraries
from local.options import Options
from local.stack import Stack
from local.state import State
from tests.conftest import ROOT
from tests.e2e.site import Site

pytestmark = pytest.mark.stack

ARCHITECTURE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fresh build."""
    folder = tmp_path_factory.mktemp("build")
    build = subprocess.run(
        ["make", "build", f"ARCHITECTURE={ARCHITECTURE}", f"SAM_ARGS=--build-dir {folder} --cache-dir {folder}/cache"],
        cwd=ROOT,
        env=os.environ | {"MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stdout[-3000:] + build.stderr[-3000:]
    return folder


def drive(stack: dict[str, object]) -> tuple[int, str, set[int]]:
    site = Site(stack)
    payers = site.api("GET", "/payers").body["items"]
    return len(payers), site.night()["state"], {site.invoke("SweeperFunction").get("failed", 0)}


@pytest.mark.timeout(300)
def test_the_build_serves_payers_and_syncs_a_night(artifacts: Path, tmp_path: Path) -> None:
    options = Options(
        state=State(tmp_path),
        clinic=demo_data.clinic(),
        intakeq_account=demo_data.account(),
        port=0,
        template=artifacts / "template.yaml",
        libraries=Libraries(layer=(artifacts / "CommonLayer" / "python",), own=tmp_path / "none"),
    )

    async def run() -> tuple[int, str, set[int]]:
        async with Stack(options) as stack:
            return await asyncio.to_thread(drive, stack.description)

    payers, night, failed = asyncio.run(run())
    assert (payers, night, failed) == (31, "completed", {0})


def test_the_layer_is_small_and_carries_no_development_tools(artifacts: Path) -> None:
    layer = artifacts / "CommonLayer" / "python"
    size = sum(path.stat().st_size for path in layer.rglob("*") if path.is_file())
    assert size < 60 * 1024 * 1024
    assert not {"boto3", "pytest", "aiohttp", "alembic"} & {path.name for path in layer.iterdir()}
    assert (layer / "moonlit" / "wiring.py").exists()
    assert json.loads((layer / "moonlit" / "web" / "openapi.json").read_text())["openapi"].startswith("3.1")
