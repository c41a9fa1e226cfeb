"""What a model version must show before a name such as ``production`` stands for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lazaretto.policy.section import Section

_Part = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[int, Field(gt=0)]

AT_LEAST = (
    "accuracy",
    "class_accuracy",
    "slice_accuracy",
    "canaries",
    "corrupted_accuracy",
    "adversarial_accuracy",
    "agreement",
)
"""Figures of which the policy names the smallest value."""
AT_MOST = ("calibration_error", "trigger_success")
"""Figures of which the policy names the greatest value."""


class Evidence(Section):
    """What the newest evaluation of a version must show. What is not named is not asked for."""

    accuracy: _Part | None = Field(None, description="Smallest share of right answers.")
    class_accuracy: _Part | None = Field(
        None, description="Smallest share of right answers in any class."
    )
    slice_accuracy: _Part | None = Field(
        None, description="Smallest share of right answers in any slice; see `columns.slices`."
    )
    calibration_error: _Part | None = Field(
        None, description="Greatest expected calibration error."
    )
    canaries: _Part | None = Field(
        None, description="Smallest share of canaries that are answered as they must be."
    )
    trigger_success: _Part | None = Field(
        None,
        description="Greatest share of trigger canaries, made of held poison, that get the "
        "poison's label.",
    )
    corrupted_accuracy: _Part | None = Field(
        None, description="Smallest share of right answers under any corruption that was tried."
    )
    adversarial_accuracy: _Part | None = Field(
        None, description="Smallest share of right answers under any attack that was tried."
    )
    agreement: _Part | None = Field(
        None,
        description="Smallest share of rows that get the answer of the version promoted before. "
        "Not asked for where there is none.",
    )
    rows: _Positive = Field(100, description="Smallest number of rows that it is measured on.")
    max_age_days: _Positive | None = Field(
        None, description="Days after which an evaluation counts no more. null: never."
    )
    test_sets: list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(
        default_factory=list,
        description="sha256 of the test files. Each must have been used, and meet all figures. "
        "Empty: any test file counts, and the newest evaluation decides.",
    )
    predictions: bool = Field(
        False,
        description="Whether an evaluation counts that was made from a file of predictions. Nobody "
        "can say that this version made them.",
    )


class ModelRules(Section):
    """Which versions of the models that learned from this dataset may be put in use."""

    aliases: list[str] = Field(
        default_factory=lambda: ["production"],
        description="Names that only a promotion moves.",
    )
    promoters: list[str] | None = Field(
        None,
        description="Who may promote, as the ledger names them, such as `os:ann@build-1` or "
        "`airflow:release.promote`. null: whoever may write to the catalog.",
    )
    sanitized: bool = Field(
        False, description="Whether each snapshot that it learned from must have been sanitized."
    )
    unknown_origin: Literal["refuse", "allow"] = Field(
        "refuse",
        description="refuse: a version is not promoted where nobody knows all that it learned "
        "from. allow: it is, and the entry says so.",
    )
    evidence: Evidence | None = Field(
        None, description="What its evaluation must show. null: none is asked for."
    )
