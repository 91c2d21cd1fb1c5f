"""The sign-in of one machine: a Cognito user pool with a user for everyone whom the loaded clinic knows."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

import sqlalchemy as sa

from local.aws import client
from local.host.tokens import COGNITO
from moonlit.db.engine import connect, transaction
from moonlit.db.tables import partner_users, staff_users

_FLOW = "ADMIN_USER_PASSWORD_AUTH"


@dataclass(frozen=True, slots=True)
class User:
    """A user of the pool. Its name is no e-mail address: access tokens carry it."""

    sub: str
    username: str
    password: str = field(repr=False)


@dataclass(slots=True)
class Identities:
    """A user pool with one application client.

    Attributes:
        users: By e-mail address.
    """

    pool_id: str
    client_id: str
    users: dict[str, User] = field(default_factory=dict)
    _cognito: Any = field(repr=False, default=None)

    @classmethod
    def create(cls, url: str) -> Self:
        """Create an empty pool in the local AWS services at `url`."""
        cognito = client("cognito-idp", url)
        pool_id = cognito.create_user_pool(PoolName="moonlit")["UserPool"]["Id"]
        created = cognito.create_user_pool_client(
            UserPoolId=pool_id, ClientName="dashboards", ExplicitAuthFlows=[f"ALLOW_{_FLOW}"]
        )
        return cls(pool_id, created["UserPoolClient"]["ClientId"], _cognito=cognito)

    @property
    def issuer(self) -> str:
        """The `iss` of this pool's tokens."""
        return f"{COGNITO}/{self.pool_id}"

    def enrol(self, owner_url: str) -> None:
        """Make a user for each address among the people of a database, and note there by which `sub` it signs in.

        Whoever is of the practice and of a partner, by the same address, is one user.
        """
        engine = connect(owner_url)
        try:
            with transaction(engine) as connection:
                self._enrol(connection)
        finally:
            engine.dispose()

    def _enrol(self, connection: sa.Connection) -> None:
        for table in (staff_users, partner_users):
            for email in connection.execute(sa.select(table.c.email)).scalars().all():
                if email not in self.users:
                    self.users[email] = self._create(email)
                sub = self.users[email].sub
                connection.execute(sa.update(table).where(table.c.email == email).values(identity_sub=sub))

    def tokens(self) -> dict[str, str]:
        """Sign everyone in and return their access tokens by e-mail address; each is good for an hour."""
        return {email: self._access_token(user) for email, user in self.users.items()}

    def _create(self, email: str) -> User:
        username, password = str(uuid4()), f"Aa1-{secrets.token_urlsafe(24)}"
        attributes = [{"Name": "email", "Value": email}]
        created = self._cognito.admin_create_user(
            UserPoolId=self.pool_id, Username=username, UserAttributes=attributes, MessageAction="SUPPRESS"
        )
        self._cognito.admin_set_user_password(
            UserPoolId=self.pool_id, Username=username, Password=password, Permanent=True
        )
        (sub,) = (each["Value"] for each in created["User"]["Attributes"] if each["Name"] == "sub")
        return User(sub, username, password)

    def _access_token(self, user: User) -> str:
        answer = self._cognito.admin_initiate_auth(
            UserPoolId=self.pool_id,
            ClientId=self.client_id,
            AuthFlow=_FLOW,
            AuthParameters={"USERNAME": user.username, "PASSWORD": user.password},
        )
        return str(answer["AuthenticationResult"]["AccessToken"])
