"""The section `admit`: how what was cleared enters the dataset."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lazaretto.policy.section import Section


class AdmitWindow(Section):
    """Which other batches an admission takes along."""

    seconds: Annotated[int, Field(gt=0, le=3600)] = Field(
        300,
        description="Only batches that were judged in the last so many seconds. One that was "
        "judged before waits for its own admission.",
    )
    batches: Annotated[int, Field(ge=2, le=50)] = Field(
        20, description="So many batches enter with one version, at most."
    )


class Admit(Section):
    """How cleared records enter the dataset."""

    window: AdmitWindow | None = Field(
        None,
        description="An admission takes along what the gate has cleared of other small batches "
        "for the same dataset: all enter with one version, in one file, and their own admissions "
        "find them there. Nobody waits for others to come. null: each batch enters by its own "
        "admission, as a version of its own.",
    )
