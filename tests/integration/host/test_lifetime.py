"""No worker outlives its host, however that one ends."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.integration.host.workshop import Workshop, until

ROOT = Path(__file__).parents[3]
HOST = """
import asyncio, sys
from pathlib import Path
from local.clock import StackClock
from local.host.host import Host
from local.host.template import Template

async def main(folder):
    template = Template.read(folder / "template.yaml", sqs_url="http://127.0.0.1:9")
    async with Host(template, StackClock(folder / "clock"), "http://127.0.0.1:9", folder) as host:
        await host.invoke("sleeper")

asyncio.run(main(Path(sys.argv[1])))
"""
SLEEPER = """
    import os, time
    from pathlib import Path

    def handler(event, context):
        Path("at-work").write_text(str(os.getpid()))
        time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has ended")
async def test_a_worker_at_work_ends_with_a_host_that_is_killed(workshop: Workshop) -> None:
    workshop.add("Sleeper", SLEEPER, Timeout=60)
    workshop.template()
    path = os.pathsep.join([str(ROOT), str(ROOT / "layers" / "common")])
    marker = workshop.folder / "sleeper" / "at-work"
    host = await asyncio.create_subprocess_exec(sys.executable, "-c", HOST, workshop.folder, env={"PYTHONPATH": path})
    await until(lambda: marker.exists() and marker.read_text())
    host.kill()
    await host.wait()
    worker = int(marker.read_text())
    await until(lambda: not running(worker))


def running(pid: int) -> bool:
    """Tell whether a process lives; one that has ended but was not waited for does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
