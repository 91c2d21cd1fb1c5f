"""One worker process: AWS's own runtime client on nothing but the function's code, the layer and the runtime."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from local.host.intrinsics import REGION
from local.host.template import Function
from local.processes import ROOT, die_with_parent

VENV = ROOT / ".venv"


@dataclass(frozen=True, slots=True)
class Libraries:
    """What a function may import beside its own code and the standard library.

    Attributes:
        layer: The folders that the layer brings.
        runtime: What AWS's image brings: the runtime client and boto3.
        own: Holds a folder for each function that has requirements of its own.
    """

    layer: tuple[Path, ...] = (ROOT / "layers" / "common", VENV / "layer")
    runtime: Path = VENV / "runtime"
    own: Path = VENV / "functions"

    def path(self, function: Function) -> Iterable[Path]:
        """Return the folders on a function's import path, in the order of the cloud."""
        return (function.code, self.own / function.folder, *self.layer, self.runtime)


@dataclass(slots=True)
class Sandbox:
    """A running worker process and its group."""

    _process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, function: Function, environment: Mapping[str, str], log: Path) -> Self:
        """Start a worker of `function`; its output is added to `log`."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-S",  # Without the environment's own packages, which the cloud does not have.
                "-m",
                "awslambdaric",
                function.handler,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(environment),
                cwd=function.code,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._process.pid

    @property
    def status(self) -> str:
        """How it ended, in the cloud's words."""
        code = self._process.returncode
        if code is None:
            return "still running"
        return f"exit status {code}" if code >= 0 else f"signal: {signal.Signals(-code).name}"

    async def wait(self) -> None:
        """Wait until it has ended."""
        await self._process.wait()

    def kill(self) -> None:
        """End it at once, with whatever it started."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


def worker_environment(
    function: Function, *, runtime_api: str, libraries: Libraries, overrides: Mapping[str, str]
) -> dict[str, str]:
    """Return the whole environment of a worker: nothing of ours leaks into it but PATH.

    `runtime_api` is the host, port and path prefix where this one worker asks for its events; `overrides` win over
    what the template sets.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in libraries.path(function)),
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": function.log_format,
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "LAMBDA_TASK_ROOT": str(function.code),
        "LAMBDA_RUNTIME_DIR": str(libraries.runtime),
        "_HANDLER": function.handler,
        **function.environment,
        **overrides,
    }
