"""The policy: one YAML file on how batches are judged; its sha256 goes with every verdict."""

from __future__ import annotations

import difflib
import hashlib
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from lazaretto.values import PolicyRef

if TYPE_CHECKING:
    from pathlib import Path

Mode = Literal["enforce", "shadow", "off"]
Share = Annotated[float, Field(gt=0, lt=1)]
Level = Annotated[float, Field(gt=0, le=1)]


class _Section(BaseModel):
    # Strict: the string "5" is no number, here and in the JSON schema alike.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Columns(_Section):
    """Which columns play which part."""

    record_id: str | None = Field(None, description="unique id; default: content hash and position")
    label: str | None = None
    embedding: str | None = Field(None, description="fixed-width list of floats")
    payload: list[str] = Field(default_factory=list, description="what a reviewer is shown")
    reference_group: str | None = Field(
        None,
        description="of trusted rows only: their source; fitting and calibration keep groups whole",
    )
    reference_time: str | None = Field(
        None, description="of trusted rows only: when; the newest calibrate, from 10,000 rows on"
    )


class Sources(_Section):
    """What is asked of a source."""

    require_signature: bool = True
    clock_skew_seconds: Annotated[int, Field(ge=0)] = 300


class Limits(_Section):
    """Bounds on what a delivery may be; beyond them it is refused before it is parsed whole."""

    max_bytes: Annotated[int, Field(gt=0)] = 64 * 2**30
    max_rows: Annotated[int, Field(gt=0)] = 1_000_000_000
    max_columns: Annotated[int, Field(gt=0)] = 4096
    max_row_group_bytes: Annotated[int, Field(gt=0)] = 2 * 2**30
    max_nesting: Annotated[int, Field(gt=0)] = 8


class Embed(_Section):
    """How records become vectors. ``column``: the policy's embedding column is already one."""

    encoder: str = "column"
    model: str | None = Field(None, description="import path or name of the encoder's model")
    columns: list[str] = Field(default_factory=list, description="input columns of the encoder")
    options: dict[str, Any] = Field(default_factory=dict)


class DetectorConfig(_Section):
    """Mode and options of one detector. ``shadow`` scores and counts, but never holds."""

    model_config = ConfigDict(extra="allow", frozen=True)

    mode: Mode = "enforce"
    weight: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _no_misspelt_mode(self) -> Self:
        """`mdoe: shadow` would be taken for an option, and the detector would hold records."""
        for key in self.model_extra or {}:
            near = difflib.get_close_matches(key, ["mode", "weight"], n=1, cutoff=0.7)
            if near:
                raise ValueError(f"unknown key {key!r} (did you mean {near[0]!r}?)")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The detector's own options, such as ``k``."""
        return dict(self.model_extra or {})


_BATCH_TESTS: dict[str, Mode] = {
    "small_p_values": "enforce",
    "near_duplicates": "enforce",
    "class_spread": "enforce",
    "mmd": "enforce",
    "energy": "shadow",
    "label_shift": "shadow",
}


class BatchTests(_Section):
    """Batch-level tests and the share of held records from which the whole batch is held."""

    alpha: Share = Field(0.001, description="chance that the tests hold a clean batch")
    tests: dict[str, Mode] = Field(
        default_factory=dict, description="mode of single tests, where not the default"
    )

    @field_validator("tests")
    @classmethod
    def _known_tests(cls, value: dict[str, Mode]) -> dict[str, Mode]:
        for name in value:
            if name not in _BATCH_TESTS:
                raise ValueError(f"unknown test {name!r} (known: {', '.join(_BATCH_TESTS)})")
        return value

    @property
    def modes(self) -> dict[str, Mode]:
        """Mode of every test."""
        return _BATCH_TESTS | self.tests

    hold_when_held_fraction: Annotated[float, Field(gt=0, le=1)] = 0.2


class DriftWatch(_Section):
    """Watching a source over time: do its batches drift from the reference together?"""

    mode: Mode = Field(
        "shadow", description="enforce: hold the batch at which it shows; shadow: only say so"
    )
    alpha: Share = Field(
        0.001, description="chance that a clean source is ever said to drift, however long it runs"
    )
    level: Share = Field(
        0.01, description="false discovery rate at which a column counts as drifted"
    )


def _default_detectors() -> dict[str, DetectorConfig]:
    names = ("mahalanobis", "knn_label", "self_confidence")
    return {name: DetectorConfig() for name in names}


class NeighbourSearch(_Section):
    """How a reference's nearest rows are searched for; frozen into it when it is fitted."""

    exact_up_to: Annotated[int, Field(gt=0)] = Field(
        1_000_000, description="rows up to which all are compared; above, lists of near ones"
    )
    lists: Annotated[int, Field(gt=0)] | None = Field(
        None, description="number of lists; default: four times the root of the rows"
    )
    probes: Annotated[int, Field(gt=0)] | None = Field(
        None, description="lists looked through for a record; default: one in 32, at least 8"
    )


class Screen(_Section):
    """Screening in embedding space against a reference."""

    reference: str | None = Field(
        None, description="name or name/version; default: the dataset's name"
    )
    false_quarantine_rate: Share = 0.01
    hold: Literal["evidence", "rate"] = Field(
        "evidence",
        description="evidence: records that a clean batch would not have; rate: all that are more "
        "extreme than 1 - false_quarantine_rate of the reference, in every batch",
    )
    calibration: Literal["marginal", "hard"] = "marginal"
    hard_delta: Share = Field(
        0.1, description="hard: chance that this calibration does not keep the promise"
    )
    calibrate_by: Literal["all", "class"] = Field(
        "all", description="class: each class by its own calibration rows, where it has enough"
    )
    min_poison_share: Share = Field(
        0.05, description="power check: smallest poisoned share that must be seen"
    )
    detectors: dict[str, DetectorConfig] = Field(default_factory=_default_detectors)
    neighbours: NeighbourSearch = NeighbourSearch()
    batch: BatchTests = BatchTests()
    drift: DriftWatch = DriftWatch()


class Sanitize(_Section):
    """Sanitizing a training set by a model's activations."""

    layers: list[str] = Field(
        default_factory=list, description="layer names or globs; default: the penultimate"
    )
    methods: list[str] = Field(
        default_factory=list,
        description="default: whitened_spectral, mahalanobis and label_margin; without trusted "
        "rows mahalanobis, deep_knn and scan",
    )
    pooling: Literal["mean", "max", "cls", "flatten"] = "mean"
    false_quarantine_rate: Share = 0.01
    alpha: Share = Field(0.01, description="chance that any class of a clean set fires")
    suspect_level: Level = Field(
        0.1,
        description="own p-value up to which a class that did not fire is searched, too; 1: all",
    )
    trusted: Literal["reference", "none"] = Field(
        "reference",
        description="rows to judge against; `none` judges the classes by each other, and then no "
        "rate is promised",
    )
    uncalibrated_limit: Share = Field(
        0.02, description="largest share that may be held when there are no trusted rows"
    )


class Review(_Section):
    """Rules for reviewers. Expiry rejects; it never releases."""

    require_two_people: bool = False
    expire_days: Annotated[int, Field(gt=0)] = 90


class Policy(_Section):
    """How one dataset's batches are judged. Load it with `Policy.load`."""

    version: Literal[1]
    dataset: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
    columns: Columns
    contract: str | dict[str, Any] | None = None
    sources: Sources = Sources()
    limits: Limits = Limits()
    embed: Embed = Embed()
    screen: Screen = Screen()
    sanitize: Sanitize = Sanitize()
    review: Review = Review()

    _sha256: str | None = PrivateAttr(None)
    _path: str | None = PrivateAttr(None)

    @field_validator("version", mode="before")
    @classmethod
    def _is_no_truth_value(cls, version: Any) -> Any:
        if isinstance(version, bool):
            # True == 1, so the literal alone would take it, and the schema does not.
            raise ValueError("should be the number 1")
        return version

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a policy from a YAML file.

        Raises:
            PolicyError: file, line and key of every mistake, with the nearest valid key.
        """
        from lazaretto.policy.file import read_policy_file

        return read_policy_file(cls, path)

    def loaded_from(self, path: str, sha256: str) -> Self:
        """The same policy, knowing the file it came from and the sha256 (hex) of its bytes."""
        self._path, self._sha256 = path, sha256
        return self

    @property
    def sha256(self) -> str:
        """sha256 (hex) of the file's bytes; of the canonical JSON when there is no file."""
        if self._sha256 is not None:
            return self._sha256
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()

    @property
    def says(self) -> str:
        """What decides admission, as canonical JSON (RFC 8785).

        Every key, its default where the file has none: so comments, order and layout do not count.
        `sanitize` is left out, because it decides what leaves a dataset, and never what enters.
        """
        return rfc8785.dumps(self.model_dump(mode="json", exclude={"sanitize"})).decode()

    @property
    def path(self) -> str | None:
        """The file it was loaded from."""
        return self._path

    @property
    def reference_name(self) -> str:
        """Name of the reference to screen against: the policy's, or the dataset's own."""
        return (self.screen.reference or self.dataset).split("/")[0]

    def ref(self, contract: str | None) -> PolicyRef:
        """What is stored with a verdict.

        Args:
            contract: sha256 (hex) of the contract that it names: a policy names it by path, and
                another contract under the same path is another policy.
        """
        meaning = rfc8785.dumps({"contract": contract, "policy": self.says})
        return PolicyRef(
            dataset=self.dataset,
            sha256=self.sha256,
            meaning=hashlib.sha256(meaning).hexdigest(),
            path=self._path,
        )


def policy_schema() -> dict[str, Any]:
    """JSON schema of a policy file, for editors and CI.

    With ``# yaml-language-server: $schema=…`` as a policy's first line, editors complete and check
    it while it is written.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://lazaretto.dev/schemas/policy.schema.json",
    } | Policy.model_json_schema()
