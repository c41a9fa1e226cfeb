"""The decision: a class-level test first, then records inside the classes that fired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lazaretto.errors import SystemFaultError, UsageError
from lazaretto.policy import Sanitize
from lazaretto.redact import error_line
from lazaretto.sanitize.agreement import stand_out
from lazaretto.sanitize.dynamics import LAYER
from lazaretto.sanitize.evidence import dispersion, tail_test
from lazaretto.sanitize.inputs import check_inputs, with_dynamics
from lazaretto.sanitize.judge import MIN_TRUSTED, Evidence, judge_class, unjudged_class
from lazaretto.sanitize.layer_data import make_layer_data
from lazaretto.sanitize.methods.registry import (
    METHODS,
    OF_DYNAMICS,
    check_methods,
    default_methods,
)
from lazaretto.sanitize.report import make_report
from lazaretto.sanitize.resident import make_resident
from lazaretto.sanitize.scores import average
from lazaretto.sanitize.selection import select
from lazaretto.sanitize.uncalibrated import judge_uncalibrated
from lazaretto.stats.multiple import holm

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import ArrayLike, NDArray

    from lazaretto.policy import Policy
    from lazaretto.sanitize.dynamics import Dynamics
    from lazaretto.sanitize.inputs import Activations, Inputs
    from lazaretto.sanitize.judge import ClassOutcome
    from lazaretto.sanitize.layer_data import LayerData
    from lazaretto.sanitize.result import Sanitization
    from lazaretto.sanitize.scores import Scores


def sanitize(
    activations: Activations | NDArray[np.floating],
    labels: ArrayLike | pa.Array | pa.ChunkedArray,
    record_ids: Sequence[str] | pa.Array | pa.ChunkedArray,
    *,
    trusted: tuple[Activations | NDArray[np.floating], Any] | None = None,
    dynamics: Dynamics | None = None,
    trusted_dynamics: Dynamics | None = None,
    policy: Policy | Sanitize | None = None,
    device: str = "auto",
    dtype: str = "float32",
    seed: int = 0,
    repeats: int = 3,
) -> Sanitization:
    """Says which records of a training set to hold, class by class.

    1. Every row is scored by every method on every layer, *cross-fitted*: no row, training or
       trusted, is judged by directions or moments that were fitted on it.
    2. Each class is tested. Does it score higher than its trusted rows, by its mean or by the
       number of far rows? Do its far rows share a direction? A class that passes Holm's correction
       at ``alpha`` has *fired*: that is a finding. A class whose own p-value is at most
       ``suspect_level`` is *suspect*.
    3. Inside those classes, records get conformal p-values against the class's trusted rows. All
       evidence that the class stands out by is calibrated as one. A record is held when its p-value
       is at most the rate. A suspect class loses at most the rate of its rows (or one row), and the
       excess of far rows if its own p-value is at most ``alpha``. All suspect classes together lose
       at most half the rate of all rows.

    A clean training set comes back nearly whole: classes fire by chance at ``alpha``, suspects cost
    about ``suspect_level`` of the rate. With ``suspect_level: 1`` every class is searched.

    Args:
        activations: {layer: floats (n, d)} of the training set, or one array.
        labels: (n,) given labels.
        record_ids: (n,) record ids.
        trusted: activations and labels of trusted rows through the same model. Without them
            nothing is calibrated and the result says so.
        dynamics: how every record was learned, see `lazaretto.training.record_dynamics`. It tells
            most where there are no trusted rows.
        trusted_dynamics: the same of the trusted rows, in their order, which the same training ran
            through the model and did not learn from. Without them, trusted rows judge no dynamics.
        policy: a policy or its `sanitize` section; default: the section's defaults.
        device: torch device, or ``auto``: CUDA where there is one, else CPU.
        dtype: ``float32`` or ``float64`` products.
        repeats: how often the rows are split anew into folds. Scores are averaged over the
            repeats: time grows with them, and the outcome depends less on `seed`.
        seed: of the cross-fitting folds, which depend on record ids and not on the order of rows.

    Raises:
        UsageError: the arguments do not fit together.
        SystemFaultError: the device has too little memory.

    Examples:
        >>> import numpy as np
        >>> random = np.random.default_rng(0)
        >>> trusted, rows = random.normal(size=(400, 6)), random.normal(size=(300, 6))
        >>> rows[:15] += 5  # a trigger that the model has learned
        >>> result = sanitize(
        ...     rows, ["cat"] * 300, [str(i) for i in range(300)], trusted=(trusted, ["cat"] * 400)
        ... )
        >>> sum(result.records["held"].to_pylist()[:15])
        15
    """
    section = policy if isinstance(policy, Sanitize) else policy.sanitize if policy else Sanitize()
    learned = dynamics is not None and (trusted is None or trusted_dynamics is not None)
    methods = section.methods or default_methods(trusted is not None, learned)
    check_methods(methods, learned)
    if dynamics is not None and learned:
        activations, trusted = with_dynamics(
            activations, trusted, record_ids, dynamics, trusted_dynamics
        )
    inputs = check_inputs(activations, labels, record_ids, trusted)
    target = pick_device(device)
    evidence, notes = [], []
    for layer in inputs.layers:
        kind, resident = getattr(torch, dtype), make_resident(inputs, layer, target)
        splits = [
            make_layer_data(inputs, layer, device=target, dtype=kind, seed=split, resident=resident)
            for split in range(repeats * seed, repeats * (seed + 1))
        ]
        for method in methods:
            if (method in OF_DYNAMICS) is not (layer == LAYER):
                continue
            scores = average([_scores(method, data, layer) for data in splits])
            if scores.skipped is None:
                evidence.append(_evidence(inputs, f"{method}@{layer}", scores))
            else:
                notes.append(f"{method}@{layer}: {scores.skipped}")
    if not evidence:
        raise UsageError("; ".join(notes))
    held = np.zeros(len(inputs.codes), bool)
    held[inputs.unscorable] = True
    if inputs.trusted is None:
        limit = section.uncalibrated_limit
        outcomes, fired, chosen = judge_uncalibrated(evidence, inputs.groups, limit)
    else:
        outcomes = [_judge(inputs, evidence, c, section) for c in range(len(inputs.classes))]
        tested = {c: o.p_value for c, o in enumerate(outcomes) if o.p_value is not None}
        fired = np.zeros(len(outcomes), bool)
        fired[list(tested)] = np.array(holm(list(tested.values()))) <= section.alpha
        chosen = select(
            outcomes,
            fired,
            inputs.groups,
            rate=section.false_quarantine_rate,
            alpha=section.alpha,
            suspect_level=section.suspect_level,
        )
    held[inputs.scorable[chosen]] = True
    return make_report(
        inputs,
        outcomes,
        fired=fired,
        held=held,
        rate=section.false_quarantine_rate,
        methods=methods,
        notes=notes,
        evidence=evidence,
    )


def _scores(method: str, data: LayerData, layer: str) -> Scores:
    try:
        return METHODS[method](data)
    except torch.OutOfMemoryError as error:
        raise SystemFaultError(
            f"{method}@{layer}: {data.device} has too little free memory for layers of "
            f"{data.width} features ({error_line(error)}). Free some, or give device='cpu'"
        ) from error


def _evidence(inputs: Inputs, name: str, scores: Scores) -> Evidence:
    if scores.trusted is None:
        return Evidence(name, scores.train, view=scores.view, detail=scores.detail)
    groups = inputs.trusted_groups
    train, trusted = scores.ranked_train, scores.ranked_trusted
    if train is None or trusted is None:
        train, trusted = scores.train, scores.trusted
    tested = None if scores.tested_trusted is None else dispersion(scores.tested_trusted, groups)
    return Evidence(
        name,
        train,
        trusted,
        dispersion(trusted, groups),
        scores.tested_train,
        scores.tested_trusted,
        tested,
        tail_test(scores.train, scores.trusted, inputs.groups, groups),
        None if scores.agreement is None else stand_out(scores.agreement),
        scores.view,
        scores.detail,
    )


def _judge(inputs: Inputs, evidence: list[Evidence], label: int, section: Sanitize) -> ClassOutcome:
    train, trusted = inputs.groups[label], inputs.trusted_groups[label]
    if len(train) == 0 or len(trusted) < MIN_TRUSTED:
        return unjudged_class(len(train), len(trusted))
    rates = {"alpha": section.alpha, "rate": section.false_quarantine_rate}
    return judge_class(evidence, label, train, trusted, **rates)


def pick_device(name: str) -> torch.device:
    """The torch device of that name; ``auto`` is CUDA where there is one, else CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
