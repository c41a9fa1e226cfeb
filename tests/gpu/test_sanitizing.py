"""Sanitizing on a CUDA device gives what it gives on the CPU, from any chunks, or says why not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from lazaretto.errors import SystemFaultError
from lazaretto.policy import Sanitize
from lazaretto.sanitize import layer_data as layer_data_module
from lazaretto.sanitize import procedure, streaming
from lazaretto.sanitize import resident as resident_module
from lazaretto.sanitize.inputs import check_inputs
from lazaretto.sanitize.layer_data import make_layer_data
from lazaretto.sanitize.methods.registry import METHODS
from lazaretto.sanitize.resident import make_resident, on_device

if TYPE_CHECKING:
    from lazaretto.sanitize.layer_data import LayerData

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CUDA, CPU = torch.device("cuda"), torch.device("cpu")

TOLERANCE = {torch.float64: 1e-5, torch.float32: 5e-3}
"""Of scores beside those of the CPU in float64: relative, and as much of the largest score."""

STEPWISE = {"scan", "activation_clustering", "loss_trajectories"}

SHAPES = [
    {"n": 60, "m": 50, "d": 6},
    {"n": 70, "m": 60, "d": 100},
    {"n": 500, "m": 300, "d": 100},
    {"n": 30, "m": 20, "d": 24},
]


def data(n: int, m: int, d: int, *, classes: int = 6, seed: int = 0) -> tuple[Any, ...]:
    """Classes of `n` to `n + 7` rows with a mixed covariance, and `m` trusted rows of each."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((d, d)) / np.sqrt(d)
    labels = np.repeat(np.arange(classes), n + np.arange(classes) % 8)
    rows = rng.standard_normal((len(labels), d)) @ mix + 3 * labels[:, None]
    rows[: n // 10] += 4 * mix[0]
    clean_labels = np.repeat(np.arange(classes), m)
    clean = rng.standard_normal((len(clean_labels), d)) @ mix + 3 * clean_labels[:, None]
    return rows, labels, clean, clean_labels


def make(
    device: torch.device,
    dtype: torch.dtype,
    *,
    trusted: bool = True,
    resident: bool = False,
    **shape: int,
) -> LayerData:
    rows, labels, clean, clean_labels = data(**shape)
    ids = [f"{i:05d}" for i in range(len(labels))]
    inputs = check_inputs(rows, labels, ids, (clean, clean_labels) if trusted else None)
    kept = make_resident(inputs, "activations", device) if resident else None
    return make_layer_data(inputs, "activations", device=device, dtype=dtype, seed=0, resident=kept)


def close(got: Any, want: Any, tolerance: float, name: str) -> None:
    """Within the tolerance on all rows but one in 200: an edge may have another neighbour."""
    largest = np.nanquantile(np.abs(want), 0.99)
    right = np.isclose(got, want, rtol=tolerance, atol=tolerance * largest, equal_nan=True)
    assert right.mean() >= 0.995, (name, got[~right][:5], want[~right][:5])


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_scores_as_on_the_cpu(name: str, shape: dict[str, int], trusted: bool) -> None:
    want = METHODS[name](make(CPU, torch.float64, trusted=trusted, **shape))
    for dtype, tolerance in TOLERANCE.items():
        # EM stops at a threshold, and Lloyd at a border: a bit more or less takes other steps.
        if dtype == torch.float32 and name in STEPWISE:
            continue
        got = METHODS[name](make(CUDA, dtype, trusted=trusted, **shape))
        assert got.skipped == want.skipped
        for part in ("train", "trusted", "tested_train", "tested_trusted"):
            if getattr(want, part) is not None:
                close(getattr(got, part), getattr(want, part), tolerance, f"{name} {part} {dtype}")


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("name", ["spectral", "whitened_spectral", "mahalanobis", "label_margin"])
def test_chunks_that_do_not_divide_give_the_same(
    name: str, resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {"n": 230, "m": 150, "d": 100}
    want = METHODS[name](make(CUDA, torch.float32, **shape))
    monkeypatch.setitem(streaming.CHUNK_BYTES, "cuda", 37 * 4 * 100)
    monkeypatch.setitem(layer_data_module.BLOCK_BYTES, "cuda", 1)
    got = METHODS[name](make(CUDA, torch.float32, resident=resident, **shape))
    close(got.train, want.train, 1e-4, name)
    close(got.trusted, want.trusted, 1e-4, name)


def test_copies_on_their_own_stream_never_overtake_what_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slow kernel still reads a chunk while the next ones are copied."""
    monkeypatch.setitem(streaming.CHUNK_BYTES, "cuda", 101 * 4 * 512)
    layer = make(CUDA, torch.float32, n=1500, m=20, d=512)
    side, busy = layer.train, torch.randn(3000, 3000, device=CUDA)
    for _ in range(3):
        sums, positions = [], []
        for chunk in streaming.stream(layer, side, range(layer.n_classes)):
            for _ in range(3):
                busy = torch.tanh(busy @ busy)
            x = chunk.x + 0 * busy[0, 0]
            sums.append(x.double().sum(1))
            chunk.x.fill_(torch.nan)
            positions.append(chunk.positions)
        got = torch.cat(sums).cpu().numpy()
        want = side.rows[np.concatenate(positions)].astype(np.float32).sum(1, dtype=np.float64)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-4)


def test_rows_stay_on_the_device_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels, clean, clean_labels = data(300, 50, 33)
    monkeypatch.setattr(resident_module, "_PART_BYTES", 33 * 8 * 7)
    assert np.array_equal(on_device(rows, CUDA).cpu().numpy(), rows)
    inputs = check_inputs(rows, labels, np.arange(len(labels)), (clean, clean_labels))
    assert make_resident(inputs, "activations", CPU) is None
    kept = make_resident(inputs, "activations", CUDA)
    assert kept is not None
    assert kept.trusted is not None
    monkeypatch.setattr(resident_module, "free_bytes", lambda device: rows.nbytes)
    assert make_resident(inputs, "activations", CUDA) is None


@pytest.mark.parametrize("trusted", [True, False])
def test_the_same_records_are_held_as_on_the_cpu(trusted: bool) -> None:
    rows, labels, clean, clean_labels = data(400, 300, 20)
    rows[:20] += 5
    ids = [str(i) for i in range(len(labels))]
    known = (clean, clean_labels) if trusted else None
    policy = Sanitize(methods=["whitened_spectral", "spectral", "mahalanobis", "label_margin"])
    held = [
        procedure.sanitize(
            rows, labels, ids, trusted=known, policy=policy, device=device, dtype="float64"
        )
        .records["held"]
        .to_numpy(zero_copy_only=False)
        for device in ("cpu", "cuda")
    ]
    assert held[0].any()
    # A row at the very edge may fall to either side.
    assert (held[0] != held[1]).sum() <= 2


def test_too_little_memory_is_said(small_device: None) -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((2500, 1024)).astype(np.float32), np.arange(2500) % 2
    with pytest.raises(SystemFaultError, match=r"mahalanobis@activations: cuda has too little"):
        procedure.sanitize(
            rows,
            labels,
            [str(i) for i in range(2500)],
            trusted=(rows, labels),
            policy=Sanitize(methods=["mahalanobis"]),
            device="cuda",
        )


def test_a_streamed_layer_may_have_any_type_of_rows() -> None:
    layer = make(CUDA, torch.float32, n=100, m=50, d=12)
    want = METHODS["spectral"](layer).train
    for kind in (np.float32, np.float64):
        rows = layer.train.rows.astype(kind)
        got = METHODS["spectral"](replace(layer, train=replace(layer.train, rows=rows))).train
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
