"""What every section of a policy has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Keys that are known, values of the type that is said, nothing changed later."""

    # Strict: the string "5" is no number, here and in the JSON schema alike. Deferred: the
    # validator of a policy is made with those of all its sections, once somebody needs one.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True
    )
