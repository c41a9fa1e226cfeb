"""The decision: a class-level test first, then records inside the classes that fired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lazaretto.errors import UsageError
from lazaretto.policy import Sanitize
from lazaretto.sanitize.evidence import dispersion, holm
from lazaretto.sanitize.inputs import check_inputs
from lazaretto.sanitize.judge import MIN_TRUSTED, Evidence, judge_class, unjudged_class
from lazaretto.sanitize.methods import METHODS
from lazaretto.sanitize.problem import make_problem
from lazaretto.sanitize.report import make_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import ArrayLike, NDArray

    from lazaretto.policy import Policy
    from lazaretto.sanitize.inputs import Activations, Inputs
    from lazaretto.sanitize.judge import ClassOutcome
    from lazaretto.sanitize.problem import Problem
    from lazaretto.sanitize.result import Sanitization


def sanitize(
    activations: Activations | NDArray[np.floating],
    labels: ArrayLike | pa.Array | pa.ChunkedArray,
    record_ids: Sequence[str] | pa.Array | pa.ChunkedArray,
    *,
    trusted: tuple[Activations | NDArray[np.floating], Any] | None = None,
    policy: Policy | Sanitize | None = None,
    device: str = "auto",
    dtype: str = "float32",
    seed: int = 0,
) -> Sanitization:
    """Says which records of a training set to hold, class by class.

    1. Every row is scored by every method on every layer, *cross-fitted*: no row, training or
       trusted, is judged by directions or moments that were fitted on it.
    2. Class test: does the class score higher than its trusted rows? Holm over classes at
       ``alpha``. A clean training set comes back whole, but for that chance.
    3. Inside classes that fired: conformal p-values against the class's trusted rows; a record is
       held when its p-value is at most ``false_quarantine_rate``. So at most that share of clean
       records is held, as far as trusted rows are like clean training rows. Training rows are
       memorised and lie closer to their class than rows that were not trained on, which errs on
       the safe side; trusted rows that were part of the training remove the difference.

    Args:
        activations: {layer: floats (n, d)} of the training set, or one array.
        labels: (n,) given labels.
        record_ids: (n,) record ids.
        trusted: activations and labels of trusted rows through the same model. Without them
            nothing is calibrated and the result says so.
        policy: a policy or its `sanitize` section; default: the section's defaults.
        device: torch device, or ``auto``: CUDA where there is one, else CPU.
        dtype: ``float32`` or ``float64`` products.
        seed: of the cross-fitting folds, which depend on record ids and not on the order of rows.

    Raises:
        UsageError: the arguments do not fit together.
    """
    section = policy if isinstance(policy, Sanitize) else policy.sanitize if policy else Sanitize()
    unknown = sorted(set(section.methods) - set(METHODS))
    if unknown or not section.methods:
        message = f"unknown sanitizing methods {unknown}; known are {sorted(METHODS)}"
        raise UsageError(message)
    if trusted is None:
        message = "sanitizing without trusted rows is not available; pass `trusted`"
        raise UsageError(message)
    inputs = check_inputs(activations, labels, record_ids, trusted)
    target = pick_device(device)
    evidence = []
    for layer in inputs.layers:
        problem = make_problem(inputs, layer, device=target, dtype=getattr(torch, dtype), seed=seed)
        evidence += [_collect(inputs, problem, method, layer) for method in section.methods]
    outcomes = [_judge(inputs, evidence, c, section) for c in range(len(inputs.classes))]
    fired = holm(
        np.array([np.nan if o.p_value is None else o.p_value for o in outcomes]), section.alpha
    )
    held = ~inputs.scorable
    for c in np.flatnonzero(fired):
        rows = inputs.scorable & (inputs.codes == c)
        held[rows] = outcomes[c].p_rows <= section.false_quarantine_rate
    return make_report(inputs, outcomes, fired=fired, held=held, section=section, note=None)


def _collect(inputs: Inputs, problem: Problem, method: str, layer: str) -> Evidence:
    scores = METHODS[method](problem)
    spread = dispersion(scores.trusted, np.asarray(inputs.trusted_codes), problem.n_classes)
    return Evidence(f"{method}@{layer}", scores, spread)


def _judge(inputs: Inputs, evidence: list[Evidence], label: int, section: Sanitize) -> ClassOutcome:
    train = inputs.codes[inputs.scorable] == label
    trusted = np.asarray(inputs.trusted_codes) == label
    n, m = int(train.sum()), int(trusted.sum())
    if n == 0 or m < MIN_TRUSTED:
        return unjudged_class(evidence, n, m)
    rates = {"alpha": section.alpha, "rate": section.false_quarantine_rate}
    return judge_class(evidence, label, train, trusted, **rates)


def pick_device(name: str) -> torch.device:
    """The torch device of that name; ``auto`` is CUDA where there is one, else CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
