"""Fingerprints of a batch: made of its records and its vectors, a chunk at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch import records
from lazaretto.batch._columns import label_texts
from lazaretto.batch._columns import vectors as vectors_of
from lazaretto.batch._lists import as_lists
from lazaretto.embed.columns import path_of
from lazaretto.errors import ReferenceMismatchError
from lazaretto.storage.sidecars import read_chunks

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    from lazaretto.batch import Batch
    from lazaretto.detect.arrays import Ints
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._prints import Prints
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

_AT_ONCE = 8192


def content_columns(data: Batch, policy: Policy) -> list[str]:
    """Names of the columns that say what a record is: those that are encoded, sorted.

    An encoder that is told of no column sees all; then all but id and label are meant. Vectors that
    the batch brings are the content themselves.
    """
    there, columns = data.schema.names, policy.columns
    if policy.embed.encoder == "column":
        return [str(columns.embedding)]
    wanted = [path_of(there, name)[0] for name in policy.embed.columns]
    if not wanted:
        wanted = [name for name in there if name not in (columns.record_id, columns.label)]
    return sorted(set(wanted) & set(there))


def fingerprints(
    store: Store,
    data: Batch,
    names: list[str],
    policy: Policy,
    reference: Reference,
    vectors: StoredFile | None,
    exclude: Collection[str],
) -> tuple[Ints, Prints]:
    """Places among the screened records of those with a usable vector, and their fingerprints.

    Memory holds a few numbers per record, and one chunk. A record without a usable vector is held
    anyway, and all of those would look alike.

    Args:
        store: has the vectors.
        data: the records.
        names: of the columns that contents are hashed of.
        policy: its columns.
        reference: says how wide vectors are.
        vectors: made earlier; None where the batch brings them.
        exclude: ids of records that were not screened.

    Raises:
        ReferenceMismatchError: records have no vector.
        ChangedFileError: the vectors are gone, or were changed.
    """
    from lazaretto.screen._prints import Prints, content_keys, label_keys, sketches

    label, width = policy.columns.label, reference.encoder.dimensions
    made = None if vectors is None else _sketched(store, vectors, width)
    excluded = pa.array(sorted(exclude), pa.string())
    wanted = list(dict.fromkeys([*names, *([] if label is None else [label])]))
    rows, contents, labels, found = [], [], [], []
    screened = 0
    for ids, chunk in records(data, policy.columns, columns=wanted, size=_AT_ONCE):
        keep = np.ones(len(ids), dtype=bool)
        if len(excluded):
            keep = ~pc.is_in(ids, excluded).to_numpy(zero_copy_only=False)
        if made is None:
            own = vectors_of(chunk.column(names[0]), names[0], width).values
            usable, sketch = own.any(1), sketches(own)
            content = content_keys([as_lists(own)])
        else:
            place = pc.index_in(ids, made[0])
            if place.null_count:
                raise ReferenceMismatchError("the embeddings lack records: embed the batch again")
            sketch, usable = (values[place.to_numpy()] for values in made[1:])
            content = content_keys([chunk.column(name) for name in names])
        texts = pa.nulls(len(ids), pa.string()) if label is None else label_texts(chunk, label)
        chosen = keep & usable
        rows.append((screened + np.cumsum(keep) - 1)[chosen])
        contents.append(content[chosen])
        labels.append(label_keys(texts.to_pylist())[chosen])
        found.append(sketch[chosen])
        screened += int(keep.sum())
    prints = Prints(np.concatenate(contents), np.concatenate(labels), np.concatenate(found))
    return np.concatenate(rows), prints


def _sketched(
    store: Store, file: StoredFile, width: int
) -> tuple[pa.Array, npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Ids of a side-car of vectors, their sketches, and which vectors are usable."""
    from lazaretto.screen._prints import sketches

    ids, found, usable = [], [], []
    for chunk in read_chunks(store, file):
        values = vectors_of(chunk.column("embedding"), "embedding", width).values
        ids.append(pc.cast(chunk.column("record_id"), pa.string()))
        found.append(sketches(values))
        usable.append(values.any(1))
    return pa.concat_arrays(ids), np.concatenate(found), np.concatenate(usable)
