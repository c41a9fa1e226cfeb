"""Which base model a record or a source trains: by a hash of it alone, whatever else there is."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def partition_records(
    contents: Iterable[bytes | str], parts: int, *, salt: str = ""
) -> NDArray[np.int64]:
    """The part of each record, int64 (n,) in 0..parts - 1 (Levine and Feizi 2021, section 3).

    The certificate counts records that come, go or change, so a record's part must follow from that
    record alone: give what the record **is**, such as its content hash. An id that has the position
    in the delivery in it will not do: one record more would move all behind it.

    Args:
        contents: what each record is, as bytes or text.
        parts: how many.
        salt: makes another split; publish it or not, the certificate does not rest on it.

    Raises:
        UsageError: there is less than one part.

    Examples:
        >>> partition_records(["a", "b", "a"], 10).tolist()
        [6, 3, 6]
    """
    if parts < 1:
        raise UsageError(f"there must be at least one part, not {parts}")
    key = hashlib.sha256(salt.encode()).digest()
    found = []
    for content in contents:
        data = content.encode() if isinstance(content, str) else content
        digest = hashlib.sha256(key + data).digest()
        found.append(int.from_bytes(digest[:16], "big") % parts)
    return np.array(found, np.int64)


def partition_sources(
    sources: Iterable[str], *, parts: int | None = None, known: Iterable[str] = (), salt: str = ""
) -> NDArray[np.int64]:
    """The part of each row by who delivered it, so that a source trains exactly one base model.

    Then the vote certifies that no k compromised sources can change a prediction, whatever they
    sent and however much of it. That holds for sources that are there and for one that is new.

    Args:
        sources: (n,) the source of each row.
        parts: where there are more sources than models can be trained: sources share a part by a
            hash of their name. None: a part for each source.
        known: sources that get a part although no row of them is there; only without `parts`.
        salt: of the hash.

    Returns:
        int64 (n,). Without `parts`, the number of a source is its place among all names, sorted.

    Raises:
        UsageError: there is less than one part.

    Examples:
        >>> partition_sources(["acme", "beta", "acme"]).tolist()
        [0, 1, 0]
    """
    named = list(sources)
    if parts is not None:
        of = dict.fromkeys(named)
        places = dict(zip(of, partition_records(of, parts, salt=salt).tolist(), strict=True))
    else:
        places = {name: place for place, name in enumerate(sorted({*named, *known}))}
    return np.array([places[name] for name in named], np.int64)


def spread_parts(parts: int, degree: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Which parts each base model of finite aggregation learns from, int64 (parts, degree).

    Wang, Levine, Feizi (2022), section 4: with ``parts = k * degree`` small parts and as many
    models, each model learns from `degree` parts and each part is in `degree` models. A poisoned
    record then reaches `degree` of ``k * degree`` models, as one of k before, but seldom all that
    would have to change.

    Args:
        parts: of the records, and models.
        degree: parts of each model.
        seed: of the offsets, which must be chosen before the data is seen.

    Raises:
        UsageError: `degree` is not in 1..parts.

    Examples:
        >>> spread_parts(4, 1).ravel().tolist()
        [0, 1, 2, 3]
    """
    if not 1 <= degree <= parts:
        raise UsageError(f"degree must be from 1 to {parts}, not {degree}")
    rest = np.random.default_rng(seed).permutation(np.arange(1, parts))[: degree - 1]
    offsets = np.concatenate([[0], np.sort(rest)])
    spread: NDArray[np.int64] = (np.arange(parts)[:, None] + offsets[None, :]) % parts
    return spread
