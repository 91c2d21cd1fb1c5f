"""Whole stacks, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.running import running_stack
from tests.e2e.site import Site, small_site


@pytest.fixture(scope="module")
def stack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of the module's stack."""
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def stack(stack_folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the stack.json of a stack on the built-in clinic, shared by the tests of one module."""
    with running_stack(stack_folder) as description:
        yield description


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a small practice's stack, one night behind it, shared by the tests of one module."""
    with small_site(tmp_path_factory.mktemp("site")) as running:
        yield running
