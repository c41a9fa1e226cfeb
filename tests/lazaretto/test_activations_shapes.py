"""Captured layers as real architectures give them: masks, tuples, dataclasses, any axis order."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lazaretto.activations import capture
from lazaretto.activations.capture import stream
from lazaretto.activations.feed import batches
from lazaretto.errors import UsageError

LENGTHS = [9, 4, 7, 1, 9]


@dataclass
class Hidden:
    """As some libraries return it: a dataclass, a scalar loss before what matters."""

    loss: torch.Tensor
    hidden: torch.Tensor


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.never_called = nn.Dropout()
        self.norm = nn.LayerNorm(8)

    def forward(self, hidden, mask):
        mixed, weights = self.attention(hidden, hidden, hidden, key_padding_mask=mask == 0)
        return self.norm(hidden + mixed), weights


class Wrapped(nn.Module):
    def forward(self, hidden):
        return Hidden(hidden.sum(), hidden)


class Transformer(nn.Module):
    """Shaped like a text classifier of Hugging Face's."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.layer = nn.ModuleList([Block(), Block()])
        self.last = Wrapped()
        self.head = nn.Linear(8, 2)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        hidden = self.embedding(input_ids)
        if token_type_ids is not None:
            hidden = hidden + token_type_ids[:, :, None]
        for block in self.layer:
            hidden = block(hidden, attention_mask)[0]
        hidden = self.last(hidden).hidden
        return OrderedDict(logits=self.head(hidden[:, 0]), last_hidden_state=hidden)


@pytest.fixture
def transformer():
    torch.manual_seed(0)
    return Transformer().eval()


def tokens(padding: int = 0) -> dict[str, torch.Tensor]:
    """Records of `LENGTHS` tokens; where there is none, the `padding` id stands."""
    ids = torch.randint(1, 50, (5, 9), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(9) < torch.tensor(LENGTHS)[:, None]).long()
    return {"input_ids": ids.where(mask == 1, padding), "attention_mask": mask}


@pytest.mark.parametrize("how", ["mean", "max", "cls"])
@pytest.mark.parametrize("layers", ["layer.*", "last", "embedding"])
def test_padding_never_enters_a_record_s_vector(transformer, layers, how):
    a = capture(transformer, tokens(), layers=layers, pooling=how)
    b = capture(transformer, tokens(padding=7), layers=layers, pooling=how, batch_size=2)
    for row, length in enumerate(LENGTHS):
        alone = {name: value[row : row + 1, :length] for name, value in tokens().items()}
        c = capture(transformer, alone, layers=layers, pooling=how)
        for name, values in a.items():
            np.testing.assert_allclose(values[row], b[name][row], rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(values[row], c[name][0], rtol=1e-4, atol=1e-6)


def test_one_star_is_one_level_and_parts_that_never_run_are_left_out(transformer):
    assert list(capture(transformer, tokens(), layers="layer.*")) == ["layer.0", "layer.1"]
    deep = list(capture(transformer, tokens(), layers=["layer.1.**", "penultimate"]))
    assert "layer.1.attention" in deep
    assert "layer.1.never_called" not in deep
    assert deep[-1] == "penultimate"
    with pytest.raises(UsageError, match="never_called'] are never called"):
        capture(transformer, tokens(), layers="layer.*.never_called")


def test_batches_may_carry_more_than_the_model_reads(transformer):
    want = capture(transformer, tokens())["penultimate"]
    extra = {"id": ["a", "b", "c", "d", "e"], **tokens(), "label": torch.ones(5), "split": "train"}
    arrays = {name: value.numpy() for name, value in tokens().items()}

    class Records(Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return {"text": "words", "y": i, **{k: v[i] for k, v in tokens().items()}}

    for data in (extra, UserDict(extra), [extra], arrays, Records(), DataLoader(Records(), 2)):
        got = capture(transformer, data, batch_size=3)["penultimate"]
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    typed = capture(transformer, {**tokens(), "token_type_ids": torch.ones(5, 9)})["penultimate"]
    assert np.abs(typed - want).max() > 0.1
    with pytest.raises(UsageError, match=r"reads .*input_ids.*'words'"):
        capture(transformer, {"words": torch.ones(2, 3)})

    class Anything(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 1)

        def forward(self, **inputs):
            return self.head(inputs["x"])

    got = capture(Anything(), {"text": ["a", "b"], "x": torch.ones(2, 3)})["penultimate"]
    np.testing.assert_array_equal(got, np.ones((2, 3)))


class Shortens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pairs = nn.Identity()
        self.decoder = nn.Identity()

    def forward(self, x, attention_mask, decoder_attention_mask=None):
        self.decoder(x)
        return self.pairs(x[:, ::2])


def test_a_mask_that_does_not_fit_the_layer_is_refused_or_is_the_decoder_s():
    x = torch.arange(30.0).reshape(1, 10, 3).repeat(2, 1, 1)
    mask, second = torch.ones(2, 10), torch.ones(2, 10)
    nothing_hidden = capture(Shortens(), {"x": x, "attention_mask": mask}, layers="pairs")["pairs"]
    np.testing.assert_allclose(nothing_hidden, x[:, ::2].mean(1))
    mask[0, 5:] = 0
    with pytest.raises(UsageError, match="10 positions, but the layer returns 5 tokens"):
        capture(Shortens(), {"x": x, "attention_mask": mask}, layers="pairs")
    second[:, 2:] = 0
    batch = {"x": x, "attention_mask": mask, "decoder_attention_mask": second}
    np.testing.assert_allclose(
        capture(Shortens(), batch, layers="decoder")["decoder"], x[:, :2].mean(1)
    )


class ChannelsLast(nn.Module):
    """Ends in (records, height, width, channels), as Swin does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.norm = nn.LayerNorm(5)

    def forward(self, x):
        return self.norm(self.conv(x).permute(0, 2, 3, 1))


def test_features_are_found_whatever_the_order_of_axes():
    torch.manual_seed(0)
    net = ChannelsLast().eval()
    for shape, declared in [((4, 4), None), ((4, 6), "NHWC")]:
        net.output_fmt = declared
        x = torch.randn(3, 3, *shape)
        got = capture(net, x, layers=["conv", "norm"])
        with torch.no_grad():
            np.testing.assert_allclose(got["norm"], net(x).mean((1, 2)), atol=1e-6)
            if declared is None:
                np.testing.assert_allclose(got["conv"], net.conv(x).mean((2, 3)), atol=1e-6)
    series = nn.Sequential(nn.Conv1d(2, 7, 3), nn.ReLU(), nn.MaxPool1d(2)).eval()
    x = torch.randn(3, 2, 12)
    got = capture(series, x, layers="*", pooling="max")
    with torch.no_grad():
        for i in range(3):
            np.testing.assert_allclose(got[str(i)], series[: i + 1](x).amax(2), atol=1e-6)
    recurrent = nn.Sequential(OrderedDict(rnn=nn.GRU(4, 6)))
    x = torch.randn(3, 5, 4)  # five records of three steps
    with torch.no_grad():
        want = recurrent(x)[0].mean(0)

    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = recurrent.rnn

        def forward(self, x):
            return self.rnn(x.transpose(0, 1))

    np.testing.assert_allclose(capture(Turned(), x.transpose(0, 1), layers="rnn")["rnn"], want)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_of_another_precision_reads_ordinary_numbers(kind):
    net = nn.Sequential(nn.Linear(3, 4, dtype=kind), nn.Linear(4, 2, dtype=kind))
    x = np.random.default_rng(0).normal(size=(5, 3))
    got = capture(net, x)["penultimate"]
    assert got.dtype == np.float32
    want = nn.functional.linear(torch.tensor(x), net[0].weight.double(), net[0].bias.double())
    np.testing.assert_allclose(got, want.detach(), atol=0.02)


def test_half_precision_means_do_not_overflow():
    net = nn.Sequential(OrderedDict(wide=nn.Identity()))
    x = torch.full((2, 4000, 3), 30.0, dtype=torch.float16)  # the sum is beyond float16
    np.testing.assert_array_equal(capture(net, x, layers="wide")["wide"], np.full((2, 3), 30))


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_autocast_computes_in_low_precision_and_ends_with_each_pass(transformer, kind):
    seen = []
    transformer.layer[0].norm.register_forward_hook(lambda m, i, o: None)
    transformer.head.register_forward_hook(lambda m, i, out: seen.append(out.dtype))
    want = capture(transformer, tokens(), layers="layer.*")
    parts = stream(transformer, tokens(), layers="layer.*", precision=kind, batch_size=2)
    first = next(parts)
    # Between passes the caller's code runs as if there were no capture.
    assert not torch.is_autocast_enabled("cpu")
    assert not torch.is_inference_mode_enabled()
    assert (torch.ones(2, requires_grad=True) * 2).requires_grad
    assert seen[-1] == getattr(torch, kind)
    for name in first:
        np.testing.assert_allclose(first[name], want[name][:2], atol=0.15)
    with pytest.raises(UsageError, match="bfloat16, float16"):
        next(stream(transformer, tokens(), precision="fp8"))
    with pytest.raises(UsageError, match="mean, max, cls, flatten"):
        next(stream(transformer, tokens(), pooling="last"))


def test_out_of_memory_halves_mappings_too_and_keeps_their_order(transformer):
    want = capture(transformer, tokens(), layers="layer.1")["layer.1"]
    sizes = []

    def full(module, args, kwargs):
        sizes.append(len(kwargs["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError

    with transformer.register_forward_pre_hook(full, with_kwargs=True):
        got = capture(transformer, [tokens(), tokens()], layers="layer.1")["layer.1"]
    np.testing.assert_allclose(got, np.concatenate([want, want]), rtol=1e-4, atol=1e-6)
    assert max(sizes[2:]) <= 2


def test_what_cannot_be_batched_is_said(transformer):
    class Ragged(Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return {name: value[i, : LENGTHS[i]] for name, value in tokens().items()}

    with pytest.raises(UsageError, match="collate function"):
        capture(transformer, Ragged())

    def padded(items):
        return {
            name: nn.utils.rnn.pad_sequence([item[name] for item in items], batch_first=True)
            for name in items[0]
        }

    loader = DataLoader(Ragged(), 2, collate_fn=padded)
    got = capture(transformer, loader)["penultimate"]
    np.testing.assert_allclose(got, capture(transformer, tokens())["penultimate"], atol=1e-5)
    with pytest.raises(UsageError, match="no tensor of records"):
        capture(transformer, {"input_ids": "text"})
    loose = nn.Sequential(nn.Flatten(0, 0))
    ragged = [torch.ones(2, 3), torch.ones(2, 4)]
    with pytest.raises(UsageError, match="different widths in different batches"):
        capture(loose, ragged, layers="0")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory is a GPU's")
def test_pinned_batches_hold_the_same_records():
    data = {"x": torch.randn(10, 3)}
    parts = list(batches(data, batch_size=4, pin=True))
    assert all(part["x"].is_pinned() for part in parts)
    assert torch.equal(torch.cat([part["x"] for part in parts]), data["x"])
