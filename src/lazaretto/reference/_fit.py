"""Fitting a reference: read the trusted rows, split them, fit one scorer per part."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._columns import class_indices, numeric_columns
from lazaretto.detect.base import Chunk
from lazaretto.detect.nearest_choice import MOST_ROWS_OF_DENSITY
from lazaretto.detect.registry import make_detector
from lazaretto.detect.scorer import Scorer, take
from lazaretto.embed.reader import Reader, opened
from lazaretto.errors import UsageError
from lazaretto.reference._ahead import encoded_by
from lazaretto.reference._blocks import alike_in_order, order_note
from lazaretto.reference._encoder import prepare_encoder
from lazaretto.reference._file import content_digest
from lazaretto.reference._hygiene import examine
from lazaretto.reference._label_kind import require_classes
from lazaretto.reference._origin import read_origin, split_rows
from lazaretto.reference._partition import FOLDED_BELOW, SMALLEST_REFERENCE
from lazaretto.reference._power import predict_power
from lazaretto.reference._search import how_to_search
from lazaretto.reference._split import fit_split, shared_index
from lazaretto.reference._state import EncoderId, ReferenceState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from lazaretto.batch import Batch
    from lazaretto.detect.arrays import Ints
    from lazaretto.engine import Engine
    from lazaretto.policy import Policy
    from lazaretto.reference._partition import Part

NARROW = 64
"""Columns of vectors among which an exact search is as cheap as a compressed one."""


def fit_reference(
    trusted: pa.Table | Batch | str | Path,
    policy: Policy,
    name: str,
    version: str,
    seed: int,
    engine: Engine,
    progress: Callable[[str, int, int], None] | None = None,
) -> ReferenceState:
    """See `Reference.fit`."""
    asked = usable_detectors(policy)
    columns, _read = policy.columns, policy.read.options()
    value_columns: tuple[str, ...] = ()
    if any("values" in make_detector(d, options).requires for d, options in asked.items()):
        parts = [columns.record_id, columns.label, columns.embedding]
        parts += [columns.reference_group, columns.reference_time]
        value_columns = numeric_columns(
            opened(trusted, columns, policy.read.options()).schema, parts
        )
    trusted = opened(trusted, columns, policy.read.options())
    prepared = prepare_encoder(trusted, policy, seed, progress)
    encoder = encoded_by(engine, trusted, policy, prepared.encoder, prepared.state)
    reader = Reader(columns, encoder, encoder.dimensions or None, value_columns)
    sample, classes, notes, kept = _read_sample(reader, trusted, prepared.used)
    notes += prepared.notes
    if len(sample) < SMALLEST_REFERENCE:
        raise UsageError(
            f"reference {name!r}: {len(sample)} usable trusted rows; "
            f"at least {SMALLEST_REFERENCE} are needed"
            + (f" ({'; '.join(notes)})" if notes else "")
        )
    detectors, left_out = _affordable(asked, sample, policy)
    notes += left_out
    hard = policy.screen.calibration == "hard"
    origin = read_origin(trusted, columns).keep(kept)
    split_parts, split_notes = split_rows(
        sample.label, len(sample), origin, seed=seed, folded=False if hard else None
    )
    in_order = np.arange(len(sample)) if origin.time is None else np.argsort(origin.time)
    alike = alike_in_order(sample.embedding, sample.label, in_order, seed)
    ordered = order_note(alike, origin.time is not None, origin.group is not None)
    if ordered is not None:
        split_notes += (ordered,)
    hygiene = examine(sample, classes, seed)
    fit_rows = [part.fit[~np.isin(part.fit, hygiene.strange)] for part in split_parts]
    searched = how_to_search(
        sample, classes, split_parts, fit_rows, detectors, policy.screen.neighbours
    )
    settings = searched.search
    whole = shared_index(sample, len(split_parts), settings)
    scorers = tuple(
        Scorer.fit(
            fit_split(
                sample,
                rows,
                classes,
                value_columns,
                seed,
                settings,
                whole=whole,
                learned=searched.learned,
            ),
            [
                (side.fold, take(sample, side.rank), take(sample, side.calibration))
                for side in part.left_out
            ],
            detectors,
        )
        for part, rows in zip(split_parts, fit_rows, strict=True)
    )
    fields: dict[str, Any] = {
        "name": name,
        "version": version,
        "encoder": EncoderId(
            encoder.name, encoder.digest, sample.embedding.shape[1], encoder.weights
        ),
        "encoder_state": prepared.state,
        "label": columns.label,
        "classes": classes,
        "value_columns": value_columns,
        "detectors": detectors,
        "rows": len(sample),
        "seed": seed,
        "notes": notes + split_notes + hygiene.notes,
        "sample": sample,
        "positions": np.flatnonzero(kept),
        "scorers": scorers,
        "fit_rows": tuple(fit_rows),
        "folds": _folds(split_parts),
    }
    power = predict_power(ReferenceState(**fields, power=(), digest=""), policy)
    state = ReferenceState(**fields, power=power, digest="")
    return replace(state, digest=content_digest(state))


def _folds(parts: tuple[Part, ...]) -> tuple[Ints, ...]:
    """The calibration rows of each fold."""
    rows = {side.fold: side.calibration for part in parts for side in part.left_out}
    return tuple(rows[fold] for fold in sorted(rows))


def usable_detectors(policy: Policy) -> dict[str, Mapping[str, Any]]:
    """The policy's detectors that are not off, with their options.

    Where the policy asks for none by name, they are those for rows with or without a label.

    Raises:
        UsageError: unknown detector, none left, or one asked for needs what the policy lacks.
    """
    usable: dict[str, Mapping[str, Any]] = {}
    for name, config in policy.portfolio.items():
        if config.mode == "off":
            continue
        detector = make_detector(name, config.options)
        if "label" in detector.requires and policy.columns.label is None:
            raise UsageError(
                f"screen.detectors.{name}: needs columns.label in the policy, or mode: off"
            )
        usable[name] = config.options
    if not usable:
        raise UsageError("screen.detectors: at least one must be in mode enforce or shadow")
    return usable


def _affordable(
    detectors: Mapping[str, Mapping[str, Any]], sample: Chunk, policy: Policy
) -> tuple[Mapping[str, Mapping[str, Any]], tuple[str, ...]]:
    """The detectors, without `density` where nobody asked for it and it would cost much; a note.

    It needs the distances among all trusted rows, and among many wide ones a dearer search.
    """
    rows, width = sample.embedding.shape
    few = rows < FOLDED_BELOW or (width <= NARROW and rows <= MOST_ROWS_OF_DENSITY)
    if few or "density" not in detectors or "detectors" in policy.screen.model_fields_set:
        return detectors, ()
    kept = {name: options for name, options in detectors.items() if name != "density"}
    return kept, (
        f"density is left out: among {rows} trusted rows of {width} columns it makes each search "
        "dearer. To have it, name all detectors in screen.detectors, and density with apart: true",
    )


def _read_sample(
    reader: Reader, trusted: pa.Table | Batch, used: npt.NDArray[np.bool_] | None
) -> tuple[Chunk, tuple[str, ...], tuple[str, ...], npt.NDArray[np.bool_]]:
    """The rows that can be used, their classes, notes on the others, and which of all were kept.

    Rows that the encoder was fitted on are not, and need no note.
    """
    embeddings, values, labels, kept = [], [], [], []
    left_out: Counter[str] = Counter()
    width, offset = reader.width, 0
    for rows in Reader(
        reader.columns, reader.encoder, width, reader.value_columns, reader.sidecar
    ).rows(trusted):
        keep = np.ones(len(rows), dtype=bool)
        if used is not None:
            keep = ~used[offset : offset + len(rows)]
        offset += len(rows)
        for row, problem in rows.vectors.problems.items():
            left_out[problem.partition(":")[0]] += int(keep[row])
            keep[row] = False
        if rows.label is not None:
            missing = pc.is_null(rows.label).to_numpy(zero_copy_only=False) & keep
            left_out["label.missing"] += int(missing.sum())
            keep &= ~missing
            labels.append(rows.label.filter(pa.array(keep)))
        kept.append(keep)
        embeddings.append(rows.vectors.values[keep])
        if rows.values is not None:
            values.append(rows.values[keep])
    widths = Counter(part.shape[1] for part in embeddings for _ in range(len(part)))
    if len(widths) > 1:
        common = widths.most_common(1)[0][0]
        raise UsageError(
            f"the trusted rows' vectors have several widths: {sorted(widths)}, mostly {common}"
        )
    classes: tuple[str, ...] = ()
    label = None
    if labels:
        texts = pa.chunked_array(labels).combine_chunks()
        require_classes(texts, str(reader.columns.label))
        classes = tuple(sorted(pc.unique(texts).to_pylist()))
        label = class_indices(texts, classes)
    notes = tuple(
        f"{count} trusted rows left out: {problem}"
        for problem, count in sorted(left_out.items())
        if count
    )
    chunk = Chunk(
        embedding=np.concatenate([part for part in embeddings if len(part)])
        if widths
        else np.empty((0, 1), dtype=np.float32),
        label=label,
        values=np.concatenate(values) if values else None,
    )
    return chunk, classes, notes, np.concatenate(kept)
