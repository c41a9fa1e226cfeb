"""A reference: a frozen, versioned, trusted sample with everything fitted and calibrated on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lazaretto.errors import NotFoundError, ReferenceMismatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa
    from torch import Tensor

    from lazaretto.batch import Batch
    from lazaretto.detect.base import Chunk
    from lazaretto.detect.scorer import Scorer
    from lazaretto.policy import Policy


@dataclass(frozen=True, slots=True)
class EncoderId:
    """Which encoder made the vectors.

    Attributes:
        name: the policy's name of it.
        digest: sha256 (hex) over weights and preprocessing.
        dimensions: width of the vectors.
        weights: sha256 (hex) of the weights alone; empty where there are none, or not known.
    """

    name: str
    digest: str
    dimensions: int
    weights: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """Make one with `fit` or `load`; screen against it with `lazaretto.screen`.

    Attributes:
        name: of the reference.
        version: of the reference; a new fit is a new version.
        encoder: who made the vectors.
        label: name of the label column, or None.
        classes: label texts, sorted; empty without labels.
        value_columns: raw numeric columns that detectors look at.
        detectors: options by name, as fitted.
        rows: trusted rows, after those that cannot be used were left out.
        seed: of the splits and fits.
        notes: what fitting found wrong with the trusted rows.
        sample: the trusted rows.
        scorers: one, or one per fold.
        fit_rows: rows of the sample that each scorer was fitted on, int64.
        digest: sha256 (hex) over everything above.
    """

    name: str
    version: str
    encoder: EncoderId
    label: str | None
    classes: tuple[str, ...]
    value_columns: tuple[str, ...]
    detectors: Mapping[str, Mapping[str, Any]]
    rows: int
    seed: int
    notes: tuple[str, ...]
    sample: Chunk
    scorers: tuple[Scorer, ...]
    fit_rows: tuple[Tensor, ...]
    digest: str

    @classmethod
    def fit(
        cls,
        trusted: pa.Table | Batch | str | Path,
        policy: Policy,
        *,
        name: str | None = None,
        version: str | None = None,
        seed: int = 0,
    ) -> Reference:
        """Fits detectors, ranks and calibration on trusted records.

        Args:
            trusted: the sample. Rows without a usable vector or label are left out; see `notes`.
            policy: says columns, encoder and detectors.
            name: default: the policy's reference name.
            version: default ``1``.
            seed: the same rows, policy and seed give the same digest.

        Raises:
            UsageError: too few rows, or a detector of the policy cannot be fitted on them.
            ReferenceMismatchError: a column of the policy is missing or is of the wrong kind.
        """
        from lazaretto.reference._fit import fit_reference

        return fit_reference(trusted, policy, name or policy.reference_name, version or "1", seed)

    def save(self, root: str | Path) -> str:
        """Writes ``<root>/<name>/<version>/``: ``tensors.safetensors``, then ``reference.json``.

        Returns:
            The folder's path or URI, for `load`.

        Raises:
            UsageError: that version exists with other content.
            SystemFaultError: the folder cannot be written.
        """
        from lazaretto.reference._file import METADATA, TENSORS, describe, pack
        from lazaretto.store import Store

        store = Store.at(root)
        folder = f"{self.name}/{self.version}"
        if store.exists(f"{folder}/{METADATA}"):
            if type(self).load(store.uri(folder)).digest != self.digest:
                raise UsageError(
                    f"reference {self.name}/{self.version} exists with other content: "
                    "save under a new version"
                )
            return store.uri(folder)
        store.write(f"{folder}/{TENSORS}", pack(self))
        store.write(f"{folder}/{METADATA}", describe(self))
        return store.uri(folder)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu") -> Reference:
        """Reads what `save` wrote.

        Args:
            path: folder of this version.
            device: torch device on which neighbours are searched, such as ``cuda``. On any but the
                CPU the search is exact, whatever the size; distances may differ in the last digits
                from those that the reference was calibrated with.

        Raises:
            NotFoundError: there is no reference.
            ReferenceMismatchError: the files were changed, or another Lazaretto wrote them.
        """
        from lazaretto.reference._file import METADATA, TENSORS, unpack
        from lazaretto.store import Store

        store = Store.at(path)
        if not store.exists(METADATA):
            raise NotFoundError(f"no reference at {path}: fit one with Reference.fit and save it")
        return unpack(store.read(METADATA), store.read(TENSORS), device=device)

    @property
    def calibration_rows(self) -> int:
        """Rows whose scores the p-values are read from."""
        return sum(len(scorer.calibration) for scorer in self.scorers)

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
            "folds": len(self.scorers),
            "notes": list(self.notes),
        }

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
                f"encoder {name!r} has other {'preprocessing' if same else what} (digest "
                f"{digest[:12]}) than "
                f"that of reference {self.name}/{self.version} ({self.encoder.digest[:12]}): "
                "fit a new reference"
            )
