"""Run migrations in one transaction on the connection that the caller put into the configuration."""

from alembic import context

from moonlit.db.tables import metadata


def run() -> None:
    connection = context.config.attributes["connection"]
    # A migration that waits for a lock makes everybody behind it wait too: give up instead.
    connection.exec_driver_sql("set lock_timeout = '5s'")
    connection.exec_driver_sql("set statement_timeout = '300s'")
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


run()
