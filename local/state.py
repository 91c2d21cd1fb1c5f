"""The folder in which a stack keeps what others may read, one running stack to a folder."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.processes import ROOT

_OWNER_ONLY = 0o600  # The description holds the logins of this stack.


class StackRunning(RuntimeError):
    """Another stack uses the folder."""


class NoStack(RuntimeError):
    """No stack runs here."""


@dataclass(frozen=True, slots=True)
class State:
    """The folder of one stack: `.local`, unless MOONLIT_STATE names another."""

    folder: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> State:
        """Return the folder that an environment means."""
        return cls(Path(environment.get("MOONLIT_STATE") or ROOT / ".local").resolve())

    @property
    def description_file(self) -> Path:
        """Where a running stack says how to reach it."""
        return self.folder / "stack.json"

    @property
    def clock_file(self) -> Path:
        """What holds the stack's clock."""
        return self.folder / "clock"

    @property
    def logs(self) -> Path:
        """The folder for the output of every process."""
        return self.folder / "logs"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for one stack, freed of what an earlier one left; the system frees it if we are killed.

        Raises:
            StackRunning: Another stack holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "stack.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackRunning(f"A stack is running already: {self.description_file}") from None
            self._clear()
            try:
                yield
            finally:
                self._clear(keep_logs=True)

    @contextmanager
    def server_folder(self, folder: Path) -> Iterator[None]:
        """Remember the database server's folder, which lies elsewhere, while it is in use."""
        self._server_note.write_text(str(folder))
        try:
            yield
        finally:
            self._server_note.unlink(missing_ok=True)

    def publish(self, description: Mapping[str, Any]) -> None:
        """Say how to reach the stack of this process, all at once."""
        fresh = self.description_file.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY), "w") as file:
            json.dump({**description, "pid": os.getpid()}, file, indent=2)
        fresh.replace(self.description_file)

    def description(self) -> dict[str, Any]:
        """Return how to reach the running stack.

        Raises:
            NoStack: None runs.
        """
        try:
            described: dict[str, Any] = json.loads(self.description_file.read_text())
            os.kill(described["pid"], 0)  # One that was killed leaves its description behind.
        except (FileNotFoundError, ProcessLookupError):
            raise NoStack("No stack is running. Start one with `make up`.") from None
        return described

    @property
    def _server_note(self) -> Path:
        return self.folder / "postgres-folder"

    def _clear(self, *, keep_logs: bool = False) -> None:
        self.description_file.unlink(missing_ok=True)
        with suppress(FileNotFoundError):  # The database server of a stack that was killed went with it, its data not.
            shutil.rmtree(self._server_note.read_text(), ignore_errors=True)
            self._server_note.unlink()
        if not keep_logs:
            shutil.rmtree(self.logs, ignore_errors=True)
            self.logs.mkdir()
