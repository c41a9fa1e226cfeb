"""Texts to vectors by a network that learned, without labels, which views are of one text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.embed.columns import texts
from lazaretto.embed.hashing import HashingEncoder, fit_hashing
from lazaretto.embed.state import Packed, pack, unpacked
from lazaretto.embed.text_views import text_view, words
from lazaretto.errors import PolicyError, ReferenceMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt
    import pyarrow as pa
    from torch import Tensor

    from lazaretto.embed.sentences import SentenceEncoder

    Floats = npt.NDArray[np.float32]
    Progress = Callable[[str, int, int], None]

LEAST_TEXTS = 32
"""Fewer are not learned from: most of a batch would be views of the text itself."""
MOST_VIEWS = 16
WIDEST, MOST_BUCKETS, LONGEST_NGRAM = 16_384, 2**20, 1000
"""Of a state that is read: its vectors, hash buckets and n-grams."""
_ROWS = 1024
_PROJECTION = "base.projection"


@dataclass(frozen=True, slots=True)
class ContrastiveTextEncoder(Packed):
    """A learned projection of the base encoder's vector of a text, L2-normalised.

    Attributes:
        columns: text columns, joined by a space.
        base: makes a text's vector; it learned before, and is not changed.
        tensors: float32: ``center`` (d,) of the base's vectors, their common ``scale`` (1,), and
            ``weight`` (d, d).
    """

    columns: tuple[str, ...]
    base: HashingEncoder | SentenceEncoder
    tensors: dict[str, Floats]

    @property
    def name(self) -> str:
        """Encoder name."""
        return f"contrastive_text:{'+'.join(self.columns)}"

    @property
    def dimensions(self) -> int:
        """Width of the vectors."""
        return len(self.tensors["weight"])

    def to_bytes(self) -> bytes:
        """The state: a line of JSON, then safetensors; of a model as base, its digest."""
        head: dict[str, object] = {"columns": list(self.columns), "base": self.base.digest}
        tensors = dict(self.tensors)
        if isinstance(self.base, HashingEncoder):
            assert self.base.projection is not None  # noqa: S101  it was fitted
            head["ngrams"] = list(self.base.ngrams)
            tensors[_PROJECTION] = self.base.projection
        return pack(head, tensors)

    def encode(self, chunk: pa.RecordBatch) -> Floats:
        """Float32 (n, d). A text that is empty or null gives zeros, which screening holds.

        Raises:
            ReferenceMismatchError: a column is missing or is no text.
        """
        return self.encode_texts(texts(chunk, self.columns))

    def encode_texts(self, values: Sequence[str]) -> Floats:
        """Float32 (n, d) of texts."""
        import torch

        state = {name: torch.from_numpy(tensor) for name, tensor in self.tensors.items()}
        out = np.zeros((len(values), self.dimensions), np.float32)
        with torch.inference_mode():
            for start in range(0, len(values), _ROWS):
                base = self.base.encode_texts(values[start : start + _ROWS])
                code = project(torch.from_numpy(base), state).numpy()
                norms = np.linalg.norm(code, axis=1, keepdims=True)
                code /= np.maximum(norms, 1e-12)
                code[~base.any(1)] = 0  # nothing was there to project
                out[start : start + _ROWS] = code
        return out


def fit_contrastive_text(
    trusted: pa.Table,
    columns: Sequence[str],
    *,
    base: SentenceEncoder | None = None,
    dimensions: int = 128,
    temperature: float = 0.1,
    epochs: int = 60,
    views: int = 4,
    span: float = 0.5,
    dropout: float = 0.2,
    buckets: int = 16_384,
    ngrams: tuple[int, int] = (3, 5),
    seed: int = 0,
    progress: Progress | None = None,
) -> ContrastiveTextEncoder:
    """Fits the encoder on trusted texts; no label is read, so that wrong labels cannot bend it.

    Of each text a few views are made: stretches of its words, some of them left out. The base gives
    the vector of each view, once. A projection of these vectors, at first the identity, learns
    which two views are of one text, in the manner of Gao, Yao, Chen (2021), "SimCSE: Simple
    contrastive learning of sentence embeddings", section 3, with views as in Giorgi, Nitski, Wang,
    Bader (2021), "DeCLUTR: Deep contrastive learning for unsupervised textual representations",
    section 3. Unlike there, no language model is trained: the base stays as it is.

    Args:
        trusted: rows; of texts that are the same one is taken, and empty ones are left out.
        columns: text columns, joined by a space.
        base: a model of sentence-transformers; None: hashed n-grams, projected on the directions in
            which the trusted texts differ most (`lazaretto.embed.hashing.fit_hashing`).
        dimensions: width of the vectors, from 2, without `base`; with it they are as wide as its.
        temperature: of the loss, above 0; see `lazaretto.embed.contrast.nt_xent`.
        epochs: passes over the texts; 0: the base's vectors, scaled.
        views: of each text, 2 to 16. The base encodes all of them, and their vectors are kept in
            memory: 4 bytes x texts x views x width of the base.
        span: least share of a text's words that a view is cut from, above 0, at most 1.
        dropout: most of these words that are left out, a share from 0 to below 1.
        buckets: hash buckets, without `base`.
        ngrams: shortest and longest n-gram, without `base`.
        seed: of weights, order and views.
        progress: called with a step's name, how much is done, and how much there is.

    Raises:
        ReferenceMismatchError: a column is missing or is no text, or fewer than 32 texts differ.
        PolicyError: a number is out of range.

    Examples:
        >>> import pyarrow as pa
        >>> rows = pa.table({"text": [f"parcel {n} came {n % 7} days late" for n in range(64)]})
        >>> encoder = fit_contrastive_text(rows, ["text"], dimensions=16, epochs=2)
        >>> encoder.encode(rows.to_batches()[0]).shape
        (64, 16)
    """
    import torch

    from lazaretto.embed.contrast import learn

    if dimensions < 2 or epochs < 0 or not temperature > 0 or not 2 <= views <= MOST_VIEWS:
        raise PolicyError(
            "contrastive_text: dimensions from 2, epochs from 0, temperature above 0, views from 2 "
            f"to {MOST_VIEWS}"
        )
    if not 0 < span <= 1 or not 0 <= dropout < 1:
        raise PolicyError("contrastive_text: span above 0 and at most 1, dropout from 0 to below 1")
    read = (text for chunk in trusted.to_batches() for text in texts(chunk, columns))
    # Rows with one text would be told to lie apart from each other.
    values = list(dict.fromkeys(text for text in read if text.strip()))
    if len(values) < LEAST_TEXTS:
        raise ReferenceMismatchError(
            f"embed.columns: {len(values)} different texts in {', '.join(columns)} are too few to "
            f"fit on, {LEAST_TEXTS} are needed"
        )
    maker: HashingEncoder | SentenceEncoder = base or fit_hashing(
        values, columns, dimensions=dimensions, buckets=buckets, ngrams=ngrams, seed=seed
    )
    seen = _views(values, maker, views, span, dropout, np.random.default_rng(seed), progress)
    center = seen.mean((0, 1), dtype=np.float64)
    # One scale for all: an embedding's columns are alike, and rare ones must not be blown up.
    square = np.einsum("nvd,nvd->", seen, seen, dtype=np.float64) / (len(values) * views)
    spread = float(np.sqrt(max(square - center @ center, 0) / len(center)))
    if not np.isfinite(spread):
        raise ReferenceMismatchError(
            f"{maker.name} gives vectors of trusted texts that are not finite: choose another base"
        )
    center, scale = center.astype(np.float32), np.array([max(spread, 1e-6)], np.float32)
    fixed = {"center": torch.from_numpy(center), "scale": torch.from_numpy(scale)}
    kept = torch.from_numpy(seen)
    chance = torch.Generator().manual_seed(seed)

    def pairs(places: Tensor) -> tuple[Tensor, Tensor]:
        one = torch.randint(views, (len(places),), generator=chance)
        other = (one + torch.randint(1, views, (len(places),), generator=chance)) % views
        return kept[places, one], kept[places, other]

    learned = learn(
        len(values), {"weight": torch.eye(len(center))},
        lambda inputs, state: project(inputs, {**state, **fixed}), pairs,
        dimensions=len(center), temperature=temperature, epochs=epochs, chance=chance,
        progress=progress,
    )  # fmt: skip
    tensors = {name: tensor.numpy() for name, tensor in (learned | fixed).items()}
    return ContrastiveTextEncoder(tuple(columns), maker, tensors)


def read_contrastive_text(
    data: bytes, name: str, base: Callable[[], SentenceEncoder] | None = None
) -> ContrastiveTextEncoder:
    """The encoder whose state `ContrastiveTextEncoder.to_bytes` gave.

    Args:
        data: of the state.
        name: for messages.
        base: loads the model of sentence-transformers that it was fitted on; None: on none.

    Raises:
        PolicyError: it is not such a state.
        ReferenceMismatchError: the base is another one than it was fitted on.
    """
    with unpacked(data, name, "contrastive_text") as (said, state):
        columns, digest = said["columns"], said["base"]
        fits = isinstance(columns, list) and all(isinstance(one, str) for one in columns)
        fits &= len(columns) > 0 and isinstance(digest, str)
        fits &= all(one.dtype == np.float32 and np.isfinite(one).all() for one in state.values())
        projection = state.pop(_PROJECTION, None)
        width = len(state["weight"])
        shapes = {"center": (width,), "scale": (1,), "weight": (width, width)}
        fits &= {key: one.shape for key, one in state.items()} == shapes
        fits &= 0 < width <= WIDEST and float(state["scale"][0]) > 0
        fits &= (projection is None) == (base is not None)
        if projection is not None:
            buckets, wide = projection.shape
            shortest, longest = said["ngrams"]
            fits &= wide == width and 0 < buckets <= MOST_BUCKETS
            fits &= type(shortest) is int and type(longest) is int
            fits &= 0 < shortest <= longest <= LONGEST_NGRAM
    if not fits:
        raise PolicyError(f"{name}: its tensors do not fit together")
    maker: HashingEncoder | SentenceEncoder
    if base is not None:
        maker = base()
    else:
        maker = HashingEncoder(tuple(columns), buckets, (shortest, longest), projection)
    if maker.digest != digest or maker.dimensions != width:
        raise ReferenceMismatchError(
            f"{name} was fitted on another base encoder than {maker.name} is now: take the change "
            "back, or fit a new version of the reference"
        )
    return ContrastiveTextEncoder(tuple(columns), maker, state)


def project(base: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    """The base's vectors (n, d) as the encoder's: floats (n, d), before they are normalised."""
    from torch.nn.functional import linear

    return linear((base - state["center"]) / state["scale"], state["weight"])


def _views(
    values: Sequence[str],
    base: HashingEncoder | SentenceEncoder,
    views: int,
    span: float,
    dropout: float,
    chance: np.random.Generator,
    progress: Progress | None,
) -> Floats:
    """The base's vectors of some views of each text, float32 (texts, views, d)."""
    found = np.empty((len(values), views, base.dimensions), np.float32)
    for start in range(0, len(values), _ROWS):
        cut = [words(text) for text in values[start : start + _ROWS]]
        for number in range(views):
            seen = [text_view(one, span=span, dropout=dropout, generator=chance) for one in cut]
            found[start : start + len(cut), number] = base.encode_texts(seen)
        if progress is not None:
            progress("encoding views of the texts", start + len(cut), len(values))
    return found
