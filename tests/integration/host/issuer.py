"""An issuer of sign-in tokens that a test holds the keys of."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE = "dashboards"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def segment(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@dataclass
class Issuer:
    """Signs tokens and serves the keys to check them with, as OpenID Connect says."""

    url: str = ""
    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=lambda: {"one": new_key()})
    fetched: int = 0
    working: bool = True

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good access token; those that are changed to None are left out."""
        now = int(time.time())
        claims = {
            "iss": self.url, "sub": "s-1", "client_id": AUDIENCE, "token_use": "access", "iat": now, "exp": now + 60,
        } | changes  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, key: str = "one", signer: rsa.RSAPrivateKey | None = None, **changes: Any) -> str:
        """Return a token that says it was signed with `key`, and was, unless there is another `signer`."""
        return jwt.encode(self.claims(**changes), signer or self.keys[key], "RS256", {"kid": key})

    def by_hand(self, algorithm: str, **header: Any) -> str:
        """Return a token that no library would make: unsigned, or with the public key for a shared secret."""
        parts = [{"alg": algorithm, "typ": "JWT", "kid": "one", **header}, self.claims()]
        signed = ".".join(segment(json.dumps(part).encode()) for part in parts)
        secret = self.keys["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        signature = hmac.digest(secret, signed.encode(), hashlib.sha256) if algorithm == "HS256" else b""
        return f"{signed}.{segment(signature)}"

    async def discovery(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def jwks(self, _: web.Request) -> web.Response:
        self.fetched += 1
        if not self.working:
            raise web.HTTPServiceUnavailable
        algorithm = jwt.algorithms.RSAAlgorithm
        listed = [
            {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "alg": "RS256", "use": "sig"}
            for name, key in self.keys.items()
        ]
        return web.json_response({"keys": listed})


@asynccontextmanager
async def serving() -> AsyncIterator[Issuer]:
    """Run an issuer until the block ends."""
    issuer, app = Issuer(), web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuer.discovery)
    app.router.add_get("/keys", issuer.jwks)
    async with TestServer(app) as server:
        issuer.url = str(server.make_url("")).rstrip("/")
        yield issuer
