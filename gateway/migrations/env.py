"""Runs the migrations on the connection that it is given, SQLite's and PostgreSQL's alike; it opens none of its own."""

from alembic import context

from gateway.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("no connection was given; migrations are run by gateway.io.database.migrate")
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite changes a table by making it anew
)
with context.begin_transaction():
    context.run_migrations()
