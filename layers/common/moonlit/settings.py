"""What the environment says, validated once and nowhere else read. docs/settings.md lists every name."""

from __future__ import annotations

import os
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.engine import URL


class DatabaseSettings(BaseModel):
    """Where the database is: a URL on one machine, a secret with RDS's usual keys in the cloud."""

    url: str | None = Field(alias="DATABASE_URL", default=None)
    secret_id: str | None = Field(alias="DB_SECRET_ID", default=None)


class PartnerDatabaseSettings(BaseModel):
    """The same database under the login of partners, whom it shows their own patients alone."""

    url: str | None = Field(alias="PARTNER_DATABASE_URL", default=None)
    secret_id: str | None = Field(alias="PARTNER_DB_SECRET_ID", default=None)


class IntakeqSettings(BaseModel):
    """How to reach IntakeQ. The secret holds `apiKey` and `webhookSecrets`, two of them while one is rotated."""

    base_url: str = Field(alias="INTAKEQ_BASE_URL", default="https://intakeq.com/api/v1")
    secret_id: str = Field(alias="INTAKEQ_SECRET_ID", min_length=1)


class AthenaSettings(BaseModel):
    """How to reach athenahealth. The secret holds `clientId`, `clientSecret`, `practiceId` and `webhookSecrets`."""

    base_url: str = Field(alias="ATHENA_BASE_URL", default="https://api.platform.athenahealth.com")
    secret_id: str = Field(alias="ATHENA_SECRET_ID", min_length=1)


class QueueSettings(BaseModel):
    """The queues that functions write to."""

    sync_url: str | None = Field(alias="SYNC_QUEUE_URL", default=None)
    pull_url: str | None = Field(alias="PULL_QUEUE_URL", default=None)
    event_url: str | None = Field(alias="EVENT_QUEUE_URL", default=None)


class EventSettings(BaseModel):
    """The bus that tells the bundle what has happened."""

    bus_name: str = Field(alias="EVENT_BUS_NAME", min_length=1)


class TokenSettings(BaseModel):
    """The secret whose `key` signs manage tokens."""

    secret_id: str = Field(alias="TOKEN_SECRET_ID", min_length=1)


class WebSettings(BaseModel):
    """Where documents about the API live."""

    problems_base: str = Field(alias="PROBLEMS_BASE", default="https://docs.moonlit.example/problems")


class IntakeqSecret(BaseModel):
    """What is kept secret of an IntakeQ account: its key, and one webhook secret, or two while one is rotated.

    With a `practice_id`, webhooks that name another practice are not applied.
    """

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    api_key: str = Field(alias="apiKey", min_length=1)
    webhook_secrets: list[Annotated[str, Field(min_length=16)]] = Field(
        alias="webhookSecrets", min_length=1, max_length=2
    )
    practice_id: str | None = Field(alias="practiceId", default=None, min_length=1)


class AthenaSecret(BaseModel):
    """What is kept secret of an athenahealth account: the app's id and secret, and the practice that it opens.

    Also what event subscriptions are signed with: one secret, two while one is rotated; none, and all are refused.
    """

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    client_id: str = Field(alias="clientId", min_length=1)
    client_secret: str = Field(alias="clientSecret", min_length=1)
    practice_id: str = Field(alias="practiceId", pattern=r"^\d+$")
    webhook_secrets: list[Annotated[str, Field(min_length=16)]] = Field(
        alias="webhookSecrets", default=[], max_length=2
    )


def load[Model: BaseModel](model: type[Model]) -> Model:
    """Return `model` filled from the environment.

    Raises:
        pydantic.ValidationError: A variable is missing or malformed; the function does not start.
    """
    names = [field.alias for field in model.model_fields.values() if field.alias]
    known = {name: os.environ[name] for name in names if name in os.environ}
    return model.model_validate(known)  # Not all of the environment: an error would quote credentials from it.


def secret(secret_id: str) -> dict[str, Any]:
    """Return a JSON secret; Powertools keeps it for five minutes, so that a rotation is seen."""
    from aws_lambda_powertools.utilities.parameters import get_secret  # boto3 is slow to import: only who needs it.

    value = get_secret(secret_id, transform="json", max_age=300)
    if not isinstance(value, dict):
        raise TypeError("the secret is not a JSON object")
    return value


def intakeq_secret() -> IntakeqSecret:
    """Return the secret of the IntakeQ account.

    Raises:
        pydantic.ValidationError: It is not what it should be; a webhook must not be let in by half a secret.
    """
    return IntakeqSecret.model_validate(secret(load(IntakeqSettings).secret_id))


def athena_secret() -> AthenaSecret:
    """Return the secret of the athenahealth account.

    Raises:
        pydantic.ValidationError: It is not what it should be.
    """
    return AthenaSecret.model_validate(secret(load(AthenaSettings).secret_id))


def database_tls() -> bool:
    """Tell whether the database has to prove who it is: always in the cloud, where a secret says where it is."""
    return load(DatabaseSettings).url is None


def database_url() -> str:
    """Return the SQLAlchemy URL of the application's login."""
    settings = load(DatabaseSettings)
    return settings.url or _stored_url(settings.secret_id, "either DATABASE_URL or DB_SECRET_ID is needed")


def partner_database_url() -> str:
    """Return the SQLAlchemy URL of the login of partners."""
    settings = load(PartnerDatabaseSettings)
    missing = "either PARTNER_DATABASE_URL or PARTNER_DB_SECRET_ID is needed"
    return settings.url or _stored_url(settings.secret_id, missing)


def _stored_url(secret_id: str | None, missing: str) -> str:
    if not secret_id:
        raise ValueError(missing)
    stored = secret(secret_id)
    return URL.create(
        "postgresql+pg8000",
        stored["username"],
        stored["password"],
        stored["host"],
        int(stored["port"]),
        stored["dbname"],
    ).render_as_string(hide_password=False)
