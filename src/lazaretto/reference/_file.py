"""A reference as files, bound by digests: `reference.json`, `tensors.safetensors`, `encoder.bin`.

The last is there where the reference fitted the encoder.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from lazaretto.detect.base import Chunk
from lazaretto.detect.nearest_backends import Search
from lazaretto.detect.registry import make_detector
from lazaretto.detect.scorer import Scorer, Side
from lazaretto.detect.tail import TailRank
from lazaretto.errors import ReferenceMismatchError
from lazaretto.reference._state import EncoderId, Power, ReferenceState

if TYPE_CHECKING:
    from lazaretto.detect.arrays import State

METADATA = "reference.json"
TENSORS = "tensors.safetensors"
ENCODER = "encoder.bin"
EMBEDDING, LABEL, POSITION = "sample.embedding", "sample.label", "sample.position"
"""Tensors of the sample."""
FORMAT = 5


def fit_rows_of(part: int) -> str:
    """Name of the tensor with the rows of the sample that a scorer was fitted on."""
    return f"scorer.{part}.fit_rows"


def fold_rows_of(fold: int) -> str:
    """Name of the tensor with the rows of the sample that are a fold."""
    return f"fold.{fold}.rows"


def side_of(part: int, fold: int) -> str:
    """Beginning of the names of what a scorer says of a fold that it leaves out."""
    return f"scorer.{part}.fold.{fold}"


def content_digest(reference: ReferenceState) -> str:
    """sha256 (hex) over the metadata, which holds the sha256 of the tensors."""
    return hashlib.sha256(_canonical(_metadata(reference, pack(reference)))).hexdigest()


def describe(reference: ReferenceState, packed: bytes) -> bytes:
    """The JSON file's bytes; `packed` is what `pack` gives of the same reference."""
    document = {"digest": reference.digest, **_metadata(reference, packed)}
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def pack(reference: ReferenceState) -> bytes:
    """The safetensors file's bytes; the same reference gives the same bytes."""
    from safetensors.numpy import save

    tensors: dict[str, State] = {
        EMBEDDING: reference.sample.embedding,
        POSITION: reference.positions,
    }
    if reference.sample.label is not None:
        tensors[LABEL] = reference.sample.label
    if reference.sample.values is not None:
        tensors["sample.values"] = reference.sample.values
    for fold, rows in enumerate(reference.folds):
        tensors[fold_rows_of(fold)] = rows
    for part, scorer in enumerate(reference.scorers):
        head = f"scorer.{part}"
        tensors[fit_rows_of(part)] = reference.fit_rows[part]
        for key, value in scorer.split.index.learned.items():
            tensors[f"{head}.search.{key}"] = value
        for name, detector in scorer.detectors.items():
            for key, value in detector.state().items():
                tensors[f"{head}.state.{name}.{key}"] = value
        for side in scorer.sides:
            there = side_of(part, side.fold)
            tensors[f"{there}.calibration"] = side.calibration
            for name, maps in side.ranks.items():
                for view, map_ in enumerate(maps):
                    shape = np.array([map_.tail, map_.scale, map_.shape])
                    tensors[f"{there}.rank.{name}.{view}"] = np.concatenate([map_.knots, shape])
    return bytes(save(_apart(tensors)))


def unpack(
    metadata: bytes, packed: bytes, encoder: bytes | None = None, *, device: str = "cpu"
) -> ReferenceState:
    """Rebuilds a reference from its files' bytes; `device` is where neighbours are searched.

    Raises:
        ReferenceMismatchError: damaged, changed, or written by another version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        document = json.loads(metadata)
        if document.get("format") != FORMAT:
            raise ReferenceMismatchError(
                f"the reference has format {document.get('format')!r}; "
                f"this Lazaretto reads {FORMAT}: fit it again"
            )
        digest = document.pop("digest")
        tensors_digest = hashlib.sha256(packed).hexdigest()
        states = document.get("encoder_state"), _state_digest(encoder)
        if (
            document["tensors"] != tensors_digest
            or states[0] != states[1]
            or digest != _digest_of(document)
        ):
            raise ReferenceMismatchError(
                "the reference's files do not match their digest: they were changed or cut off; "
                "restore them or fit a new version"
            )
        # Fresh memory is aligned, a file's is not: products must round as they did before saving.
        tensors = {key: value.copy() for key, value in load(packed).items()}
        return _rebuild(document, tensors, encoder, digest, device)
    except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ReferenceMismatchError(f"the reference's files cannot be read: {error!r}") from error


def _rebuild(
    document: dict[str, Any],
    tensors: dict[str, State],
    encoder: bytes | None,
    digest: str,
    device: str,
) -> ReferenceState:
    from lazaretto.reference._split import fit_split, shared_index

    sample = Chunk(tensors[EMBEDDING], tensors.get(LABEL), tensors.get("sample.values"))
    classes, columns = tuple(document["classes"]), tuple(document["value_columns"])
    scorers, fit_rows = [], []
    settings = Search.of(document["neighbours"])
    whole = shared_index(sample, document["parts"], settings, device=device)
    for part in range(document["parts"]):
        head = f"scorer.{part}"
        rows = tensors[fit_rows_of(part)]
        split = fit_split(
            sample,
            rows,
            classes,
            columns,
            document["seed"],
            settings,
            whole=whole,
            device=device,
            learned=_below(tensors, f"{head}.search."),
        )
        detectors = {}
        for name, options in document["detectors"].items():
            state = _below(tensors, f"{head}.state.{name}.")
            detectors[name] = make_detector(name, options).restore(state, split)
        fit_rows.append(rows)
        sides = tuple(
            Side(
                fold,
                {name: _maps(tensors, f"{side_of(part, fold)}.rank.{name}.") for name in detectors},
                tensors[f"{side_of(part, fold)}.calibration"],
            )
            for fold in document["sides"][part]
        )
        scorers.append(Scorer(split, detectors, sides))
    return ReferenceState(
        name=document["name"],
        version=document["version"],
        encoder=EncoderId(**document["encoder"]),
        encoder_state=encoder,
        label=document["label"],
        classes=classes,
        value_columns=columns,
        detectors=document["detectors"],
        rows=document["rows"],
        seed=document["seed"],
        notes=tuple(document["notes"]),
        sample=sample,
        positions=tensors[POSITION],
        scorers=tuple(scorers),
        fit_rows=tuple(fit_rows),
        folds=tuple(tensors[fold_rows_of(fold)] for fold in range(document["folds"])),
        power=tuple(Power(**one) for one in document["power"]),
        digest=digest,
    )


def _maps(tensors: dict[str, State], prefix: str) -> tuple[TailRank, ...]:
    views = _below(tensors, prefix)
    return tuple(
        TailRank(views[str(view)][:-3], *views[str(view)][-3:].tolist())
        for view in range(len(views))
    )


def _state_digest(state: bytes | None) -> str | None:
    return None if state is None else hashlib.sha256(state).hexdigest()


def _metadata(reference: ReferenceState, packed: bytes) -> dict[str, Any]:
    fitted = {}
    if reference.encoder_state is not None:
        fitted["encoder_state"] = _state_digest(reference.encoder_state)
    return fitted | {
        "format": FORMAT,
        "name": reference.name,
        "version": reference.version,
        "encoder": asdict(reference.encoder),
        "label": reference.label,
        "classes": list(reference.classes),
        "value_columns": list(reference.value_columns),
        "detectors": {name: dict(options) for name, options in reference.detectors.items()},
        "neighbours": asdict(reference.scorers[0].split.index.settings),
        "rows": reference.rows,
        "seed": reference.seed,
        "notes": list(reference.notes),
        "power": [asdict(one) for one in reference.power],
        "parts": len(reference.scorers),
        "folds": len(reference.folds),
        "sides": [[side.fold for side in scorer.sides] for scorer in reference.scorers],
        "tensors": hashlib.sha256(packed).hexdigest(),
    }


def _digest_of(document: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(document)).hexdigest()


def _canonical(document: dict[str, Any]) -> bytes:
    import rfc8785

    return bytes(rfc8785.dumps(document))


def _apart(tensors: dict[str, State]) -> dict[str, State]:
    """The same tensors, contiguous, those that share memory with an earlier one copied.

    safetensors refuses shared memory, and a detector may give one array under two names.
    """
    apart: dict[str, State] = {}
    taken: list[tuple[int, int]] = []  # first and last byte of those before, in order, all apart
    for key, value in tensors.items():
        whole = np.ascontiguousarray(value)
        place = (whole.ctypes.data, whole.ctypes.data + whole.nbytes - 1)
        after = bisect(taken, place)
        before = after > 0 and taken[after - 1][1] >= place[0]
        if whole.nbytes and (before or (after < len(taken) and taken[after][0] <= place[1])):
            whole = whole.copy()
        elif whole.nbytes:
            taken.insert(after, place)
        apart[key] = whole
    return apart


def _below(tensors: dict[str, State], prefix: str) -> dict[str, State]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
