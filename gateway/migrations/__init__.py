"""The history of the store's tables (Alembic): `gateway.io.database.migrate` runs it."""
