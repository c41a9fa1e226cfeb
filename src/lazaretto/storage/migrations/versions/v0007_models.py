"""A model is of a registry, has many inputs and aliases; a snapshot has views."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from lazaretto.names import registry_name
from lazaretto.storage.column_types import UtcDateTime
from lazaretto.values import InputKind, ModelInput, role_of

revision = "0007"
down_revision = "0006"

_HASH = "hash of that entry"
_STATE_OF = "ledger entry that this row is the state of"
_FIRST = "ledger entry that registered it first"
_KEY = ("registry", "model", "version")
_ENTRY = (
    sa.column("at", UtcDateTime()),
    sa.column("seq", sa.BigInteger()),
    sa.column("entry", sa.String()),
)
_SAID = ("model", "version", "registry", "dataset", "snapshot", "rows", "purpose")
_MODELS = sa.table(
    "model_version",
    *(sa.column(name) for name in (*_SAID, "artifact_uri", "artifact_digest")),
    *_ENTRY,
)
_MARKS = sa.table("recalled_model", *(sa.column(name) for name in ("recall", "model", "version")))


def upgrade() -> None:
    bind = op.get_bind()
    models = [dict(row._mapping) for row in bind.execute(sa.select(_MODELS))]
    marks = [dict(row._mapping) for row in bind.execute(sa.select(_MARKS))]
    for row in models:
        row["registry"] = registry_name(row["registry"])
    of = {(row["model"], row["version"]): row["registry"] for row in models}
    op.drop_table("recalled_model")
    op.drop_table("model_version")
    _views()
    op.bulk_insert(_models(), models)
    op.bulk_insert(_inputs(), [_input(row) for row in models])
    _aliases()
    marked = [mark | {"registry": of[mark["model"], mark["version"]]} for mark in marks]
    op.bulk_insert(_recalled(_KEY), marked)
    _index_anew()
    # Older code does not tell registries apart.
    _require(revision)


def _input(row: dict[str, Any]) -> dict[str, Any]:
    """The snapshot that an older entry names, as an input."""
    role, version = role_of(row["purpose"]), str(row["snapshot"])
    learned = ModelInput(InputKind.SNAPSHOT, "", row["dataset"], version, role, row["rows"])
    return {name: row[name] for name in (*_KEY, "rows", "at", "seq", "entry")} | {
        "input": learned.key,
        "kind": learned.kind.value,
        "namespace": "",
        "name": learned.name,
        "of_version": learned.version,
        "role": role.value,
    }


def _views() -> None:
    op.create_table(
        "training_view",
        sa.Column("dataset", sa.String(255), nullable=False),
        sa.Column(
            "view", sa.String(64), nullable=False, comment="id: the version and what is left out"
        ),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        *_entry(_STATE_OF),
        _of_snapshot("training_view", "version"),
        sa.PrimaryKeyConstraint("dataset", "view", name="pk_training_view"),
    )


def _models() -> sa.Table:
    made = op.create_table(
        "model_version",
        *_named(_KEY),
        sa.Column("dataset", sa.String(255), comment="of the first snapshot; null: there is none"),
        sa.Column("snapshot", sa.BigInteger()),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("artifact_uri", sa.Text()),
        sa.Column("artifact_digest", sa.String(64)),
        *_entry(_FIRST),
        _of_snapshot("model_version", "snapshot"),
        sa.PrimaryKeyConstraint(*_KEY, name="pk_model_version"),
    )
    op.create_index("ix_model_version_model_version", "model_version", ["model", "version"])
    op.create_index("ix_model_version_seq", "model_version", ["seq"])
    return made


def _inputs() -> sa.Table:
    same = "sha256 of what makes it the same input"
    made = op.create_table(
        "model_input",
        *_named(_KEY),
        sa.Column("input", sa.String(64), nullable=False, comment=same),
        sa.Column("kind", sa.String(16), nullable=False, comment="SNAPSHOT, TABLE, MODEL"),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("of_version", sa.Text(), comment="of the input; null: not known"),
        sa.Column("role", sa.String(16), nullable=False, comment="how it was used"),
        sa.Column("rows", sa.BigInteger(), comment="records read; null: not known"),
        *_entry("ledger entry that named it first"),
        _of_model("model_input"),
        sa.PrimaryKeyConstraint(*_KEY, "input", name="pk_model_input"),
    )
    op.create_index(
        "ix_model_input_name",
        "model_input",
        ["name"],
        sqlite_where=sa.text("kind = 'SNAPSHOT'"),
        postgresql_where=sa.text("kind = 'SNAPSHOT'"),
    )
    return made


def _aliases() -> None:
    stands_for = "that it stands for; null: for none any more"
    op.create_table(
        "model_alias",
        *_named(("registry", "model", "alias")),
        sa.Column("version", sa.String(255), comment=stands_for),
        *_entry(_STATE_OF),
        _of_model("model_alias"),
        sa.PrimaryKeyConstraint("registry", "model", "alias", name="pk_model_alias"),
    )


def _recalled(key: tuple[str, ...]) -> sa.Table:
    return op.create_table(
        "recalled_model",
        sa.Column("recall", sa.String(64), nullable=False),
        *_named(key),
        _of_model("recalled_model", key),
        sa.ForeignKeyConstraint(["recall"], ["recall.id"], name="fk_recalled_model_recall"),
        sa.PrimaryKeyConstraint("recall", *key, name="pk_recalled_model"),
    )


def _named(columns: tuple[str, ...]) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(255), nullable=False) for name in columns]


def _entry(what: str) -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment=what),
        sa.Column("entry", sa.String(64), nullable=False, comment=_HASH),
    )


def _of_model(table: str, key: tuple[str, ...] = _KEY) -> sa.ForeignKeyConstraint:
    there = [f"model_version.{name}" for name in key]
    return sa.ForeignKeyConstraint(list(key), there, name=f"fk_{table}_{'_'.join(key)}")


def _of_snapshot(table: str, version: str) -> sa.ForeignKeyConstraint:
    there = ["snapshot.dataset", "snapshot.version"]
    name = f"fk_{table}_dataset_{version}"
    return sa.ForeignKeyConstraint(["dataset", version], there, name=name)


def _require(oldest: str) -> None:
    op.execute(sa.text("UPDATE workspace SET usable_from = :oldest").bindparams(oldest=oldest))


def _index_anew() -> None:
    """Registries are told in other words, and more inputs: the index is made anew."""
    op.execute("DELETE FROM lineage_edge")
    op.execute("DELETE FROM lineage_node")
    op.execute("DELETE FROM projection WHERE name = 'index'")


def downgrade() -> None:
    """Keeps of each name the model that the older schema has room for: the first, on a snapshot."""
    bind = op.get_bind()
    query = sa.select(_MODELS).where(_MODELS.c.dataset.is_not(None)).order_by(_MODELS.c.seq)
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    for row in bind.execute(query):
        kept.setdefault((row.model, row.version), dict(row._mapping))
    marks = sa.table("recalled_model", *(sa.column(name) for name in ("recall", *_KEY)))
    found = [dict(row._mapping) for row in bind.execute(sa.select(marks))]
    for table in ("recalled_model", "model_alias", "model_input", "model_version", "training_view"):
        op.drop_table(table)
    before = ("model", "version")
    made = op.create_table(
        "model_version",
        *_named((*before, "registry", "dataset")),
        sa.Column("snapshot", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("artifact_uri", sa.Text()),
        sa.Column("artifact_digest", sa.String(64)),
        *_entry(_STATE_OF),
        _of_snapshot("model_version", "snapshot"),
        sa.PrimaryKeyConstraint(*before, name="pk_model_version"),
    )
    op.bulk_insert(made, list(kept.values()))
    left = [
        {name: mark[name] for name in ("recall", *before)}
        for mark in found
        if kept.get((mark["model"], mark["version"]), {}).get("registry") == mark["registry"]
    ]
    op.bulk_insert(_recalled(before), left)
    _index_anew()
    _require(down_revision)
