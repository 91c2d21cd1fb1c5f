"""What every table definition shares: the metadata, the names of constraints, and column kinds."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def key(name: str = "id") -> sa.Column[Any]:
    """Return a UUID primary key that this side makes, so that a retry can name the same row."""
    return sa.Column(name, PG_UUID(as_uuid=True), primary_key=True, default=uuid4)


def ref(name: str, target: str, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    """Return a UUID column that refers to `target`, such as "payers.id"."""
    return sa.Column(name, PG_UUID(as_uuid=True), sa.ForeignKey(target), nullable=nullable, **options)


def instant(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    """Return a `timestamptz` column."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def text(name: str, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    """Return a text column, required unless said otherwise."""
    return sa.Column(name, sa.Text, nullable=nullable, **options)


def flag(name: str, *, default: bool = False) -> sa.Column[Any]:
    """Return a required boolean with a default."""
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.true() if default else sa.false())


def count(name: str) -> sa.Column[Any]:
    """Return a required integer that starts at zero."""
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def texts(name: str) -> sa.Column[Any]:
    """Return a required list of texts, empty by default."""
    return sa.Column(name, sa.ARRAY(sa.Text), nullable=False, server_default="{}")


def one_of(column: str, *values: str) -> sa.CheckConstraint:
    """Return a check that `column` holds one of `values` (or null, where the column allows it)."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} in ({listed})", name=column)
