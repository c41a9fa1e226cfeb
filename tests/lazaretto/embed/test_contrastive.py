"""The contrastive encoder: its loss is the paper's, it reads no label, and comes back as it was."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from embed_policies import policy
from PIL import Image
from sklearn.datasets import load_digits

import lazaretto as lz
from lazaretto.embed import fit_encoder, load_encoder
from lazaretto.embed.contrast import nt_xent
from lazaretto.embed.contrastive import fit_contrastive, read_contrastive
from lazaretto.embed.views import random_view
from lazaretto.errors import PolicyError, ReferenceMismatchError, UsageError

SHAPE = [1, 8, 8]
FAST = {"shape": SHAPE, "dimensions": 16, "epochs": 3}
EMBED: dict[str, object] = {
    "encoder": "contrastive",
    "model": "reference",
    "columns": ["image"],
    "options": FAST,
}


def _rows(count: int, seed: int, *, flips: int = 0) -> pa.Table:
    """Bars that lie or stand, somewhere, more or less bright; the first `flips` are mislabelled."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, count)
    images = np.zeros((count, 8, 8), np.float32)
    for row in range(count):
        at = random.integers(1, 7)
        images[row, at] = random.uniform(0.6, 1)
        if label[row]:
            images[row] = images[row].T
    images += 0.05 * random.random(images.shape, dtype=np.float32)
    given = label.copy()
    given[:flips] = 1 - given[:flips]
    numbers = pa.array(list(images.reshape(count, -1)), pa.list_(pa.float32(), 64))
    ids = [f"{seed}-{n}" for n in range(count)]
    return pa.table({"id": ids, "image": numbers, "label": given})


def _batch(rows: pa.Table) -> pa.RecordBatch:
    return rows.combine_chunks().to_batches()[0]


def _png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray((255 * np.clip(pixels, 0, 1)).astype(np.uint8)).save(data, "PNG")
    return data.getvalue()


def _files(rows: pa.Table) -> pa.Table:
    images = np.array(rows["image"].to_pylist(), np.float32).reshape(-1, 8, 8)
    files = pa.array([_png(one) for one in images], pa.binary())
    return rows.set_column(1, "image", files)


def _by_hand(one: np.ndarray, other: np.ndarray, temperature: float) -> float:
    """Equation 1 of Chen et al. (2020), term by term."""
    views = np.concatenate([one, other])
    count, total = len(one), 0.0

    def like(i: int, k: int) -> float:
        cosine = views[i] @ views[k] / (np.linalg.norm(views[i]) * np.linalg.norm(views[k]))
        return math.exp(cosine / temperature)

    for i in range(2 * count):
        others = sum(like(i, k) for k in range(2 * count) if k != i)
        total -= math.log(like(i, (i + count) % (2 * count)) / others)
    return total / (2 * count)


@pytest.mark.parametrize(("count", "temperature"), [(1, 0.5), (2, 0.1), (7, 0.5), (5, 2.0)])
def test_the_loss_is_that_of_the_paper(count: int, temperature: float) -> None:
    random = np.random.default_rng(count)
    one, other = random.normal(size=(2, count, 6))
    found = nt_xent(torch.tensor(one), torch.tensor(other), temperature=temperature)
    assert float(found) == pytest.approx(_by_hand(one, other, temperature), abs=1e-9)


def test_the_loss_where_it_is_known() -> None:
    """All views alike: a guess among 2n - 1. Pairs at right angles: n - 1 pairs of others."""
    alike = torch.ones(4, 3)
    assert float(nt_xent(alike, 5 * alike)) == pytest.approx(math.log(7))
    apart = torch.eye(4)
    expected = math.log(1 + 6 * math.exp(-1 / 0.2))
    assert float(nt_xent(apart, apart, temperature=0.2)) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UsageError, match="alike"):
        nt_xent(alike, apart)
    with pytest.raises(UsageError, match="temperature"):
        nt_xent(alike, alike, temperature=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_view_is_mirrored_only_where_that_is_allowed(channels: int) -> None:
    images = torch.zeros(200, channels, 8, 8)
    images[..., :4] = 0.8
    mirrored = {}
    for flip in (False, True):
        seen = random_view(images, flip=flip, generator=torch.Generator().manual_seed(1))
        again = random_view(images, flip=flip, generator=torch.Generator().manual_seed(1))
        assert seen.shape == images.shape
        assert (seen == again).all()
        assert 0 <= float(seen.min()) <= float(seen.max()) <= 1
        left, right = seen[..., :4].mean((1, 2, 3)), seen[..., 4:].mean((1, 2, 3))
        mirrored[flip] = int((right > left).sum())
    assert mirrored[False] == 0
    assert 60 < mirrored[True] < 140


def test_views_of_new_images_are_found_better_for_what_it_learned() -> None:
    images = (load_digits().images[:600] / 16).astype(np.float32)
    trusted = pa.table({"image": list(images[:400].reshape(400, -1))})
    new, chance = torch.tensor(images[400:])[:, None], torch.Generator().manual_seed(5)
    views = [random_view(new, flip=False, generator=chance).flatten(1).numpy() for _ in range(2)]
    loss = {}
    for epochs in (0, 15):
        encoder = fit_contrastive(trusted, "image", shape=SHAPE, dimensions=64, epochs=epochs)
        codes = [encoder.encode(pa.record_batch({"image": list(view)})) for view in views]
        loss[epochs] = float(nt_xent(*map(torch.from_numpy, codes), temperature=0.1))
    assert loss[15] < loss[0] - 0.1


def test_labels_and_neighbours_change_nothing_and_the_seed_does() -> None:
    rows = _rows(64, 0)
    told: list[tuple[str, int, int]] = []
    other = rows.set_column(2, "label", pa.array([0] * 64))
    one = fit_contrastive(
        rows, "image", shape=SHAPE, epochs=2, progress=lambda *step: told.append(step)
    )
    two = fit_contrastive(other, "image", shape=SHAPE, epochs=2)
    assert one.digest == two.digest
    assert one.digest != fit_contrastive(rows, "image", shape=SHAPE, epochs=2, seed=1).digest
    assert told == [("fitting the encoder", 1, 2), ("fitting the encoder", 2, 2)]
    whole = one.encode(_batch(rows))
    parts = [one.encode(_batch(rows).slice(i, 1)) for i in range(5)]
    np.testing.assert_allclose(np.concatenate(parts), whole[:5], atol=1e-5)


def test_it_comes_back_from_its_state_and_from_nothing_else() -> None:
    rows, chosen = _rows(64, 0), policy(EMBED)
    encoder, state = fit_encoder(chosen, rows, seed=2)
    again = load_encoder(chosen, state)
    assert again.digest == encoder.digest
    assert again.dimensions == 16
    np.testing.assert_array_equal(again.encode(_batch(rows)), encoder.encode(_batch(rows)))
    _, _, learned = state.partition(b"\n")
    head, _, tensors = learned.partition(b"\n")
    said = json.loads(head)
    for shape in ([1, 28, 28], [3, 8, 8], [1, 8], [0, 8, 8], "wide"):
        broken = json.dumps(said | {"shape": shape}).encode() + b"\n" + tensors
        with pytest.raises(PolicyError):
            read_contrastive(broken, "it")
    for broken in (b"", b"{}\n" + tensors, learned[:-9], learned[40:]):
        with pytest.raises(PolicyError):
            read_contrastive(broken, "it")
    changed = EMBED | {"options": FAST | {"flip": True}}
    with pytest.raises(ReferenceMismatchError, match="options"):
        load_encoder(policy(changed), state)


@pytest.mark.parametrize("files", [False, True], ids=["numbers", "files"])
def test_a_reference_fits_it_and_screening_finds_wrong_labels(files: bool) -> None:
    options = {"size": 16} if files else {"shape": SHAPE}
    chosen = policy(EMBED | {"options": options | {"dimensions": 32, "epochs": 20}})
    trusted, delivery = _rows(800, 0), _rows(120, 1, flips=20)
    if files:
        trusted, delivery = _files(trusted), _files(delivery)
    told: list[tuple[str, int, int]] = []
    reference = lz.Reference.fit(trusted, chosen, progress=lambda *step: told.append(step))
    assert told[-1] == ("fitting the encoder", 20, 20)
    assert reference.rows == 600, "a quarter fitted the encoder"
    files_of = lz.Reference.from_files(*reference.files().values())
    held = lz.screen(delivery, files_of, chosen).records["held"].to_numpy()
    assert held[:20].mean() > 0.8
    assert held[20:].mean() < 0.05


def test_what_is_no_image_gives_zeros_and_is_held() -> None:
    rows = _files(_rows(200, 0))
    options = {"size": 16, "dimensions": 16, "epochs": 1, "max_pixels": 10_000}
    chosen = policy(EMBED | {"options": options})
    reference = lz.Reference.fit(rows, chosen)
    huge = _png(np.zeros((101, 101)))
    broken = pa.array([None, b"no image", huge, *rows["image"][3:20].to_pylist()], pa.binary())
    delivery = rows.slice(0, 20).set_column(1, "image", broken)
    code = load_encoder(chosen, reference.encoder_state).encode(_batch(delivery))
    assert not code[:3].any()
    assert code[3:].any(1).all()
    held = lz.screen(delivery, reference, chosen).records["held"].to_numpy()
    assert held[:3].all()


def test_numbers_that_are_far_out_or_none_are_held() -> None:
    rows = _rows(200, 0)
    reference = lz.Reference.fit(rows, policy(EMBED))
    lists = rows["image"].to_pylist()[:20]
    lists[0], lists[1], lists[2] = [3e38] * 64, None, [float("nan")] * 64
    delivery = rows.slice(0, 20).set_column(1, "image", pa.array(lists, pa.list_(pa.float32())))
    held = lz.screen(delivery, reference, policy(EMBED)).records["held"].to_numpy()
    assert held[:3].all()


@pytest.mark.parametrize(
    ("embed", "said"),
    [
        ({"model": "file.bin"}, "write `model: reference`"),
        ({"columns": []}, "name the column that holds the images"),
        ({"columns": ["image", "id"]}, "reads one column, not 2"),
        ({"options": {"dimensions": 30}}, "multiple of 4"),
        ({"options": {"shape": [8, 8]}}, "at least 3"),
        ({"options": {"temprature": 1.0}}, "did you mean 'temperature'"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(embed: dict[str, object], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        fit_encoder(policy(EMBED | embed), _rows(64, 0))


def test_what_the_column_holds_must_fit() -> None:
    rows = _rows(64, 0)
    with pytest.raises(ReferenceMismatchError, match=r"say channels, height and width"):
        fit_contrastive(rows, "image")
    with pytest.raises(ReferenceMismatchError, match="'label' has type int64"):
        fit_contrastive(rows, "label", shape=SHAPE)
    with pytest.raises(ReferenceMismatchError, match="'pixels' is missing"):
        fit_contrastive(rows, "pixels", shape=SHAPE)
    with pytest.raises(ReferenceMismatchError, match="too few"):
        fit_contrastive(rows.slice(0, 20), "image", shape=SHAPE)
    encoder = fit_contrastive(rows, "image", shape=SHAPE, epochs=0)
    with pytest.raises(ReferenceMismatchError, match=r"no column 'image'|'image' is missing"):
        encoder.encode(pa.record_batch({"other": [1]}))
