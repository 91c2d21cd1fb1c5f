"""Hosts of functions that the tests bring themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.integration.host.workshop import Workshop

ROOT = Path(__file__).parents[3]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(scope="session")
def aws_url() -> Iterator[str]:
    """The URL of a local AWS."""
    with subprocess.Popen(
        [sys.executable, "-m", "local.moto_server"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as server:
        assert server.stdout
        yield json.loads(server.stdout.readline())["url"]
        server.terminate()
