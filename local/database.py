"""The stack's database: a fresh one on the embedded server, with the functions' own login."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from local.clinic import LoadReport, load
from local.postgres import Server
from moonlit.db.engine import connect, transaction

NAME = "moonlit"
APP_ROLE, PARTNER_ROLE = "moonlit_app", "moonlit_partner"


@dataclass(frozen=True, slots=True)
class Database:
    """An empty database and its two logins.

    Attributes:
        owner_url: Who migrates and loads.
        app_url: Who the functions are, once the migrations have made the role and `let_functions_in` its password.
        partner_url: The same for those who read for partners.
    """

    owner_url: str
    app_url: str
    partner_url: str

    @classmethod
    def create(cls, server: Server) -> Database:
        """Create the database on a fresh server."""
        engine = sa.create_engine(server.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"create database {NAME}")
        engine.dispose()
        owner_url = server.url(NAME)
        return cls(owner_url, *(_login(owner_url, role) for role in (APP_ROLE, PARTNER_ROLE)))

    def let_functions_in(self) -> None:
        """Give the roles of the functions their passwords; the migrations have made them."""
        with self._owner() as connection:
            for login in map(make_url, (self.app_url, self.partner_url)):
                connection.exec_driver_sql(f"alter role {login.username} login password '{login.password}'")

    def load(self, clinic: Mapping[str, Any]) -> LoadReport:
        """Load a clinic file.

        Raises:
            ClinicRefused: The file is wrong; the database stays empty.
        """
        with self._owner() as connection:
            return load(connection, clinic)

    @contextmanager
    def _owner(self) -> Iterator[sa.Connection]:
        """Open a transaction as the owner."""
        engine = connect(self.owner_url)
        try:
            with transaction(engine) as connection:
                yield connection
        finally:
            engine.dispose()


def _login(owner_url: str, role: str) -> str:
    login = make_url(owner_url).set(username=role, password=secrets.token_hex(16))
    return login.render_as_string(hide_password=False)
