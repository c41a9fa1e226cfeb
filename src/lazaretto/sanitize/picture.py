"""A picture of one class: how its scores spread, and where its rows lie in white coordinates."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.errors import NotFoundError
from lazaretto.sanitize.inputs import check_inputs
from lazaretto.sanitize.layer_data import make_layer_data
from lazaretto.sanitize.robust import clean_whitenings

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from lazaretto.sanitize.result import Sanitization

_WIDTH, _HEIGHT, _PAD, _BINS, _POINTS = 360, 240, 34, 40, 1500
_KEPT, _HELD = "#5b7083", "#c0392b"


def class_picture(
    result: Sanitization,
    activations: NDArray[np.floating],
    label: str,
    *,
    trusted: tuple[NDArray[np.floating], Any] | None = None,
) -> str:
    """Draws the class as SVG: histogram of scores, and the two directions in which it varies most.

    Directions are in units of the clean rows' own spread, so a clean class is a round cloud of
    radius about 2. Held records are red. Only numbers and the escaped label enter the picture.

    Args:
        result: what `sanitize` returned.
        activations: (n, d) of the layer to draw, in the order of the result's records.
        label: of the class.
        trusted: activations and labels of trusted rows, as given to `sanitize`.

    Raises:
        NotFoundError: no record has the label.

    Examples:
        >>> from lazaretto.sanitize import sanitize
        >>> import numpy as np
        >>> random = np.random.default_rng(0)
        >>> trusted, rows = random.normal(size=(400, 6)), random.normal(size=(300, 6))
        >>> result = sanitize(
        ...     rows, ["cat"] * 300, [str(i) for i in range(300)], trusted=(trusted, ["cat"] * 400)
        ... )
        >>> class_picture(result, rows, "cat")[:4]
        '<svg'
    """
    labels = result.records["label"]
    mine = np.flatnonzero(np.asarray(labels.to_pylist(), object) == label)
    if not len(mine):
        raise NotFoundError(f"no record has the label {label!r}")
    score = result.records["score"].to_numpy(zero_copy_only=False)[mine].astype(float)
    held = result.records["held"].to_numpy(zero_copy_only=False)[mine]
    inputs = check_inputs(activations, labels, result.records["record_id"], trusted)
    points = np.full((len(activations), 2), np.nan)
    points[inputs.scorable] = _components(inputs, inputs.classes.index(label))
    body = _histogram(score, held) + _scatter(points[mine], held)
    title = f"class {label}: {len(mine)} records, {int(held.sum())} held"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _WIDTH} {_HEIGHT + 24}" '
        f'role="img" font-family="sans-serif" font-size="11"><title>{escape(title)}</title>'
        f'<text x="{_PAD}" y="16" font-size="13">{escape(title)}</text>'
        f'<g transform="translate(0 24)">{body}</g></svg>'
    )


def _components(inputs: Any, c: int) -> NDArray[np.float64]:
    """First two white components of all scorable rows, by the whitening of class `c`."""
    name = next(iter(inputs.layers))
    cpu = torch.device("cpu")
    layer = make_layer_data(inputs, name, device=cpu, dtype=torch.float64, seed=0)
    for classes, white, _, _ in clean_whitenings(layer):
        if c in classes:
            g = (c - classes.start) * layer.folds
            rows = torch.from_numpy(np.asarray(inputs.layers[name], np.float64))
            z = (rows - white.center[g]) @ white.basis[g]
            own = z[torch.from_numpy(inputs.groups[c])]
            vectors = torch.linalg.eigh(own.T @ own / max(len(own), 1)).eigenvectors
            found: NDArray[np.float64] = (z @ vectors[:, -2:].flip(1)).numpy()
            if found.shape[1] == 1:
                found = np.hstack([found, np.zeros_like(found)])
            return found
    return np.full((len(inputs.scorable), 2), np.nan)


def _histogram(score: NDArray[np.float64], held: NDArray[np.bool_]) -> str:
    known = np.isfinite(score)
    if not known.any():
        return _text("no scores", 0)
    edges = np.linspace(0, max(float(np.nanmax(score)), 1e-9), _BINS + 1)
    bars = []
    base = np.zeros(_BINS)
    counts = [np.histogram(score[known & (held == h)], edges)[0] for h in (False, True)]
    top = np.log1p(sum(counts)).max() or 1
    step = (_WIDTH - 2 * _PAD) / _BINS
    for count, color in zip(counts, (_KEPT, _HELD), strict=True):
        for i in np.flatnonzero(count):
            y0, y1 = (
                np.log1p(v) / top * (_HEIGHT - 2 * _PAD) for v in (base[i], base[i] + count[i])
            )
            bars.append(
                f'<rect x="{_PAD + i * step:.1f}" y="{_HEIGHT - _PAD - y1:.1f}" '
                f'width="{step:.1f}" height="{y1 - y0:.1f}" fill="{color}"/>'
            )
        base = base + count
    return "".join(bars) + _axes(0, "score (surprise)", "records (log)")


def _scatter(points: NDArray[np.float64], held: NDArray[np.bool_]) -> str:
    known = np.isfinite(points).all(1)
    points, held = points[known], held[known]
    step = max(1, len(points) // _POINTS)
    shown = np.concatenate([np.flatnonzero(~held)[::step], np.flatnonzero(held)[:_POINTS]])
    if not len(shown):
        return ""
    size = max(float(np.abs(points[shown]).max()), 3.0)
    scaled = (points[shown] / size + 1) / 2
    dots = [
        f'<circle cx="{_WIDTH + _PAD + x * (_WIDTH - 2 * _PAD):.1f}" '
        f'cy="{_HEIGHT - _PAD - y * (_HEIGHT - 2 * _PAD):.1f}" r="2" '
        f'fill="{_HELD if red else _KEPT}" fill-opacity="0.6"/>'
        for (x, y), red in zip(scaled, held[shown], strict=True)
    ]
    return "".join(dots) + _axes(_WIDTH, f"first white component (within {size:.3g})", "second")


def _axes(x: int, below: str, beside: str) -> str:
    return (
        f'<path d="M{x + _PAD} {_PAD}V{_HEIGHT - _PAD}H{x + _WIDTH - _PAD}" fill="none" '
        f'stroke="#999"/><text x="{x + _PAD}" y="{_HEIGHT - 12}">{below}</text>'
        f'<text x="{x + _PAD}" y="{_PAD - 6}">{beside}</text>'
    )


def _text(text: str, x: int) -> str:
    return f'<text x="{x + _PAD}" y="{_HEIGHT / 2:.0f}">{text}</text>'
