"""The report: every step with what it shows and whether what it claims held, in plain text of 100 columns."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

WIDTH = 100
_INDENT = "      "
_POLL_SECONDS = 0.02
_BOLD, _RED, _GREEN = "1", "31", "32"


class NotHeld(Exception):
    """Something that a step claims is not so."""

    def __init__(self, claim: str, *, expected: object, seen: object) -> None:
        super().__init__(claim)
        self.claim = claim
        self.expected = expected
        self.seen = seen


class NotTried(Exception):
    """A step lacks what an earlier one should have left it; the text says what."""


def hold(claim: str, *, expected: object, seen: object) -> None:
    """Make sure that what was seen is what was expected.

    Raises:
        NotHeld: It is not.
    """
    require(seen == expected, claim, expected=expected, seen=seen)


def require(condition: bool, claim: str, *, expected: object, seen: object) -> None:  # noqa: FBT001
    """Make sure of a claim that is more than two equal values.

    Raises:
        NotHeld: `condition` is false.
    """
    if not condition:
        raise NotHeld(claim, expected=expected, seen=seen)


def given[Found](found: Found | None, what: str) -> Found:
    """Return what an earlier step found.

    Raises:
        NotTried: It found nothing.
    """
    if found is None:
        raise NotTried(f"there is no {what} from an earlier step")
    return found


def until[Found](look: Callable[[], Found | None], claim: str, *, seconds: float = 20.0) -> Found:
    """Look again and again until something is found.

    Raises:
        NotHeld: Nothing was, in all that time.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found is not None:
            return found
        time.sleep(_POLL_SECONDS)
    raise NotHeld(claim, expected=f"within {seconds:g} s", seen="not yet")


def columns(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Yield the rows of a table as lines, each column as wide as its widest cell."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


class Report:
    """Writes the steps to `out` as they happen; colours only where a person looks at a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._has_colours = out.isatty() and not os.environ.get("NO_COLOR")
        self.steps = 0
        self.held = 0

    def say(self, line: str = "") -> None:
        """Write a line, at once."""
        print(line, file=self._out, flush=True)

    def step(self, title: str, lines: Iterator[str]) -> None:
        """Write a step's lines as it yields them and its verdict; whatever breaks it does not stop the next."""
        began = time.monotonic()
        self.steps += 1
        self.say()
        self.say(self._painted(_BOLD, f"{self.steps:>3}   {title}"))
        try:
            for line in lines:
                self._detail(line)
        except NotTried as missing:
            self._failed("NOT TRIED", str(missing))
        except NotHeld as broken:
            self._failed("FAILED", broken.claim)
            self._detail(f"  expected  {broken.expected}")
            self._detail(f"  seen      {broken.seen}")
        except Exception as error:  # noqa: BLE001  # Also what nobody thought of belongs in the report.
            self._failed("FAILED", f"the step itself broke: {type(error).__name__}: {error}")
        else:
            self.held += 1
            self._detail(f"{self._painted(_GREEN, 'ok')}, {time.monotonic() - began:.1f} s")

    def verdict(self, seconds: float) -> bool:
        """Write how the whole of it went, and return whether every step held."""
        all_held = self.held == self.steps
        text = f"{self.held} of {self.steps} steps held, {seconds:.0f} s."
        self.say()
        self.say(self._painted(_GREEN if all_held else _RED, text))
        return all_held

    def _failed(self, word: str, reason: str) -> None:
        self._detail(f"{self._painted(_RED, word)}: {reason}")

    def _detail(self, line: str) -> None:
        text = line.lstrip()
        indent = _INDENT + " " * (len(line) - len(text))
        for part in textwrap.wrap(
            text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False
        ):
            self.say(part)

    def _painted(self, colour: str, text: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._has_colours else text
