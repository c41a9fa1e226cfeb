"""The section `admit`: how what was cleared enters the dataset."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lazaretto.policy.section import Section


class AdmitWindow(Section):
    """Which other batches an admission takes along: they enter with one version, in one file.

    Their own admissions find them there. Nobody waits for others to come.
    """

    batches: Annotated[int, Field(ge=1, le=50)] = Field(
        1,
        description="So many small batches enter with one version, at most. 1: each enters by its "
        "own admission, as a version of its own. More: an admission takes along what the gate has "
        "cleared of others.",
    )
    seconds: Annotated[int, Field(gt=0, le=3600)] = Field(
        300,
        description="It takes along only what was judged in the last so many seconds. What was "
        "judged before waits for its own admission.",
    )


class Admit(Section):
    """How what was cleared enters the dataset."""

    window: AdmitWindow = Field(
        AdmitWindow(), description="Which other batches an admission takes along."
    )
