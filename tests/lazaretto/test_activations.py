"""Capturing activations: right rows and layers, any input, a model left as it was."""

from collections import OrderedDict

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lazaretto.activations import capture, capture_to, probe, read_activations
from lazaretto.errors import UsageError


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(1, 3, 3),
            act=nn.ReLU(),
            flat=nn.Flatten(),
            drop=nn.Dropout(0.5),
            fc1=nn.Linear(108, 5),
            fc2=nn.Linear(5, 2),
        )
    )


@pytest.fixture
def images():
    return torch.randn(23, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_default_layer_is_what_the_last_linear_layer_reads(model, images):
    got = capture(model, images)
    model.eval()
    with torch.no_grad():
        want = model[:5](images)
    assert list(got) == ["penultimate"]
    np.testing.assert_allclose(got["penultimate"], want, rtol=1e-5)


def test_last_called_is_not_last_registered():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 2)
            self.body = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.body(x))

    net, x = Backwards(), torch.randn(6, 4)
    with torch.no_grad():
        want = net.body(x)
    np.testing.assert_allclose(capture(net, x)["penultimate"], want, rtol=1e-5)


@pytest.mark.parametrize("how", ["mean", "max"])
def test_globs_and_pooling_of_maps(model, images, how):
    got = capture(model, images, layers=["conv", "fc*"], pooling=how, batch_size=7)
    assert list(got) == ["conv", "fc1", "fc2"]
    with torch.no_grad():
        maps = model.conv(images)
    want = maps.mean((2, 3)) if how == "mean" else maps.amax((2, 3))
    np.testing.assert_allclose(got["conv"], want, rtol=1e-4, atol=1e-6)
    assert got["fc2"].shape == (23, 2)
    assert got["conv"].dtype == np.float32


def test_sequences_leave_padding_out_and_take_the_first_token():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Identity()

        def forward(self, input_ids, attention_mask):
            hidden = self.block((input_ids[:, :, None] * torch.ones(4), None))
            return {"last_hidden_state": hidden[0]}

    batch = {
        "input_ids": torch.tensor([[1.0, 2.0, 99.0], [4.0, 5.0, 6.0]]),
        "attention_mask": torch.tensor([[1, 1, 0], [1, 1, 1]]),
    }
    net = Tokens()
    means = capture(net, [batch], layers="block")["block"][:, 0]
    np.testing.assert_allclose(means, [1.5, 5.0])
    tops = capture(net, [batch], layers="block", pooling="max")["block"][:, 0]
    np.testing.assert_allclose(tops, [2.0, 6.0])
    first = capture(net, [batch], layers="block", pooling="cls")["block"][:, 0]
    np.testing.assert_allclose(first, [1.0, 4.0])


def test_the_model_is_left_as_it_was(model, images):
    model.train()
    model.drop.eval()
    a = capture(model, images, layers="drop")["drop"]
    b = capture(model, images, layers="drop")["drop"]
    np.testing.assert_array_equal(a, b)
    assert model.training
    assert model.conv.training
    assert not model.drop.training
    assert not model.conv._forward_hooks
    assert all(p.grad is None for p in model.parameters())


def vectors(chunk):
    return torch.tensor(chunk["embedding"].to_pylist())


def test_tables_datasets_loaders_and_arrays_agree(images):
    flat = images.flatten(1).numpy()
    net = nn.Linear(64, 3)
    want = capture(net, flat, layers=None)["penultimate"]
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), 64)
    table = pa.table({"id": [str(i) for i in range(23)], "embedding": column})
    sliced = pa.concat_tables([table.slice(0, 5), table.slice(5)])
    data = TensorDataset(images.flatten(1), torch.zeros(23))
    for source, options in [
        (table, {}),
        (sliced, {"batch_size": 4}),
        (table, {"inputs": "embedding"}),
        (
            table,
            {
                "inputs": lambda chunk: torch.from_numpy(
                    np.stack(chunk["embedding"].to_numpy(False))
                )
            },
        ),
        (data, {"batch_size": 6, "workers": 2}),
        (DataLoader(data, 10), {}),
        ([(images.flatten(1), None)], {}),
    ]:
        np.testing.assert_array_equal(capture(net, source, **options)["penultimate"], want)


def test_out_of_memory_halves_the_batch_and_goes_on(images):
    sizes = []

    class Hungry(nn.Linear):
        def forward(self, x):
            sizes.append(len(x))
            if len(x) > 6:
                raise torch.OutOfMemoryError
            return super().forward(x)

    net = Hungry(64, 3)
    flat = images.flatten(1)
    got = capture(net, flat, batch_size=23)["penultimate"]
    np.testing.assert_array_equal(got, flat.numpy())
    assert sizes[:3] == [23, 12, 6]
    assert max(sizes[2:]) <= 6

    class Hopeless(nn.Linear):
        def forward(self, x):
            raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        capture(Hopeless(64, 3), flat)


def test_low_precision_is_close(model, images):
    full = capture(model, images)["penultimate"]
    low = capture(model, images, precision="bfloat16")["penultimate"]
    assert low.dtype == np.float32
    assert 0 < np.abs(low - full).max() < 0.05 * np.abs(full).max() + 0.05


def test_mistakes_say_what_to_do(model, images):
    with pytest.raises(UsageError, match=r"'fc3'; similar names: .*fc"):
        capture(model, images, layers=["fc3"])
    with pytest.raises(UsageError, match="shuffles"):
        capture(model, DataLoader(TensorDataset(images), shuffle=True))
    with pytest.raises(UsageError, match="no record"):
        capture(model, [])
    with pytest.raises(UsageError, match="cls"):
        capture(model, images, layers="conv", pooling="cls")
    with pytest.raises(UsageError, match="which columns"):
        capture(model, pa.table({"a": [1.0], "b": [2.0]}))
    with pytest.raises(UsageError, match="nulls"):
        capture(nn.Linear(2, 2), pa.table({"a": [1.0, None], "b": [2.0, 1.0]}), inputs=["a", "b"])
    unused = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)})
    unused.forward = unused["used"].forward
    with pytest.raises(UsageError, match="idle"):
        capture(unused, torch.ones(2, 2), layers=["used", "idle"])


def test_a_probe_learns_and_is_the_same_for_the_same_seed():
    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    a = probe(images, digits.target, image=(1, 8, 8), epochs=8, seed=3, device="cpu")
    assert a.held_out_accuracy > 0.93
    assert a.classes == [str(i) for i in range(10)]
    assert capture(a.model, torch.tensor(images[:5]).reshape(-1, 1, 8, 8))["penultimate"].shape == (
        5,
        128,
    )
    b = probe(images[:300], digits.target[:300], epochs=2, seed=3, device="cpu")
    c = probe(images[:300], digits.target[:300], epochs=2, seed=3, device="cpu")
    assert all(
        torch.equal(p, q) for p, q in zip(b.model.parameters(), c.model.parameters(), strict=True)
    )
    with pytest.raises(UsageError, match="labels for"):
        probe(images, digits.target[:3])
    with pytest.raises(UsageError, match="at least two classes"):
        probe(images[:4], [1, 1, 1, 1])


def test_a_side_car_keeps_ids_and_values_and_appears_whole(tmp_path, model, images):
    ids = [f"r{i}" for i in range(23)]
    path = tmp_path / "activations.arrow"
    assert capture_to(path, model, images, ids, layers=["conv", "fc1"], batch_size=7) == 23
    names, layers = read_activations(path)
    assert names.to_pylist() == ids
    want = capture(model, images, layers=["conv", "fc1"])
    for name, values in want.items():
        np.testing.assert_allclose(layers[name], values, rtol=1e-5)
    with pytest.raises(UsageError, match="record ids"):
        capture_to(tmp_path / "short.arrow", model, images, ids[:20])
    assert [p.name for p in tmp_path.iterdir()] == ["activations.arrow"]
