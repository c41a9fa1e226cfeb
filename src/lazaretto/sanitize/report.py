"""The tables of a `Sanitization`, and the reasons in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.sanitize.result import Sanitization

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lazaretto.sanitize.inputs import Inputs
    from lazaretto.sanitize.judge import ClassOutcome, Evidence

_NOT_FINITE = "its activations are not finite numbers, or too large to be multiplied"


def make_report(
    inputs: Inputs,
    outcomes: list[ClassOutcome],
    *,
    fired: NDArray[np.bool_],
    held: NDArray[np.bool_],
    rate: float,
    methods: Sequence[str],
    notes: list[str],
    evidence: list[Evidence],
) -> Sanitization:
    """Puts together what was found.

    Args:
        inputs: as checked.
        outcomes: one per class, rows in the order of the class's scorable rows.
        fired: bool (classes,).
        held: bool (n,), over all rows.
        rate: the stated rate.
        methods: names of the methods.
        notes: on the whole result.
        evidence: what was judged, for what it adds about classes.
    """
    n = len(inputs.codes)
    score, p_value = np.full(n, np.nan), np.full(n, np.nan)
    ranks = {name: np.full(n, np.nan) for o in outcomes for name in o.ranks}
    reasons: dict[int, str] = dict.fromkeys(inputs.unscorable.tolist(), _NOT_FINITE)
    for c, outcome in enumerate(outcomes):
        rows = inputs.scorable[inputs.groups[c]]
        score[rows] = outcome.score
        if outcome.p_rows is not None:
            p_value[rows] = outcome.p_rows
        for name, values in outcome.ranks.items():
            ranks[name][rows] = values
        for i in rows[held[rows]].tolist():
            reasons[i] = _reason(
                inputs.classes[c], outcome, {k: float(v[i]) for k, v in ranks.items()}
            )
    records = {
        "record_id": inputs.record_ids,
        "label": pa.DictionaryArray.from_arrays(pa.array(inputs.codes), inputs.classes).cast(
            pa.string()
        ),
        "score": pa.array(score, pa.float32(), from_pandas=True),
        "p_value": pa.array(p_value, pa.float64(), from_pandas=True),
        "held": pa.array(held),
        "reasons": _one_or_none(reasons, n),
    }
    for name, values in ranks.items():
        records[f"rank_{name}"] = pa.array(values, pa.float32(), from_pandas=True)
    return Sanitization(
        records=pa.table(records),
        classes=_class_table(inputs, outcomes, fired, held, evidence),
        calibrated=all(o.p_value is not None for o in outcomes),
        rate=rate,
        layers=tuple(inputs.layers),
        methods=tuple(methods),
        note="; ".join(notes) or None,
    )


def _one_or_none(reasons: dict[int, str], n: int) -> pa.Array:
    has = np.zeros(n, np.int32)
    has[list(reasons)] = 1
    offsets = np.concatenate([[0], np.cumsum(has, dtype=np.int32)]).astype(np.int32)
    values = pa.array([reasons[i] for i in sorted(reasons)], pa.string())
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def _class_table(
    inputs: Inputs,
    outcomes: list[ClassOutcome],
    fired: NDArray[np.bool_],
    held: NDArray[np.bool_],
    evidence: list[Evidence],
) -> pa.Table:
    size = len(inputs.classes)
    return pa.table(
        {
            "label": pa.array(inputs.classes, pa.string()),
            "n": pa.array(np.bincount(inputs.codes, minlength=size)),
            "statistic": pa.array([o.statistic for o in outcomes], pa.float64()),
            "p_value": pa.array([o.p_value for o in outcomes], pa.float64()),
            "fired": pa.array(fired),
            "n_held": pa.array(np.bincount(inputs.codes[held], minlength=size)),
            "n_trusted": pa.array([o.n_trusted for o in outcomes], pa.int64()),
            "evidence": pa.array([" ".join(o.searched_by) or None for o in outcomes], pa.string()),
            "threshold": pa.array([o.threshold for o in outcomes], pa.float64()),
            "note": pa.array(
                [_note(o, [e.detail.get(c) for e in evidence]) for c, o in enumerate(outcomes)],
                pa.string(),
            ),
        }
    )


def _note(outcome: ClassOutcome, details: list[str | None]) -> str | None:
    return "; ".join(text for text in [outcome.note, *details] if text) or None


def _reason(label: str, outcome: ClassOutcome, ranks: dict[str, float]) -> str:
    if outcome.p_value is None:
        name = max((k for k in ranks if np.isfinite(ranks[k])), key=lambda k: ranks[k])
        return (
            f"{outcome.searched_by[0]}: further from class {label!r} than {_share(ranks[name])} of "
            "all rows are from their own class (not calibrated)"
        )
    name = max(outcome.searched_by, key=lambda k: ranks[k])
    return (
        f"{name}: further out than {_share(ranks[name])} of the trusted rows of class {label!r}, "
        f"which stands out with p = {outcome.p_value:.2g}"
    )


def _share(rank: float) -> str:
    return f"{100 * rank:.4g} %"
