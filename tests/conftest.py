"""What every test may lean on: a real PostgreSQL, migrated once, and an empty database for each test that asks."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.engine import make_url

from local.postgres import Server
from moonlit.db.engine import Begin, beginner, connect
from tests.databases import Databases

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True, scope="session")
def only_loopback() -> Iterator[None]:
    """Let no test reach beyond this machine."""
    real = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and str(address[0]) not in ("127.0.0.1", "::1", "localhost"):
            raise RuntimeError("tests may not reach beyond this machine")
        real(self, address)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


def function_module(name: str) -> ModuleType:
    """Import functions/<name>/app.py under a name of its own: every function's module is called `app`."""
    spec = importlib.util.spec_from_file_location(f"function_{name}", ROOT / "functions" / name / "app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Yield this session's own server, with the database `template_moonlit` migrated."""
    with Server.start() as server:
        owner = sa.create_engine(server.url(), isolation_level="AUTOCOMMIT")
        with owner.connect() as connection:
            connection.exec_driver_sql("create database template_moonlit")
        owner.dispose()
        migrated = sa.create_engine(server.url("template_moonlit"))
        config = function_module("migrate").configuration()
        with migrated.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        migrated.dispose()
        yield server


@pytest.fixture(scope="session")
def databases(postgres: Server) -> Iterator[Databases]:
    """Yield the databases that tests borrow, clones of `template_moonlit`."""
    owner = sa.create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        yield Databases(postgres, connection)
    owner.dispose()


@pytest.fixture
def database_url(postgres: Server, databases: Databases) -> Iterator[str]:
    """Yield the owner's URL of a migrated, empty database."""
    name = databases.take()
    yield postgres.url(name)
    databases.give_back(name)


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """Yield an engine of one connection to the test's database, as the owner."""
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def begin(engine: sa.Engine) -> Begin:
    """Return what use cases open their transactions with."""
    return beginner(engine)


@pytest.fixture(scope="session")
def app_password(postgres: Server) -> str:
    """Let the functions' own role `moonlit_app` sign in, and return its password."""
    password = "for-tests-only"
    owner = sa.create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.exec_driver_sql(f"alter role moonlit_app login password '{password}'")
    owner.dispose()
    return password


@pytest.fixture
def app_url(database_url: str, app_password: str) -> str:
    """Return the URL of the test's database for the functions' own login, `moonlit_app`."""
    return (
        make_url(database_url).set(username="moonlit_app", password=app_password).render_as_string(hide_password=False)
    )
