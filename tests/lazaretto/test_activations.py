"""Capturing activations: right rows and layers, any input, a model left as it was."""

from collections import OrderedDict

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lazaretto.activations import capture
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
    with pytest.raises(UsageError, match=r"'fc3'; near are .*fc"):
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
        capture(unused, torch.ones(2, 2), layers="*")
