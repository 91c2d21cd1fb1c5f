"""A running simulator as tests see it, whatever vendor it plays."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

from moonlit.clock import Clock


@dataclass(frozen=True)
class SimulatorServer:
    """A running simulator and the clock that it goes by."""

    url: str
    clock: Clock

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call /_control/<path> and return its JSON."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/_control/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def fail(self, *faults: dict[str, Any]) -> None:
        """Order these faults, in place of all earlier ones."""
        self.control("POST", "faults", {"faults": list(faults)})

    def requests(self) -> list[dict[str, Any]]:
        """Return every request received since the start or the last `forget`."""
        return list(self.control("GET", "requests"))

    def forget(self) -> None:
        """Empty the list of requests."""
        self.control("DELETE", "requests")

    def state(self) -> dict[str, Any]:
        """Return the account as it is now."""
        return dict(self.control("GET", "state"))
