"""What a source's trust changes: the rules of a tier, of one source, and the quota of a dataset."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lazaretto.policy.section import Section

Tier = Literal["TRUSTED", "REVIEWED", "UNTRUSTED"]
"""A revoked source delivers nothing, so that it has no rules."""
_Share = Annotated[float, Field(gt=0, lt=1)]
_Part = Annotated[float, Field(gt=0, le=1)]


class SourceRules(Section):
    """What is different for a tier, or for one source; what is not named stays as it is."""

    require_signature: bool | None = Field(
        None, description="Whether its deliveries need a manifest with a valid signature."
    )
    false_quarantine_rate: _Share | None = Field(
        None, description="Instead of `screen.false_quarantine_rate`."
    )
    hold: Literal["evidence", "rate"] | None = Field(None, description="Instead of `screen.hold`.")
    review_share: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="Share of the records that nothing speaks against, drawn at random, that "
        "people look at before they are admitted. Default: 0.",
    )
    max_share: _Part | None = Field(None, description="Instead of `sources.quota.max_share`.")
    max_class_share: _Part | None = Field(
        None, description="Instead of `sources.quota.max_class_share`."
    )


class Quota(Section):
    """How much of what enters a dataset may come from one source."""

    max_share: _Part = Field(
        1.0,
        description="Largest share of the records admitted in the window that one source may have. "
        "A batch with which it would have more is not admitted until others have delivered.",
    )
    max_class_share: _Part = Field(1.0, description="The same within each class.")
    window_days: Annotated[int, Field(gt=0)] = Field(
        30, description="The window: the last so many days, until now."
    )
    free_records: Annotated[int, Field(ge=0)] = Field(
        1000,
        description="So many records a source may have in the window, and in each class, whatever "
        "its share is. Without that, the first source of a dataset could never begin.",
    )
