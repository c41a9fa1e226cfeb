"""Capture, training and its record, and neighbours, on a CUDA device beside the CPU."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tests.lazaretto.detection_data import classes, flip, policy, table
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lazaretto as lz
from lazaretto.activations import capture
from lazaretto.activations.probe import probe
from lazaretto.detect import nearest_device
from lazaretto.detect.nearest_backends import FlatSearch
from lazaretto.detect.nearest_device import DeviceSearch
from lazaretto.sanitize.dynamics import read_dynamics
from lazaretto.training.adversarial import Adversary, adversarial_batch, free_steps, perturb
from lazaretto.training.augment import cutmix, mixup, noisy, shifted_crop
from lazaretto.training.groups import GroupDRO, capped_losses
from lazaretto.training.objectives import (
    generalised_cross_entropy,
    huber,
    trimmed,
    tukey_biweight,
)
from lazaretto.training.recorder import record_dynamics

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

DEVICES = ("cpu", "cuda")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 16, 16),
        nn.ReLU(),
        nn.Linear(16, 3),
    )


def images(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, 8, 8, generator=random), torch.arange(n) % 3


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 5e-3), ("bfloat16", 0.05)])
def test_layers_are_captured_as_on_the_cpu_and_the_model_comes_back(
    precision: str, tolerance: float
) -> None:
    """float32 convolutions may use TF32 on the device, which is torch's own default."""
    net, (x, _) = network(), images(301)
    want = capture(net, x, layers=["0", "4", "penultimate"], device="cpu", batch_size=64)
    loader = DataLoader(TensorDataset(x), 37, pin_memory=True)
    for source in (x, loader, x.cuda()):
        got = capture(net, source, layers=list(want), device="cuda", precision=precision)
        assert list(got) == list(want)
        for name, values in got.items():
            np.testing.assert_allclose(values, want[name], atol=tolerance)
    assert {p.device.type for p in net.parameters()} == {"cpu"}


def test_capture_halves_its_batches_when_memory_runs_out(small_device: None) -> None:
    torch.manual_seed(0)
    wide = nn.Sequential(OrderedDict(wide=nn.Linear(4, 2**18), last=nn.Linear(2**18, 2)))
    x, passes = torch.randn(1000, 4), list[int]()
    got = capture(wide, x, layers="last", device="cuda", batch_size=1000, progress=passes.append)
    want = capture(wide, x, layers="last", device="cpu", batch_size=50)
    np.testing.assert_allclose(got["last"], want["last"], atol=1e-2)
    assert max(passes) < 1000
    assert sum(passes) == 1000


def test_a_probe_learns_on_the_device() -> None:
    x, y = images(900)
    x[torch.arange(900), 0, 2 * y, :] += 1
    made = probe(x.flatten(1).numpy(), y.tolist(), image=(1, 8, 8), epochs=8, device="cuda")
    assert made.held_out_accuracy > 0.9
    assert {p.device.type for p in made.model.parameters()} == {"cpu"}


def test_dynamics_are_recorded_from_the_device(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    logits, target = torch.randn(50, 3, generator=random), torch.arange(50) % 3
    ids, found = [str(i) for i in range(50)], []
    for name, there, given in (
        ("cpu", logits, target),
        ("cuda", logits.cuda(), target.cuda()),
        ("mixed", logits.cuda(), target),
    ):
        path = tmp_path / name
        with record_dynamics(path, ids, ids) as recorder:
            recorder.note(ids, there, given)
            recorder.end_epoch()
        found.append(read_dynamics(path).loss)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-5, atol=1e-6)


def test_a_training_step_is_the_cpu_s() -> None:
    """Attacked rows, robust losses and weights of groups, from the same chance, on both."""
    x, y = images(40)
    attack, groups = Adversary("pgd", epsilon=0.1, steps=3, share=0.5), [i % 4 for i in range(40)]
    grown, losses = [], []
    for device in DEVICES:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 3))
        net, rows, target = net.double().to(device), x.double().to(device), y.to(device)
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        random = torch.Generator().manual_seed(1)
        batch = adversarial_batch(net, rows, target, attack, generator=random)
        moved = perturb(net, rows, target, replace(attack, kind="fgsm"), generator=random)
        batch = noisy(shifted_crop(batch, 1, generator=random), 0.01, generator=random)
        mixed, soft = mixup(batch, target, 3, generator=random)
        cut, other = cutmix(batch, target, 3, generator=random)
        logits = net(mixed)
        each = generalised_cross_entropy(net(batch), target, reduction="none")
        objective = GroupDRO([0, 1, 2, 3]).to(device)
        found = [
            nn.functional.cross_entropy(logits, soft),
            nn.functional.cross_entropy(net(cut), other),
            nn.functional.cross_entropy(net(moved), target),
            trimmed(each, 0.1),
            capped_losses(each, groups, share=0.3).sum(),
            objective(each, groups),
            huber(logits[:, 0], target.double()),
            tukey_biweight(logits[:, 1], target.double()),
        ]
        optimizer.zero_grad()
        torch.stack(found).sum().backward()
        optimizer.step()
        free_steps(net, optimizer, rows, target, Adversary("free", epsilon=0.1, steps=2))
        losses.append(torch.stack(found).detach().cpu().numpy())
        grown.append(torch.cat([p.detach().flatten() for p in net.parameters()]).cpu().numpy())
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-8)
    np.testing.assert_allclose(grown[1], grown[0], rtol=1e-6, atol=1e-9)


def test_screening_scores_are_the_cpu_s() -> None:
    rng = np.random.default_rng(0)
    trusted, batch = (classes(rng, n) for n in (1200, 400))
    flip(batch[1], np.arange(20))
    chosen = policy(detectors={name: {} for name in ("knn_label", "density", "knn_distance")})
    here = lz.Reference.fit(table(*trusted, "t"), chosen)
    files = here.files()
    content = next(v for k, v in files.items() if k.endswith(".json"))
    tensors = next(v for k, v in files.items() if k.endswith(".safetensors"))
    there = lz.Reference.from_files(content, tensors, device="cuda")
    one, other = (lz.screen(table(*batch), known, chosen).records for known in (here, there))
    for column in ("score", "p_value"):
        np.testing.assert_allclose(other[column], one[column], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("memory", ["enough", "little"])
def test_neighbours_are_faiss_s_in_any_blocks(
    memory: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows, probes = (rng.standard_normal((n, 24)).astype(np.float32) for n in (50_000, 777))
    if memory == "little":
        # All distances at once would be 148 MiB, and selecting takes as much again.
        request.getfixturevalue("small_device")
    else:
        monkeypatch.setitem(nearest_device.BLOCK, "cuda", 50_000 * 13)
    squared, row = DeviceSearch(rows, "cuda").search(probes, 9)
    want, place = FlatSearch(rows).search(probes, 9)
    assert (row == place).mean() > 0.999
    np.testing.assert_allclose(squared, want, rtol=1e-4, atol=1e-4)
