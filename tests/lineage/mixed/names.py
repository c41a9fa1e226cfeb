"""Names of the things of a history, each in several spellings that mean the same."""

from __future__ import annotations

from typing import NamedTuple

ROOT, REAL = "{root}", "{real}"
"""The store as it was opened, by a symbolic link, and without that."""
DATASET = "digits"
HIVE = "hive://metastore:9083"


class Name(NamedTuple):
    """A dataset's name as an event writes it.

    Attributes:
        namespace: OpenLineage namespace.
        name: OpenLineage name.
        symlink: whether the event says by a `symlinks` facet that it is the first spelling.
        told: whether only a person's alias says so.
    """

    namespace: str
    name: str
    symlink: bool = False
    told: bool = False


TABLES: dict[str, list[Name]] = {
    "table:a": [
        Name("s3://lake", "tables/a"),
        Name("s3a://lake", "tables/a"),
        Name("s3://lake/", "/tables/a/"),
        Name("S3N://lake", "tables//x/../a"),
    ],
    "table:b": [
        Name("file", "/warehouse/b"),
        Name("file://localhost", "/warehouse/b/"),
        Name("file:///", "/warehouse/./b"),
        Name("file://127.0.0.1", "/warehouse/b"),
    ],
    "table:c": [
        Name("hdfs://nn:8020", "data/c"),
        Name("hdfs://nn:8020", "/data/c"),
        Name("hdfs://NN:8020/", "data/c"),
        Name("warehouse", "c", told=True),
    ],
    "table:d": [
        Name("gs://mart", "d"),
        Name("gcs://mart", "d"),
        Name(HIVE, "mart.d", symlink=True),
        Name(HIVE, "mart.d", symlink=True),
    ],
}
OURS = [
    Name("file", f"{ROOT}/datasets/{DATASET}"),
    Name("file://localhost", f"{ROOT}/datasets/{DATASET}/"),
    Name("file://trainer-7", f"{ROOT}/datasets/{DATASET}"),
    Name("file", f"{REAL}/datasets/{DATASET}"),
    Name(HIVE, f"default.{DATASET}", symlink=True),
]
EXPORTS = {
    "export:disk": "/exports/train.parquet",
    "export:bucket": "s3://drop/train.parquet",
}
_EXPORTED = {
    "export:disk": [
        Name("file", "/exports/train.parquet"),
        Name("file://trainer-7", "/exports/train.parquet"),
    ],
    "export:bucket": [Name("s3://drop", "train.parquet"), Name("s3a://drop", "/train.parquet")],
}
OUTSIDE = {
    "outside:rates": Name("snowflake://vendor", "public.rates"),
    "outside:bert": Name("https://hub.example", "bert"),
}
OUTSIDE_VERSION = {"outside:rates": "y2024", "outside:bert": "base"}
REGISTRIES = {"us": "mlflow://models:5000", "eu": "mlflow://eu:5000"}
MODELS = tuple(f"model:{registry}:{name}" for registry in REGISTRIES for name in ("net", "head"))
PARTNER = Name("s3://partner", "batches/partner")


def spellings(thing: str) -> list[Name]:
    """All spellings of a thing; the first is the plain one."""
    kind, _, rest = thing.partition(":")
    fixed = {**TABLES, **_EXPORTED, "ours": OURS, "partner": [PARTNER]}
    if thing in fixed:
        return fixed[thing]
    if kind == "outside":
        return [OUTSIDE[thing]]
    if kind == "batch":
        return [Name("file", f"{root}/batches/{rest}") for root in (ROOT, REAL)]
    registry, name = registry_of(thing)
    return [Name(registry, name), Name(f"{registry}/", name)]


def registry_of(model: str) -> tuple[str, str]:
    """Namespace of the registry and name of a model, from its key ``model:REGISTRY:NAME``."""
    _, registry, name = model.split(":")
    return REGISTRIES[registry], name


def model_key(registry: str, name: str) -> str:
    """Key of a model: what `registry_of` was made of."""
    return next(key for key in MODELS if registry_of(key) == (registry, name))


def is_model(thing: str) -> bool:
    """Whether a key is of a model."""
    return thing.startswith("model:") or thing == "outside:bert"
