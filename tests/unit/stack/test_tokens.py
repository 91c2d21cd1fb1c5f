"""Access tokens live for an hour; a stack lives longer."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any, cast

import pytest

from local import stack as stacks
from local.identities import Identities
from local.options import Options
from local.stack import Stack
from local.state import State


class Sequence:
    """Signs one person in, with another token each time."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def tokens(self) -> dict[str, str]:
        return {"admin@example.org": f"token-{next(self._numbers)}"}


async def test_the_description_has_ever_new_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_RENEWAL_SECONDS", 0.01)
    stack = Stack(Options(state=State(tmp_path), clinic={}, intakeq_account={}))
    stack.identities = cast("Identities", Sequence())
    stack.description = {"apiUrl": "http://127.0.0.1:9"}
    renewing = asyncio.create_task(stack._renew_tokens())
    seen: list[Any] = []
    async with asyncio.timeout(10):
        while len(seen) < 3:
            await asyncio.sleep(0.005)
            if stack.options.state.description_file.exists():
                description = stack.options.state.description()
                assert description["apiUrl"] == "http://127.0.0.1:9"
                if description["tokens"] not in seen:
                    seen.append(description["tokens"])
    renewing.cancel()
    assert {next(iter(tokens)) for tokens in seen} == {"admin@example.org"}
