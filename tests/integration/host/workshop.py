"""A template and functions of a test's own, run by the real host."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from local.clock import StackClock
from local.host.host import Host
from local.host.template import Template

NOWHERE = "http://127.0.0.1:9"

ECHO = """
    import json

    def handler(event, context):
        return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}
"""
PID = """
    import os, time

    def handler(event, context):
        time.sleep(float(event.get("seconds", 0)) if "version" not in event else 0.05)
        return str(os.getpid())
"""


@dataclass
class Workshop:
    """Makes functions in a folder and starts a host for them."""

    folder: Path
    aws_url: str = NOWHERE
    resources: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, code: str, *, events: Mapping[str, Any] | None = None, **properties: Any) -> None:
        """Add a function; `name` is its logical id and, in lower case, its folder."""
        folder = self.folder / name.lower()
        folder.mkdir()
        (folder / "app.py").write_text(textwrap.dedent(code))
        given = {"CodeUri": name.lower(), "Handler": "app.handler", "Timeout": 10, "Events": dict(events or {})}
        self.resources[name] = {"Type": "AWS::Serverless::Function", "Properties": given | properties}

    def template(self) -> Template:
        """Write the template and read it as the host does."""
        path = self.folder / "template.yaml"
        path.write_text(yaml.safe_dump({"Resources": self.resources}))
        return Template.read(path, sqs_url=self.aws_url)

    @asynccontextmanager
    async def host(self, **options: Any) -> AsyncIterator[Host]:
        """Run a host until the block ends; queues are polled when there is a local AWS."""
        clock = StackClock(self.folder / "clock")
        async with Host(self.template(), clock, self.aws_url, self.folder, **options) as host:
            if self.aws_url != NOWHERE:
                await host.start_sources()
            yield host

    def logged(self, name: str, text: str) -> bool:
        """Tell whether the log of a function holds `text`."""
        log = self.folder / f"{name.lower()}.log"
        return log.exists() and text in log.read_text()


def http(method: str, path: str, **more: Any) -> dict[str, Any]:
    """Return an HTTP event source, for `events=`."""
    return {f"{method}{abs(hash(path))}": {"Type": "HttpApi", "Properties": {"Method": method, "Path": path} | more}}


async def until(holds: Callable[[], object], *, seconds: float = 20) -> None:
    """Wait until something that another process does can be seen.

    Raises:
        TimeoutError: It was not seen in time.
    """
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  # The other process has no event to set.
            await asyncio.sleep(0.02)
