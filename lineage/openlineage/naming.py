"""Names by OpenLineage's rules: stable datasets; versions travel in facets, never in names."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult

from openlineage.client.uuid import generate_static_uuid

from lazaretto.names import namespace_text, registry_name
from lazaretto.redact import safe_uri

if TYPE_CHECKING:
    from lazaretto.ledger.chain import Entry

_BUCKETS = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
_NOT_IN_TOKEN = re.compile(r"[^A-Za-z0-9_.@+=-]")


class DatasetName(NamedTuple):
    """OpenLineage's address of a dataset, without a version."""

    namespace: str
    name: str


@lru_cache(maxsize=1024)  # of every batch and version of a store the same few are asked for
def dataset_name(uri: str) -> DatasetName:
    """Names the dataset at a path or URI, without credentials (`lazaretto.redact.safe_uri`).

    Follows the naming table of the OpenLineage specification: ``file`` and the path for local
    files, ``s3://bucket`` and the key for buckets, scheme and host otherwise.
    """
    parts = _split(uri)
    if parts.scheme == "":
        return DatasetName("file", posixpath.normpath(parts.path) if parts.path else "/")
    scheme = _BUCKETS.get(parts.scheme, parts.scheme)
    path = posixpath.normpath(parts.path).lstrip("/") if parts.path else ""
    return DatasetName(namespace_text(f"{scheme}://{parts.netloc}"), path or "/")


def clean_uri(uri: str) -> str:
    """The address without credentials; a path for what is on this machine."""
    parts = _split(uri)
    return parts.path if parts.scheme == "" else f"{parts.scheme}://{parts.netloc}{parts.path}"


def origin(uri: str) -> DatasetName:
    """The stable dataset behind a delivery: the folder or prefix it was delivered to."""
    namespace, name = dataset_name(uri)
    return DatasetName(namespace, posixpath.dirname(name) or "/")


def source_of(batch: str) -> str:
    """The source of a batch id, ``{source}/{digest}``."""
    return batch.rsplit("/", 1)[0]


def batches(store_root: str, source: str) -> DatasetName:
    """The dataset whose versions are the batches of one source."""
    return dataset_name(f"{store_root}/batches/{source}")


def admitted(store_root: str, dataset: str) -> DatasetName:
    """The admitted dataset of a name, whose versions are those of its Delta table."""
    return dataset_name(f"{store_root}/datasets/{dataset}")


def side_car(store_root: str, kind: str, source: str) -> DatasetName:
    """The dataset of what a stage writes beside the batches: failures, embeddings, scores."""
    return dataset_name(f"{store_root}/batches/{source}/{kind}")


def held(store_root: str, source: str) -> DatasetName:
    """The dataset whose versions are the cases of one source: what is held of its batches."""
    return dataset_name(f"{store_root}/held/{source}")


def reference(store_root: str, name: str) -> DatasetName:
    """A reference, whose versions are frozen in the store."""
    return dataset_name(f"{store_root}/references/{name}")


def model(registry: str, name: str) -> DatasetName:
    """The dataset whose versions are the versions of a registered model."""
    return DatasetName(registry_name(registry), name)


def job(verb: str, *subjects: str) -> str:
    """Name of a job, with the subjects that fix its inputs and outputs.

    Consumers that keep one current set of inputs and outputs per job would otherwise see every
    source replace the one before.
    """
    return ".".join(("lazaretto", verb, *(_NOT_IN_TOKEN.sub("_", s)[:128] for s in subjects)))


def run_id(entry: Entry) -> str:
    """The run id of a ledger entry: the same on every replay, ordered by time (UUIDv7)."""
    return str(generate_static_uuid(entry.at, f"lazaretto:{entry.seq}:{entry.hash}".encode()))


def _split(uri: str) -> SplitResult:
    """Parts of an address without credentials; a local file has no scheme and only a path."""
    shown = safe_uri(uri)
    scheme, separator, rest = shown.partition("://")
    if not separator or "::" in scheme:
        return SplitResult("", "", shown, "", "")
    netloc, slash, path = rest.partition("/")
    return SplitResult("" if scheme == "file" else scheme, netloc, slash + path, "", "")
