"""Many classes at once score as each by itself does; too little memory is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from lazaretto.detect.nearest_device import DeviceSearch
from lazaretto.errors import SystemFaultError
from lazaretto.policy import Sanitize
from lazaretto.sanitize import few_rows, procedure, streaming
from lazaretto.sanitize.inputs import check_inputs
from lazaretto.sanitize.layer_data import make_layer_data
from lazaretto.sanitize.linalg.krylov import extremes_by_squaring, same_way
from lazaretto.sanitize.methods.registry import METHODS

if TYPE_CHECKING:
    from lazaretto.sanitize.layer_data import LayerData

SIZES = (3, 24, 30, 31, 48, 90, 1, 55)
"""Rows of each class; of 45 features, so that most classes have fewer."""


def make(dtype: torch.dtype = torch.float64, *, d: int = 45, trusted: bool = True) -> LayerData:
    rng = np.random.default_rng(3)
    labels = rng.permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    rows = rng.standard_normal((len(labels), d)) + 2 * labels[:, None]
    rows += 3 * rng.standard_normal((len(labels), 1)) * np.linspace(-1, 1, d)
    clean_labels = np.arange(80) % (len(SIZES) - 1)
    clean = rng.standard_normal((80, d)) + 2 * clean_labels[:, None]
    ids = [f"{i:03d}" for i in range(len(labels))]
    inputs = check_inputs(rows, labels, ids, (clean, clean_labels) if trusted else None)
    return make_layer_data(inputs, "activations", device=torch.device("cpu"), dtype=dtype, seed=0)


def plain(layer: LayerData, side: Any) -> np.ndarray[Any, Any]:
    """Spectral scores by one decomposition for each class and fold."""
    out = np.full(len(side.label), np.nan)
    for c in range(layer.n_classes):
        for fold in range(layer.folds):
            known = layer.train
            fit = known.rows[(known.label == c) & (known.fold != fold)]
            mine = (side.label == c) & (side.fold == fold)
            if not len(fit):
                continue
            _, s, axes = np.linalg.svd(fit - fit.mean(0), full_matrices=False)
            along = (side.rows[mine] - fit.mean(0)) @ axes[0]
            out[mine] = along**2 * len(fit) / s[0] ** 2 if s[0] > 1e-9 else 0
    return out


@pytest.mark.parametrize("room", [None, 1])
def test_classes_of_any_sizes_score_as_one_decomposition_each_says(
    room: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make()
    few = few_rows.has_few_rows(layer)
    assert few.any()
    assert not few.all()
    if room is not None:
        monkeypatch.setitem(few_rows._BATCH_BYTES, "cpu", room)
    got = METHODS["spectral"](layer)
    np.testing.assert_allclose(got.train, plain(layer, layer.train), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got.trusted, plain(layer, layer.trusted), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("name", ["whitened_spectral", "mahalanobis", "label_margin"])
def test_groups_worked_on_together_score_as_each_by_itself(
    name: str, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make(d=7, trusted=trusted)
    together = METHODS[name](layer).train
    monkeypatch.setitem(streaming._STACKED_ROWS, "cpu", 0)
    np.testing.assert_allclose(METHODS[name](layer).train, together, rtol=1e-6, atol=1e-9)
    # A chunk ends within a group, and within a stack.
    monkeypatch.setitem(streaming._STACKED_ROWS, "cpu", 64)
    monkeypatch.setitem(streaming.CHUNK_BYTES, "cpu", 8 * 7 * 11)
    np.testing.assert_allclose(METHODS[name](layer).train, together, rtol=1e-6, atol=1e-9)


def test_squaring_finds_the_extremes_that_decomposing_finds() -> None:
    rows = torch.randn(6, 40, 60, generator=torch.Generator().manual_seed(0)).double()
    matrix = rows @ rows.mT
    values, vectors = torch.linalg.eigh(matrix)
    got = extremes_by_squaring(matrix)
    np.testing.assert_allclose(got.value, values[:, -1], rtol=1e-9)
    np.testing.assert_allclose(same_way(got.vector), same_way(vectors[:, :, -1]), atol=1e-6)
    assert ((got.lowest - values[:, 0]).abs() < 0.01 * values[:, -1]).all()
    nothing = extremes_by_squaring(torch.zeros(2, 5, 5))
    assert not nothing.value.any()
    assert not nothing.vector.any()


def test_a_device_that_is_full_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(layer: LayerData) -> None:
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    monkeypatch.setitem(METHODS, "spectral", full)
    rows, labels = np.zeros((20, 3), np.float32), np.zeros(20, int)
    with pytest.raises(SystemFaultError, match=r"spectral@activations: cpu has too little .*2 GiB"):
        procedure.sanitize(
            rows,
            labels,
            [str(i) for i in range(20)],
            policy=Sanitize(methods=["spectral"]),
            device="cpu",
        )


def test_fewer_records_are_searched_at_once_when_memory_runs_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    rows, probes = (rng.standard_normal((n, 8)).astype(np.float32) for n in (300, 57))
    want = DeviceSearch(rows, "cpu").search(probes, 4)
    whole, sizes = DeviceSearch._nearest, list[int]()

    def full(self: DeviceSearch, queries: np.ndarray[Any, Any], k: int) -> Any:
        sizes.append(len(queries))
        if len(queries) > 5:
            raise torch.OutOfMemoryError
        return whole(self, queries, k)

    monkeypatch.setattr(DeviceSearch, "_nearest", full)
    got = DeviceSearch(rows, "cpu").search(probes, 4)
    np.testing.assert_array_equal(got[1], want[1])
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    assert max(sizes[4:]) <= 5
    assert not DeviceSearch(rows, "cpu").search(probes[:0], 4)[0].size

    def never(self: DeviceSearch, queries: np.ndarray[Any, Any], k: int) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(DeviceSearch, "_nearest", never)
    with pytest.raises(SystemFaultError, match="cpu has too little free memory to search 300"):
        DeviceSearch(rows, "cpu").search(probes, 4)
