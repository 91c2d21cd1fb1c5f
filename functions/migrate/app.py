"""Bring the database to the newest schema; called by the deployment and by the local stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from aws_lambda_powertools.utilities.typing import LambdaContext

from moonlit.db.engine import connect
from moonlit.observability import logger
from moonlit.settings import database_tls, database_url


def configuration() -> Config:
    """Return Alembic's configuration; the caller adds the connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Upgrade to the newest revision and name it."""
    engine = connect(database_url(), tls=database_tls())
    config = configuration()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
    revision = ScriptDirectory.from_config(config).get_current_head()
    logger.info("database_migrated", revision=revision)
    return {"revision": revision}
