"""The encoder of a reference that is being fitted: loaded, or fitted on some trusted rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.batch import as_chunks
from lazaretto.embed import fit_encoder, is_fitted, load_encoder
from lazaretto.embed.columns import path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from lazaretto.batch import Batch
    from lazaretto.embed import Encoder
    from lazaretto.policy import Policy

SHARE, MOST = 0.25, 20_000
"""Share of the trusted rows that an encoder is fitted on, and how many at most."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An encoder, and what it took.

    Attributes:
        encoder: ready to encode.
        state: what it learned, where it was fitted here; else None.
        used: bool (rows,), the trusted rows that it was fitted on; None where it was loaded.
        notes: what to tell.
    """

    encoder: Encoder
    state: bytes | None = None
    used: npt.NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()


def prepare_encoder(
    trusted: pa.Table | Batch,
    policy: Policy,
    seed: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> Prepared:
    """Loads the policy's encoder, or fits it on a random quarter of the trusted rows.

    An encoder fits the rows that it was fitted on better than new ones. So these rows are no part
    of the reference: a clean delivery and the rows that calibrate must look alike to it, which is
    what the stated rate rests on.

    Args:
        trusted: all trusted rows.
        policy: names the encoder.
        seed: of the choice of rows, and of the fit.
        progress: called with a step's name, how much of it is done, and how much there is.

    Raises:
        PolicyError: the ``embed`` section is wrong.
        ReferenceMismatchError: a column is missing, or of a kind that cannot be encoded.
    """
    if not is_fitted(policy):
        return Prepared(load_encoder(policy))
    rows = trusted.num_rows
    count = min(MOST, round(rows * SHARE))
    used = np.zeros(rows, dtype=bool)
    used[np.random.default_rng(seed).permutation(rows)[:count]] = True
    names = trusted.schema.names
    tops = [top for name in policy.embed.columns if (top := path_of(names, name)[0]) in names]
    wanted = list(dict.fromkeys(tops)) or names[:1]
    taken, offset = [], 0
    for chunk in as_chunks(trusted, columns=wanted):
        taken.append(chunk.filter(pa.array(used[offset : offset + chunk.num_rows])))
        offset += chunk.num_rows
    rows_taken = pa.Table.from_batches(taken)
    encoder, state = fit_encoder(policy, rows_taken, seed=seed, progress=progress)
    note = f"{count} of {rows} trusted rows fitted the encoder and are not compared with"
    return Prepared(encoder, state, used, (note,))
