"""Sentence embeddings by the `sentence-transformers` package (extra ``text``)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lazaretto.embed.columns import texts
from lazaretto.embed.identity import identity_digest, weights_digest
from lazaretto.errors import PolicyError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt
    import pyarrow as pa

    from lazaretto.embed.options import SentenceOptions
    from lazaretto.policy import Policy


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """Encodes text columns, joined by a space, into L2-normalised vectors.

    Attributes:
        model: name or path.
        columns: text columns.
        transformer: the loaded `SentenceTransformer`.
        weights: sha256 (hex) of its tensors.
        preprocessing: sha256 (hex) of its tokenizer, modules and options.
        dimensions: width of the vectors.
        prompt: put before every text.
    """

    model: str
    columns: tuple[str, ...]
    transformer: Any
    weights: str
    preprocessing: str
    dimensions: int
    prompt: str = ""

    @property
    def name(self) -> str:
        """Encoder name."""
        return f"sentence-transformers:{self.model}"

    @property
    def digest(self) -> str:
        """sha256 over weights, columns, tokenizer, modules and options."""
        options = {"columns": list(self.columns), "pipeline": self.preprocessing}
        return identity_digest(self.name, self.weights, options)

    def encode(self, chunk: pa.RecordBatch) -> npt.NDArray[np.float32]:
        """Float32 (n, d). A text without a token gives zeros, which screening holds."""
        return self.encode_texts(texts(chunk, self.columns))

    def encode_texts(self, values: Sequence[str]) -> npt.NDArray[np.float32]:
        """Float32 (n, d) of texts."""
        out = np.zeros((len(values), self.dimensions), np.float32)
        filled = [row for row, value in enumerate(values) if value.strip()]
        if filled:
            out[filled] = self._encode([values[row] for row in filled])
        return out

    def _encode(self, values: list[str]) -> npt.NDArray[np.float32]:
        try:
            encoded = self.transformer.encode(
                values,
                prompt=self.prompt,
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        except (RuntimeError, IndexError, ValueError) as error:
            # A text of which the tokenizer leaves nothing must not take its batch down with it.
            if type(error).__name__ == "OutOfMemoryError":
                raise
            if len(values) == 1:
                return np.zeros((1, self.dimensions), np.float32)
            half = len(values) // 2
            return np.concatenate([self._encode(values[:half]), self._encode(values[half:])])
        return np.asarray(encoded, np.float32)


def load_sentences(
    policy: Policy, options: SentenceOptions, place: tuple[str, ...], model: str
) -> SentenceEncoder:
    """The encoder of a policy.

    Weights are read from safetensors only, and no code of the model's is run: a folder that
    somebody else wrote can make wrong vectors, and nothing worse. A folder is read without the
    network.

    Args:
        policy: its columns are read; a relative folder starts at its own.
        options: of ``embed.options``.
        place: the policy's key that names the model, for messages.
        model: a folder, or a name on the Hugging Face Hub.

    Raises:
        PolicyError: the model cannot be had.
    """
    path = policy.file(model)
    folder = path.is_dir()
    from sentence_transformers import SentenceTransformer

    try:
        transformer = SentenceTransformer(
            str(path) if folder else model,
            device=options.device,
            revision=options.revision,
            local_files_only=folder,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
    except (OSError, ValueError) as error:
        raise policy.mistake(place, f"{model!r} cannot be loaded: {error_line(error)}") from error
    transformer.eval()
    if options.max_length is not None:
        transformer.max_seq_length = options.max_length
    width = next(iter(transformer.encode(["width"], show_progress_bar=False))).shape[0]
    return SentenceEncoder(
        model=model,
        columns=tuple(policy.embed.columns),
        transformer=transformer,
        weights=weights_digest(transformer.state_dict()),
        preprocessing=_pipeline_digest(transformer, options.prompt),
        dimensions=int(width),
        prompt=options.prompt,
    )


def refuse_foreign_modules(folder: Path, key: str) -> None:
    """The modules of a folder are named in it, and releases before 6 import any that they find.

    Args:
        folder: of a model.
        key: of the policy that names it, for messages.

    Raises:
        PolicyError: one is none of sentence-transformers' own.
    """
    for file in ("modules.json", "router_config.json"):
        for path in folder.rglob(file):
            try:
                kinds = _types(json.loads(path.read_text("utf-8")))
            except (ValueError, AttributeError) as error:
                raise PolicyError(
                    f"{key}: {str(path)!r} cannot be read: {error_line(error)}"
                ) from error
            for kind in kinds:
                if not kind.startswith("sentence_transformers."):
                    raise PolicyError(
                        f"{key}: {str(path)!r} asks for the Python class {kind!r}; only "
                        "those of sentence-transformers are loaded"
                    )


def _types(document: Any) -> list[str]:
    modules = document if isinstance(document, list) else [document]
    found = []
    for module in modules:
        types = module.get("types") or {"": module.get("type", "")}
        found += [str(kind) for kind in types.values() if kind]
    return found


def _pipeline_digest(transformer: Any, prompt: str) -> str:
    """sha256 (hex) of all that turns a text into a vector besides the weights."""
    digest = hashlib.sha256()
    digest.update(f"{transformer.max_seq_length}:{prompt!r}".encode())
    for module in transformer:
        described = [type(module).__name__, _config(module)]
        digest.update(json.dumps(described, sort_keys=True, default=str).encode())
    digest.update(_tokenizer_state(transformer.tokenizer).encode())
    return digest.hexdigest()


def _config(module: Any) -> dict[str, Any]:
    """Options of one module, and of its network where they are not the library's defaults."""
    describe = getattr(module, "get_config_dict", None)
    network = getattr(getattr(module, "auto_model", None), "config", None)
    found = {
        **(describe() if describe is not None else {}),
        **(network.to_diff_dict() if network is not None else {}),
    }
    # Where it was loaded from, and by which release, changes no vector.
    return {k: v for k, v in found.items() if "version" not in k and not k.startswith("_")}


def _tokenizer_state(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        vocabulary = tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else {}
        return json.dumps([type(tokenizer).__name__, vocabulary], sort_keys=True)
    state = json.loads(backend.to_str())
    for key in ("truncation", "padding"):  # set anew by every call
        state.pop(key, None)
    return json.dumps(state, sort_keys=True)
