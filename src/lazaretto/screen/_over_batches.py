"""Neighbourhoods over the last batches of a source: a trigger that is thin in each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.batch._lists import as_lists, as_matrix
from lazaretto.screen._beyond import find_beyond
from lazaretto.screen._measured import class_numbers
from lazaretto.screen._neighbourhood import (
    BEYOND,
    NEIGHBOURHOOD,
    Named,
    beside_known,
    beyond_told,
    label_told,
)
from lazaretto.screen._scan import MOST, SUSPECT, scan
from lazaretto.screen._seed import seed_for
from lazaretto.values import REPORTED_ONLY, TestSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lazaretto.detect.arrays import Ints
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._earlier import Earlier
    from lazaretto.screen._matching import Question
    from lazaretto.screen._score import Scored

OVER_BATCHES = "source_neighbourhood"
KEPT = 400
"""Of a batch so many odd records are kept for later batches of its source, the oddest."""
TOLD = 5


@dataclass(frozen=True, slots=True)
class OverBatches:
    """What the batches of a source show together.

    Attributes:
        test: it, as the batch tests are told.
        named: the records of this batch that may be held for it: those that lie together, and
            those that differ from their class in the same way.
        note: what a reviewer is told, with the records of earlier batches; None: nothing was found.
    """

    test: TestSummary
    named: list[Named]
    note: str | None


def suspects_of(scored: Scored) -> pa.Table:
    """The odd records of a batch: ``record_id``, ``label``, ``p_value`` and ``embedding``."""
    odd = scored.oddest
    kept = np.sort(np.argsort(odd.p_value, kind="stable")[:KEPT])
    place = pa.array(odd.position[kept])
    columns = {
        "record_id": scored.ids.take(place),
        "label": scored.label.take(place),
        "p_value": pa.array(odd.p_value[kept]),
        "embedding": as_lists(odd.embedding[kept]),
    }
    return pa.table(columns)


def find_over_batches(
    scored: Scored,
    earlier: Sequence[Earlier],
    reference: Reference,
    policy: Policy,
    alpha: float,
    matching: Callable[[Question], Ints],
) -> OverBatches | None:
    """Looks for neighbourhoods among the odd records of a batch and of those before it together.

    They are one virtual batch, searched as one (`lazaretto.screen._scan.scan`). Of this batch the
    records are held that lie in such a neighbourhood; those of earlier batches are told.

    Args:
        scored: the batch.
        earlier: the batches before it.
        reference: that all of them were scored against.
        policy: says whether what is found is held.
        alpha: see `lazaretto.screen._neighbourhood.search_level`; 0: no record is named, and the
            p-value is for the source's evidence alone.
        matching: tells the positions of the batch's records for which a question holds.

    Returns:
        None where it is off, there are no other batches, or there are too few odd records.
    """
    mode = policy.screen.test_modes[NEIGHBOURHOOD]
    if mode == "off" or not earlier:
        return None
    tables = [suspects_of(scored), *(one.suspects for one in earlier)]
    # A batch of which only the oddest were kept says nothing of the others.
    bar = min(_bar(table) for table in tables)
    p_value = np.concatenate([table["p_value"].to_numpy() for table in tables])
    whose = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
    chosen = np.flatnonzero(p_value <= bar)
    if len(chosen) > MOST:
        chosen = np.sort(chosen[np.argsort(p_value[chosen], kind="stable")[:MOST]])
        bar = float(p_value[chosen].max())
    if not len(chosen):
        return None
    together = pa.concat_tables(tables).take(pa.array(chosen))
    p_value, whose = p_value[chosen], whose[chosen]
    vector = as_matrix(together["embedding"])
    label = class_numbers(together["label"], reference.classes)
    suspects = beside_known(vector, label, p_value, bar, scored.known, reference)
    found = scan(suspects, seed=seed_for(scored.seed, "neighbourhoods over batches"))
    if found is None:
        return None
    told = (
        f"over {len(tables)} batches of this source, {found.count} of the {found.size} odd records"
        f"{label_told(found.label, reference)} that lie together are of them; "
        f"{found.expected:.1f} are expected beside odd trusted ones"
    )
    level = found.level[: len(chosen)]
    there = np.flatnonzero(np.isfinite(level))
    if mode != "enforce" or alpha <= 0:
        there = there[:0]
    here = there[whose[there] == 0]
    positions = _positions(scored)[chosen[here]]
    named = Named(positions, level[here], alpha, f"{OVER_BATCHES}: {told}")
    beyond = Named(
        *find_beyond(vector[there], label[there], level[there], scored, reference, matching),
        alpha,
        f"{OVER_BATCHES}: {BEYOND}",
    )
    fired, detail, note = found.p_value <= alpha, told, None
    if fired:
        members = level <= alpha
        others = [
            f"{earlier[number - 1].batch}#{name}"
            for number, name in zip(
                whose[members].tolist(),
                together["record_id"].filter(pa.array(members)).to_pylist(),
                strict=True,
            )
            if number
        ]
        more = f" and {len(others) - TOLD} more" if len(others) > TOLD else ""
        detail += (
            f". {int((members & (whose == 0)).sum())} records of this batch lie in such "
            f"neighbourhoods, and of earlier batches {', '.join(others[:TOLD]) or 'none'}{more}"
        )
        detail += beyond_told(named, beyond)
    if mode != "enforce":
        detail = f"{detail}. {REPORTED_ONLY}"
    if fired:
        note = f"{OVER_BATCHES}: {detail}"
    return OverBatches(
        TestSummary(OVER_BATCHES, found.p_value, alpha, fired, detail), [named, beyond], note
    )


def _bar(table: pa.Table) -> float:
    return float(table["p_value"].to_numpy().max()) if table.num_rows >= KEPT else SUSPECT


def _positions(scored: Scored) -> Ints:
    """Position in the batch of each of its suspects, as `suspects_of` has them."""
    odd = scored.oddest
    kept: Ints = odd.position[np.sort(np.argsort(odd.p_value, kind="stable")[:KEPT])]
    return kept
