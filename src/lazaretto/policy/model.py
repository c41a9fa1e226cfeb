"""The policy: one YAML file on how batches are judged. Long: all its sections are here.

Its sha256 goes with every verdict.
"""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import rfc8785
from pydantic import ConfigDict, Field, PrivateAttr, field_validator, model_validator

from lazaretto.addresses import read_place
from lazaretto.errors import PolicyError
from lazaretto.names import DATASET_PATTERN
from lazaretto.policy.admit import Admit
from lazaretto.policy.cleaning import Cleaning  # noqa: TC001  pydantic reads it
from lazaretto.policy.contract import ContractForm  # noqa: TC001  pydantic reads it
from lazaretto.policy.engine import EngineName, EngineOptions
from lazaretto.policy.evolve import Evolve
from lazaretto.policy.promotion import ModelRules
from lazaretto.policy.read import Read
from lazaretto.policy.section import Section as _Section
from lazaretto.policy.trust import Quota, SourceRules, Tier
from lazaretto.values import PolicyRef

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["enforce", "shadow", "off"]
Share = Annotated[float, Field(gt=0, lt=1)]
Level = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class Columns(_Section):
    """The columns that Lazaretto reads; records may have others."""

    record_id: str | None = Field(
        None, description="Column with a unique id. Without it, a record is named by its content."
    )
    label: str | None = Field(None, description="Column with the class label.")
    embedding: str | None = Field(
        None, description="Column with the vector: a list of floats, of one width."
    )
    payload: list[str] = Field(default_factory=list, description="Columns that a reviewer sees.")
    slices: list[str] = Field(
        default_factory=list,
        description="Columns whose values divide a test set into slices. A model is measured on "
        "each.",
    )
    groups: list[str] = Field(
        default_factory=list,
        description="Columns that say where a record comes from, such as annotator, uploader, "
        "domain or key. A group of records that has too many odd ones is named, and held.",
    )
    reference_group: str | None = Field(
        None,
        description="Column that names each trusted row's supplier. A supplier is never split "
        "between fitting and calibration.",
    )
    reference_time: str | None = Field(
        None,
        description="Column with each trusted row's time. From 10,000 trusted rows on, the newest "
        "rows calibrate; below, stretches of time are kept apart.",
    )


class Sources(_Section):
    """What a delivery must have."""

    require_signature: bool = Field(
        True, description="Refuse a delivery that has no manifest with a valid signature."
    )
    clock_skew_seconds: Annotated[int, Field(ge=0)] = Field(
        300, description="How many seconds a source's clock may differ from ours."
    )
    places: Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description="Folders and prefixes from which a delivery and its manifest may come. "
        "`{source}` stands for the source's name; a relative folder starts at the policy's. "
        "Operators need it. The command line reads any file of this machine as well, but the "
        "gate holds a batch that came from elsewhere.",
    )
    tiers: dict[Tier, SourceRules] = Field(
        default_factory=dict, description="What is different for the sources of a trust tier."
    )
    by_source: dict[str, SourceRules] = Field(
        default_factory=dict,
        description="What is different for one source, by its name. It goes before its tier's.",
    )
    quota: Quota = Field(Quota(), description="How much of a dataset may come from one source.")

    @field_validator("places")
    @classmethod
    def _are_places(cls, value: list[str] | None) -> list[str] | None:
        for text in value or ():
            read_place(text)
        return value


class Limits(_Section):
    """Bounds on a delivery and on the process that decodes it; what exceeds one is refused.

    The defaults let one worker with 8 GB of memory decode one delivery at a time.
    """

    max_bytes: Positive = Field(64 * 2**30, description="Bytes of the delivered file.")
    max_rows: Positive = Field(10_000_000, description="Records.")
    max_columns: Positive = Field(4096, description="Columns.")
    max_nesting: Positive = Field(8, description="Depth of lists, structs and maps in a column.")
    max_record_bytes: Positive = Field(
        64 * 2**20,
        description="Decoded bytes of one record. Each value counts at least 8, a null too.",
    )
    output_bytes: Positive = Field(
        32 * 2**30,
        description="Decoded bytes of all records, counted likewise: the canonical copy's size.",
    )
    memory_bytes: Annotated[int, Field(ge=512 * 2**20)] = Field(
        4 * 2**30, description="Address space of the process that decodes a delivery."
    )
    cpu_seconds: Positive = Field(600, description="Processor time of that process.")
    wall_seconds: Positive = Field(3600, description="Time until that process is ended.")


class Embed(_Section):
    """How records become vectors."""

    encoder: str = Field(
        "column",
        description="Name of the encoder. `column`: the embedding column holds the vectors.",
    )
    model: str | None = Field(
        None,
        description="The encoder's model: a file or folder, from here or with its whole path; an "
        "import path; or a name on a hub. `reference`: `reference fit` fits it, and it is a part "
        "of the reference.",
    )
    columns: list[str] = Field(
        default_factory=list,
        description="Columns that are encoded. A dot leads into a column with fields: `user.age`.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the encoder, such as `device`."
    )


class DetectorConfig(_Section):
    """Mode and options of one detector. ``shadow`` scores and counts, but never holds."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    mode: Mode = Field(
        "enforce",
        description="enforce: its score can hold records. shadow: it is scored and counted, and "
        "never holds. off: it does not run.",
    )
    weight: Annotated[float, Field(gt=0)] = Field(
        1.0, description="Weight of its score in the sum of all detectors."
    )
    apart: bool = Field(
        False,
        description="true: its score is no part of that sum. It is calibrated by itself and has a "
        "share of the rate of its own. With that it holds records where a batch of 100 or more has "
        "too many that it finds odd.",
    )

    @model_validator(mode="after")
    def _no_misspelt_mode(self) -> Self:
        """`mdoe: shadow` would be taken for an option, and the detector would hold records."""
        for key in self.model_extra or {}:
            near = difflib.get_close_matches(key, ["mode", "weight", "apart"], n=1, cutoff=0.7)
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
    "broad_excess": "enforce",
    "neighbourhood": "enforce",
    "group_excess": "enforce",
}


_ALL_OFF: dict[str, Any] = {
    "additionalProperties": {"required": ["mode"], "properties": {"mode": {"const": "off"}}}
}
"""In the JSON schema: every detector is off, or there is none."""


class BatchTests(_Section):
    """When a batch is held as a whole."""

    alpha: Share = Field(
        0.001, description="Chance that the batch tests together hold a clean batch."
    )
    tests: dict[str, Mode] = Field(
        default_factory=dict,
        description="Mode of a test by its name, where not its default.",
        json_schema_extra={"propertyNames": {"enum": list(_BATCH_TESTS)}},
    )
    hold_when_held_fraction: Annotated[float, Field(gt=0, le=1)] = Field(
        0.2, description="Share of held records from which the whole batch is held."
    )
    max_remaining_share: Level = Field(
        0.05,
        description="Where a batch shows too many odd records before any is held (test "
        "broad_excess): the largest share of poison that may be left among those that are not "
        "held, by estimate. Above it the whole batch is held. 1: never.",
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
        """Mode of every test.

        ``broad_excess`` counts small p-values as ``small_p_values`` does. Whoever switched that one
        off wanted no count to hold a batch, so it follows unless the policy names it.
        """
        modes = _BATCH_TESTS | self.tests
        return modes | {"broad_excess": self.tests.get("broad_excess", modes["small_p_values"])}


class DriftWatch(_Section):
    """Watching a source over time: do its batches drift from the reference together?"""

    mode: Mode = Field(
        "shadow",
        description="enforce: hold the batch that raises the alarm. shadow: report it only. off: "
        "measure nothing.",
    )
    alpha: Share = Field(
        0.001,
        description="Chance that a clean source ever raises the alarm, however long it delivers.",
    )
    level: Share = Field(
        0.01, description="False discovery rate at which a column counts as drifted."
    )
    faults: Mode = Field(
        "shadow",
        description="Signatures of faults in a pipeline, such as a column in another unit. "
        "enforce: hold the batch that shows one. shadow: report it only. off: do not look. alpha "
        "bounds the chance that a clean batch shows any.",
    )


_LABELLED = ("mahalanobis", "knn_label", "self_confidence", "density")
_UNLABELLED = ("mahalanobis", "knn_distance", "isolation_forest", "density")


def _default_detectors() -> dict[str, DetectorConfig]:
    names = dict.fromkeys((*_LABELLED, *_UNLABELLED))
    # The view of place held clean batches oftener than promised (benchmarks/results/evidence.md).
    place = DetectorConfig(mode="shadow", apart=True)
    return {name: place if name == "density" else DetectorConfig() for name in names}


class NeighbourSearch(_Section):
    """How a reference's nearest rows are searched for. Frozen into it when it is fitted."""

    search: Literal["auto", "exact"] = Field(
        "auto",
        description="auto: short codes of the rows are compared, and true distances decide among "
        "the best, if that loses at most 0.002 of AUROC on trusted rows that are relabelled, "
        "copied and made up; else as exact. exact: true distances to all rows are compared. "
        "References of fewer than 10,000 rows are searched exactly.",
    )
    exact_up_to: Annotated[int, Field(gt=0)] = Field(
        1_000_000,
        description="Up to so many rows, a record is compared with all. Above, rows are sorted "
        "into lists of near ones, and only the nearest lists are searched.",
    )
    lists: Annotated[int, Field(gt=0)] | None = Field(
        None, description="Number of lists. Default: four times the square root of the rows."
    )
    probes: Annotated[int, Field(gt=0)] | None = Field(
        None, description="Lists that are searched for a record. Default: one in 32, at least 8."
    )


class SmallBatches(_Section):
    """How batches are judged that are too small to be judged alone."""

    mode: Literal["pool", "alone"] = Field(
        "pool",
        description="pool: a batch that is too small is judged together with the source's other "
        "small batches, the nearest ones, as soon as they are enough. alone: it is never judged, "
        "and held.",
    )
    batches: Positive = Field(
        20, description="So many other small batches of the source are looked at, at most."
    )
    window_days: Positive = Field(
        30, description="They were received at most so many days before or after it."
    )


class Copies(_Section):
    """Copies of one record in many batches, of whichever sources of the dataset."""

    mode: Mode = Field(
        "shadow",
        description="enforce: hold the records of this batch that are copies of records in other "
        "batches, where they are more than chance explains. shadow: report them only. off: keep no "
        "fingerprints and do not look.",
    )
    batches: Annotated[int, Field(gt=0, le=1000)] = Field(
        50,
        description="So many of the dataset's last screened batches are looked at, at most. They "
        "may be of any source.",
    )
    size: Annotated[int, Field(ge=2)] = Field(
        4, description="So many copies, those of this batch included, make a group."
    )


class Screen(_Section):
    """Comparing a batch's vectors with those of a reference."""

    mode: Literal["enforce", "off"] = Field(
        "enforce",
        description="off: no vectors and no reference are needed. Batches are judged by signature, "
        "contract and cleaning alone, and each verdict says that nothing was screened.",
    )
    reference: str | None = Field(
        None, description="The reference, as name or name/version. Default: the dataset's name."
    )
    false_quarantine_rate: Share = Field(
        0.01, description="Largest share of clean records that may be held, on average."
    )
    hold: Literal["evidence", "rate"] = Field(
        "evidence",
        description="evidence: hold records where a batch has more extreme ones than a clean batch "
        "has. rate: in every batch, hold the records whose p-value is at most "
        "false_quarantine_rate.",
    )
    calibration: Literal["marginal", "hard"] = Field(
        "marginal",
        description="marginal: the rate holds on average over references. hard: it holds for this "
        "reference, with the confidence of hard_delta.",
    )
    hard_delta: Share = Field(
        0.1, description="With hard: chance that the rate does not hold for this reference."
    )
    calibrate_by: Literal["all", "class"] = Field(
        "all",
        description="all: one calibration for every class. class: one for each class that has "
        "enough calibration rows.",
    )
    min_poison_share: Share = Field(
        0.05,
        description="Smallest poisoned share that must be detectable in a batch, or in the small "
        "batches that are judged together. Where it is not, the gate cannot judge and holds the "
        "batch.",
    )
    detectors: dict[str, DetectorConfig] = Field(
        default_factory=_default_detectors,
        description="Detectors by name. Without this key, with a label: mahalanobis, knn_label, "
        "self_confidence and, apart and in shadow, density; without one: mahalanobis, "
        "knn_distance, isolation_forest and, apart and in shadow, density.",
        json_schema_extra={"not": _ALL_OFF},
    )
    neighbours: NeighbourSearch = Field(
        NeighbourSearch(), description="How nearest trusted rows are found."
    )
    batch: BatchTests = Field(BatchTests(), description="When a batch is held as a whole.")
    small_batches: SmallBatches = Field(
        SmallBatches(), description="How batches are judged that are too small to be judged alone."
    )
    copies: Copies = Field(Copies(), description="Copies of one record in many batches.")
    drift: DriftWatch = Field(DriftWatch(), description="Watching a source over time.")

    @field_validator("detectors")
    @classmethod
    def _some_detector_runs(cls, value: dict[str, DetectorConfig]) -> dict[str, DetectorConfig]:
        if all(config.mode == "off" for config in value.values()):
            raise ValueError("no detector runs: put at least one in mode enforce or shadow")
        if all(config.mode == "off" or config.apart for config in value.values()):
            raise ValueError("all detectors are apart: at least one must make the common score")
        return value

    @property
    def runs(self) -> bool:
        """Whether batches are screened at all."""
        return self.mode != "off"

    @property
    def decides(self) -> bool:
        """Whether any detector may hold records; else all of them only watch."""
        return any(
            config.mode == "enforce" and not config.apart for config in self.detectors.values()
        )

    @property
    def test_modes(self) -> dict[str, Mode]:
        """Mode of every batch test.

        Some count what detectors say: where those only watch, so do these.
        """
        modes = self.batch.modes
        for name in ("small_p_values", "broad_excess", "neighbourhood", "group_excess"):
            if not self.decides and modes[name] == "enforce":
                modes[name] = "shadow"
        return modes


class Sanitize(_Section):
    """Searching a training set for poison by a model's activations."""

    layers: list[str] = Field(
        default_factory=list,
        description="Names of layers, or patterns such as `encoder.*`. Default: the last layer "
        "before the output.",
    )
    methods: list[str] = Field(
        default_factory=list,
        description="Methods by name. Default: whitened_spectral, mahalanobis and label_margin; "
        "without trusted rows mahalanobis, deep_knn and scan, and slow_to_learn where the training "
        "was recorded.",
    )
    pooling: Literal["mean", "max", "cls", "flatten"] = Field(
        "mean",
        description="How a layer's output becomes one vector per record: the mean or the maximum "
        "over positions, the first position, or all of it.",
    )
    false_quarantine_rate: Share = Field(
        0.01, description="Largest share of a class's clean records that may be held, on average."
    )
    alpha: Share = Field(0.01, description="Chance that any class of a clean set fires.")
    suspect_level: Level = Field(
        0.1,
        description="A class that did not fire is searched too if its own p-value is at most this. "
        "1: every class is searched.",
    )
    trusted: Literal["reference", "none"] = Field(
        "reference",
        description="reference: judge against the reference's trusted rows. none: compare the "
        "classes with each other; then no rate is promised.",
    )
    uncalibrated_limit: Share = Field(
        0.02, description="Largest share of all records that may be held without trusted rows."
    )


class Training(_Section):
    """What a training leaves out of what was admitted. Read by your own training code."""

    trim_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05,
        description="Share of the rows of each batch that `lazaretto.training.trimmed` leaves out "
        "of the loss: about as much as may still be poison.",
    )


class Review(_Section):
    """Rules for reviewers. Expiry rejects; it never releases."""

    require_two_people: bool = Field(
        False, description="Who decides on a case and who publishes it must be two people."
    )
    expire_days: Annotated[int, Field(gt=0)] = Field(
        90, description="Days after which undecided records are rejected."
    )
    max_weight: Annotated[float, Field(gt=0)] = Field(
        1.0, description="The greatest sample weight that a reviewer may give a released record."
    )


class Retention(_Section):
    """How long records are kept that nothing needs.

    `lazaretto catalog prune` and `lazaretto dataset maintain` delete them.

    Findings, scores, decisions, manifests, admitted rows and the ledger are always kept.
    """

    delivered_days: Positive | None = Field(
        None,
        description="Days after its receipt on which a delivery is deleted: the delivered file, "
        "its canonical copy and its vectors. null: never.",
    )
    held_days: Positive | None = Field(
        None,
        description="Days after the end of its case on which the rows of held records are "
        "deleted. null: never.",
    )
    replaced_days: Positive | None = Field(
        None,
        description="Days after which a data file of the dataset is deleted that its newest "
        "version has no longer, such as one whose rows were recalled or written anew, and that no "
        "snapshot has. `lazaretto dataset maintain --apply` deletes it. null: never.",
    )


_READ_BY = {
    "validate": {"columns", "cleaning"},
    "embed": {"columns", "cleaning", "embed"},
    "screen": {"columns", "cleaning", "embed", "screen"},
}
"""Sections that each stage reads. The contract comes with all: what it fails is not screened."""

_LATER: tuple[tuple[str, ...], ...] = (
    ("extends",),
    ("cleaning",),
    ("sources", "tiers"),
    ("sources", "by_source"),
    ("sources", "quota"),
    ("screen", "mode"),
    ("screen", "drift", "faults"),
    ("screen", "copies"),
    ("screen", "batch", "max_remaining_share"),
    ("screen", "neighbours", "search"),
    ("screen", "detectors", "*", "apart"),
    ("evolve",),
    ("read",),
    ("columns", "slices"),
    ("columns", "groups"),
    ("model",),
    ("training",),
    ("engine",),
    ("retention", "replaced_days"),
    ("admit",),
)
"""Keys that came after the first release, by their path. With its default, such a key is no part of
what a policy says: a newer Lazaretto reads an older policy as the same policy."""


def _drop_unset(said: dict[str, Any], unset: dict[str, Any], way: tuple[str, ...]) -> None:
    """Takes a later key out of what a policy says, where it has its default; `*` is any name."""
    step, *rest = way
    for name in list(said) if step == "*" else [step]:
        below, kept = said.get(name), unset.get(name, {})
        if not rest and name not in unset:
            said.pop(name, None)
        elif rest and isinstance(below, dict):
            _drop_unset(below, kept, tuple(rest))


class Base(_Section):
    """The base that a policy extends, as it was when the policy was read."""

    file: str = Field(description="Its file, from the policy's folder.")
    sha256: str | None = Field(
        None,
        description="sha256 (hex) of what it says, without comments and layout. Written down in "
        "the policy, it pins the base: another one is refused.",
    )


class Policy(_Section):
    """How one dataset's batches are judged. Load it with `Policy.load`."""

    version: Literal[1] = Field(description="Version of this format.")
    dataset: Annotated[str, Field(pattern=DATASET_PATTERN)] = Field(
        description="Name of the admitted dataset."
    )
    extends: str | Base | None = Field(
        None,
        description="A policy file whose keys this one takes over: an organisation's base. Its "
        "keys may be tightened here, and not loosened.",
    )
    columns: Columns = Field(description="The columns that Lazaretto reads.")
    contract: ContractForm | None = Field(
        None,
        description="Rules that every record must meet: `package.module:Model` or `file.py:Model`, "
        "a pandera model; `{rules: ...}` or `{odcs: file.yaml}`, rules that are written in YAML; "
        "or `{gx: suite.json}`, a suite of Great Expectations. Without one, only the built-in "
        "rules are checked.",
    )
    cleaning: Cleaning | None = Field(
        None, description="What is looked for in texts, and what follows. Without it: nothing."
    )
    sources: Sources = Field(Sources(), description="What a delivery must have.")
    read: Read = Field(Read(), description="How deliveries of text are written.")
    evolve: Evolve = Field(Evolve(), description="How the dataset's columns may change.")
    admit: Admit = Field(Admit(), description="How what was cleared enters the dataset.")
    limits: Limits = Field(Limits(), description="How large a delivery may be.")
    embed: Embed = Field(Embed(), description="How records become vectors.")
    screen: Screen = Field(Screen(), description="How vectors are compared with the reference.")
    sanitize: Sanitize = Field(
        Sanitize(), description="How a training set is searched by a model's activations."
    )
    training: Training = Field(
        Training(), description="What a training leaves out of what was admitted."
    )
    review: Review = Field(Review(), description="Rules for reviewers.")
    model: ModelRules = Field(ModelRules(), description="Which model versions may be put in use.")
    retention: Retention = Field(
        Retention(), description="How long records are kept that nothing needs."
    )

    engine: EngineName | EngineOptions = Field(
        "local",
        description="Where the work of stages is done: `local`, `ray`, or more words about either. "
        "It changes no result, so it is no part of what a policy means.",
    )

    _sha256: str | None = PrivateAttr(None)
    _path: str | None = PrivateAttr(None)
    _lines: dict[tuple[str | int, ...], int] = PrivateAttr(default_factory=dict)
    _files: dict[tuple[str | int, ...], str] = PrivateAttr(default_factory=dict)
    _contract: str | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _ids_stay(self) -> Self:
        """What a record is called by is what was delivered, or nobody finds it again."""
        for name in () if self.cleaning is None else type(self.cleaning).model_fields:
            rule = getattr(self.cleaning, name)
            if getattr(rule, "action", "") == "fix" and self.columns.record_id in rule.columns:
                raise ValueError(
                    f"cleaning.{name} would change {self.columns.record_id!r}, the record id: take "
                    "it out of its columns, or hold what it finds"
                )
        return self

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

        Examples:
            >>> from pathlib import Path
            >>> text = "{version: 1, dataset: reviews, columns: {label: stars}}"
            >>> _ = Path("policy.yaml").write_text(text)
            >>> Policy.load("policy.yaml").screen.false_quarantine_rate
            0.01
        """
        from lazaretto.policy.file import read_policy_file

        return read_policy_file(cls, path)

    def loaded_from(
        self,
        path: str,
        sha256: str,
        lines: Mapping[tuple[str | int, ...], int] | None = None,
        files: Mapping[tuple[str | int, ...], str] | None = None,
    ) -> Self:
        """The same policy, knowing the file it came from.

        Args:
            path: of the file.
            sha256: of its bytes (hex).
            lines: the line of each key, by its path in the file.
            files: the base that a key comes from, likewise; of the others, it is this file.
        """
        self._path, self._sha256, self._lines = path, sha256, dict(lines or {})
        self._files = dict(files or {})
        return self

    def knowing_contract(self, digest: str | None) -> Self:
        """The same policy from the ledger, with the digest that is on record of its contract.

        For whoever judges by what was validated before: the contract need not be at hand.

        Args:
            digest: sha256 (hex); None: it names no contract, or that has no digest.
        """
        known = self.model_copy()
        known._contract = digest
        return known

    @property
    def known_contract(self) -> str | None:
        """Digest of its contract, where `knowing_contract` gave one."""
        return self._contract

    def mistake(self, place: tuple[str | int, ...], message: str) -> PolicyError:
        """The error for a mistake in this policy that only its content shows.

        Args:
            place: of the key, such as ``("embed", "encoder")``.
            message: what is wrong, and how to mend it.

        Returns:
            A `PolicyError` that reads ``file:line: key: message``; without the file where the
            policy comes from none. For a key that is missing, the line is its section's.
        """
        known = (place[:n] for n in range(len(place), -1, -1) if place[:n] in self._lines)
        found = next(known, None)
        where = ""
        if self._path is not None and found is not None:
            where = f"{self._files.get(found, self._path)}:{self._lines[found]}: "
        return PolicyError(f"{where}{'.'.join(map(str, place))}: {message}")

    @property
    def sha256(self) -> str:
        """sha256 (hex) of the file's bytes; of the canonical JSON when there is no file."""
        if self._sha256 is not None:
            return self._sha256
        return hashlib.sha256(rfc8785.dumps(self._said())).hexdigest()

    @property
    def says(self) -> str:
        """What decides admission, as canonical JSON (RFC 8785).

        Every key, its default where the file has none: so comments, order and layout do not count.
        `sanitize` is left out, because it decides what leaves a dataset, and never what enters; and
        `engine`, because it decides nothing.
        """
        return rfc8785.dumps(self._said(exclude={"engine", "sanitize"})).decode()

    def reads(self, stage: Literal["validate", "embed", "screen"], contract: str | None) -> str:
        """sha256 (hex) of what a stage reads of the policy: other keys do not change its result.

        Args:
            stage: ``validate``, ``embed`` or ``screen``.
            contract: sha256 (hex) of the contract that the policy names.
        """
        sections = _READ_BY[stage]
        said = {
            "stage": stage,
            "contract": contract,
            "policy": self._said(include=sections),
        }
        return hashlib.sha256(rfc8785.dumps(said)).hexdigest()

    def _said(
        self, *, include: set[str] | None = None, exclude: set[str] | None = None
    ) -> dict[str, Any]:
        """Keys and values, without later keys that have their default."""
        said = self.model_dump(mode="json", include=include, exclude=exclude)
        unset = self.model_dump(mode="json", exclude_defaults=True)
        for way in _LATER:
            _drop_unset(said, unset, way)
        return said

    @property
    def engine_options(self) -> EngineOptions:
        """Where the work of stages is done, in all its words."""
        return EngineOptions(name=self.engine) if isinstance(self.engine, str) else self.engine

    @property
    def path(self) -> str | None:
        """The file it was loaded from."""
        return self._path

    @property
    def folder(self) -> Path | None:
        """Folder that its relative paths start from; None for a policy that comes from no file."""
        return None if self._path is None else Path(self._path).absolute().parent

    def file(self, name: str) -> Path:
        """A file that it names: a relative path starts at the policy's folder."""
        return Path(self.folder or "", name)

    @property
    def portfolio(self) -> dict[str, DetectorConfig]:
        """The detectors that it means, by name; off ones too.

        Where it names none, they are those for rows with a label or those for rows without one.
        """
        named = self.screen.detectors
        if "detectors" in self.screen.model_fields_set:
            return named
        usual = _UNLABELLED if self.columns.label is None else _LABELLED
        return {name: named[name] for name in usual}

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

    Examples:
        >>> policy_schema()["$id"]
        'urn:lazaretto:schema:policy:1'
    """
    schema = Policy.model_json_schema()
    sections = schema["$defs"]
    for section in (schema, *sections.values()):
        for field in section.get("properties", {}).values():
            # Pydantic leaves out a field's words that are the section's own.
            if "description" not in field and "$ref" in field:
                field["description"] = sections[field["$ref"].rpartition("/")[2]]["description"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:lazaretto:schema:policy:1",
    } | schema
