"""The body of a request as it was sent: webhooks are checked and stored byte by byte."""

from __future__ import annotations

import base64
import binascii

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2


def raw_body(event: APIGatewayProxyEventV2) -> bytes:
    """Return the body's bytes, empty when there is none. API Gateway sends what is not text in base64."""
    body = event.get("body") or ""
    plain = body.encode(errors="surrogatepass")  # Half a surrogate pair is no text, and must not stop us here.
    if not event.get("isBase64Encoded"):
        return plain
    try:
        return base64.b64decode(plain, validate=True)
    except binascii.Error:
        return plain
