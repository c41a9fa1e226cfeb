"""A reference: a frozen, versioned, trusted sample with everything fitted and calibrated on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from lazaretto.errors import ChangedFileError, NotFoundError, ReferenceMismatchError, UsageError
from lazaretto.reference._state import ReferenceState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from lazaretto.batch import Batch
    from lazaretto.engine import Engine
    from lazaretto.policy import Policy


_LARGEST = 64 * 2**30
"""Bytes of a reference's file, at most; its own digest is checked once it is read."""


@dataclass(frozen=True, slots=True)
class Reference(ReferenceState):
    """Make one with `fit` or `load`; screen against it with `lazaretto.screen`.

    `ReferenceState` lists its attributes.

    Examples:
        >>> reference = Reference.fit("trusted.parquet", policy, name="reviews")
        >>> reference.classes
        ('0', '1', '2')
        >>> Reference.load(reference.save("references")).digest == reference.digest
        True
    """

    @classmethod
    def fit(
        cls,
        trusted: pa.Table | Batch | str | Path,
        policy: Policy,
        *,
        name: str | None = None,
        version: str | None = None,
        seed: int = 0,
        engine: Engine | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Reference:
        """Fits detectors, ranks and calibration on trusted records.

        Args:
            trusted: the sample. Rows without a usable vector or label are left out; see `notes`.
            policy: says columns, encoder and detectors.
            name: default: the policy's reference name.
            version: default ``1``.
            seed: the same rows, policy and seed give the same digest.
            engine: where the rows are encoded, which changes nothing; default: in this process.
            progress: called with a step's name, how much of it is done, and how much there is,
                where a step takes long.

        Raises:
            UsageError: too few rows, or a detector of the policy cannot be fitted on them.
            ReferenceMismatchError: a column of the policy is missing or is of the wrong kind.
        """
        from lazaretto.engine import LocalEngine
        from lazaretto.reference._fit import fit_reference

        state = fit_reference(
            trusted,
            policy,
            name or policy.reference_name,
            version or "1",
            seed,
            engine or LocalEngine(),
            progress,
        )
        return cls._of(state)

    def save(self, root: str | Path) -> str:
        """Writes ``<root>/<name>/<version>/``: what was fitted, then ``reference.json``.

        Returns:
            The folder's path or URI, for `load`.

        Raises:
            UsageError: that version exists with other content.
            SystemFaultError: the folder cannot be written.
        """
        from lazaretto.storage.store import Store

        store = Store.at(root)
        folder = f"{self.name}/{self.version}"
        try:
            for name, data in reversed(self.files().items()):
                store.put(f"{folder}/{name}", [data])
        except ChangedFileError as error:
            raise UsageError(
                f"reference {self.name}/{self.version} exists with other content: "
                "save under a new version"
            ) from error
        return store.uri(folder)

    def files(self) -> dict[str, bytes]:
        """Content of the files that hold it, by name: metadata, tensors, and the encoder's state.

        The last is there where the reference fitted the encoder.
        """
        from lazaretto.reference._file import ENCODER, METADATA, TENSORS, describe, pack

        packed = pack(self)
        files = {METADATA: describe(self, packed), TENSORS: packed}
        return files if self.encoder_state is None else files | {ENCODER: self.encoder_state}

    @classmethod
    def from_files(
        cls, metadata: bytes, tensors: bytes, encoder: bytes | None = None, *, device: str = "cpu"
    ) -> Reference:
        """Rebuilds what `files` gave.

        Raises:
            ReferenceMismatchError: the files were changed, or another Lazaretto wrote them.
        """
        from lazaretto.reference._file import unpack

        return cls._of(unpack(metadata, tensors, encoder, device=device))

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu") -> Reference:
        """Reads what `save` wrote.

        Args:
            path: folder of this version.
            device: torch device on which neighbours are searched, such as ``cuda``. On any but the
                CPU the search is exact, whatever the size; distances may differ in the last digits
                from those that the reference was calibrated with. A reference with a compressed
                search is searched on the CPU: fit it with ``screen.neighbours.search: exact`` for a
                device.

        Raises:
            NotFoundError: there is no reference.
            ReferenceMismatchError: the files were changed, or another Lazaretto wrote them.
        """
        from lazaretto.reference._file import ENCODER, METADATA, TENSORS
        from lazaretto.storage.store import Store

        store = Store.at(path)
        if not store.exists(METADATA):
            raise NotFoundError(f"no reference at {path}: fit one with Reference.fit and save it")
        metadata, tensors = (store.read_unverified(name, _LARGEST) for name in (METADATA, TENSORS))
        encoder = store.read_unverified(ENCODER, _LARGEST) if store.exists(ENCODER) else None
        return cls.from_files(metadata, tensors, encoder, device=device)

    @classmethod
    def _of(cls, state: ReferenceState) -> Reference:
        return cls(**{field.name: getattr(state, field.name) for field in fields(state)})

    @property
    def calibration_rows(self) -> int:
        """Rows whose scores the p-values are read from."""
        return sum(map(len, self.folds))

    def describe(self) -> dict[str, Any]:
        """What it is, as JSON values: for a listing or a report."""
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "encoder": asdict(self.encoder),
            "label": self.label,
            "classes": list(self.classes),
            "detectors": {name: dict(options) for name, options in self.detectors.items()},
            "rows": self.rows,
            "calibration_rows": self.calibration_rows,
            "folds": len(self.folds),
            "neighbours": self._search_words(),
            "power": [asdict(one) for one in self.power],
            "notes": list(self.notes),
        }

    def _search_words(self) -> str:
        index = self.scorers[0].split.index
        return index.settings.words(len(index), self.encoder.dimensions)

    def check_encoder(self, name: str, digest: str, weights: str = "") -> None:
        """Says which part of the encoder differs from the one this reference was fitted with.

        Raises:
            ReferenceMismatchError: any does.
        """
        if name != self.encoder.name:
            raise ReferenceMismatchError(
                f"the policy's encoder is {name!r}, but reference {self.name}/{self.version} was "
                f"fitted with {self.encoder.name!r}: use that one, or fit a new reference"
            )
        if digest != self.encoder.digest:
            known = bool(weights and self.encoder.weights)
            same = known and weights == self.encoder.weights
            what = "weights" if known and not same else "weights or preprocessing"
            raise ReferenceMismatchError(
                f"encoder {name!r} has different {'preprocessing' if same else what} (digest "
                f"{digest[:12]}) from those of reference {self.name}/{self.version} "
                f"({self.encoder.digest[:12]}): restore them, or fit a new reference"
            )
