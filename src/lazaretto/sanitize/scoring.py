"""Scoring on an engine: each method on each layer and split into folds by itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import torch

from lazaretto.errors import SystemFaultError
from lazaretto.redact import error_line
from lazaretto.sanitize.dynamics import LAYER
from lazaretto.sanitize.layer_data import make_layer_data
from lazaretto.sanitize.methods.registry import METHODS, OF_DYNAMICS
from lazaretto.sanitize.resident import make_resident
from lazaretto.sanitize.scores import Scores, average
from lazaretto.sanitize.stored_inputs import StoredInputs, keep_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lazaretto.batch import Stretch
    from lazaretto.engine import Engine, Output, Run
    from lazaretto.sanitize.inputs import Inputs
    from lazaretto.sanitize.layer_data import LayerData
    from lazaretto.storage.store import Store


class Unit(NamedTuple):
    """What is scored by itself.

    Attributes:
        layer: its name.
        method: its name.
        split: seed of the folds.
    """

    layer: str
    method: str
    split: int


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scores training rows, unit by unit.

    Attributes:
        units: all of them; a stretch has one, by its number.
        inputs: where the rows are; None where no other process asks.
        device: torch device, or ``auto``: what the process has.
        dtype: of the products.
    """

    units: Sequence[Unit]
    inputs: StoredInputs | None
    device: str
    dtype: str

    def open(self, store: Store) -> Run:
        """Finds the rows on another machine, which are read layer by layer; see `Job`."""
        stored = self.inputs
        assert stored is not None  # noqa: S101  an engine with workers has kept them
        return self.run(lambda layer: stored.read(store, layer))

    def run(self, inputs_of: Callable[[str], Inputs]) -> Run:
        """Scores here.

        Args:
            inputs_of: the inputs with at least the layer of this name.

        Returns:
            Gives the tables of a unit's scores.
        """
        device, kind = pick_device(self.device), getattr(torch, self.dtype)

        @lru_cache(maxsize=1)  # units come layer by layer
        def layer_data(layer: str) -> Callable[[int], LayerData]:
            inputs = inputs_of(layer)
            resident = make_resident(inputs, layer, device)

            @cache
            def split(seed: int) -> LayerData:
                return make_layer_data(
                    inputs, layer, device=device, dtype=kind, seed=seed, resident=resident
                )

            return split

        def run(stretch: Stretch | None) -> Output:
            assert stretch is not None  # noqa: S101  `scored` asks for stretches
            layer, method, seed = self.units[stretch.number]
            scores = _scores(method, layer_data(layer)(seed), layer)
            return {name: [table] for name, table in scores.tables().items()}

        return run


def scored(
    engine: Engine,
    inputs: Inputs,
    methods: Sequence[str],
    *,
    splits: range,
    device: str,
    dtype: str,
) -> Iterator[tuple[str, Scores]]:
    """Scores every layer by every method that is for it.

    Args:
        engine: where.
        inputs: the rows.
        methods: their names.
        splits: seeds of the splits into folds, over which scores are averaged.
        device: torch device, or ``auto``.
        dtype: ``float32`` or ``float64`` products.

    Yields:
        ``method@layer`` and its scores.

    Raises:
        SystemFaultError: a device has too little memory, or workers cannot be reached.
    """
    pairs = [
        (layer, method)
        for layer, method in product(inputs.layers, methods)
        if (method in OF_DYNAMICS) is (layer == LAYER)
    ]
    units = [Unit(layer, method, split) for layer, method in pairs for split in splits]
    if not units:
        return
    job = Scoring(units, keep_inputs(engine, inputs), device, dtype)
    done = engine.map(job, job.run(lambda _: inputs), lambda: [1] * len(units), task_rows=1)
    found = (Scores.of_tables(output) for _, output in done)
    for layer, method in pairs:
        yield f"{method}@{layer}", average([next(found) for _ in splits])


def pick_device(name: str) -> torch.device:
    """The torch device of that name; ``auto`` is CUDA where there is one, else CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _scores(method: str, data: LayerData, layer: str) -> Scores:
    try:
        return METHODS[method](data)
    except torch.OutOfMemoryError as error:
        raise SystemFaultError(
            f"{method}@{layer}: {data.device} has too little free memory for layers of "
            f"{data.width} features ({error_line(error)}). Free some, or give device='cpu'"
        ) from error
