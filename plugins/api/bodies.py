"""What requests to the API may carry: strict, bounded, and without a field that names an actor."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from lazaretto.quarantine.handling import LONGEST_COMMENT, LONGEST_NAME
from lazaretto.values import Action, HoldKind  # noqa: TC001  pydantic reads them at run time

PREFIX = "/api/v1"
MOST_ON_A_PAGE = 500
MOST_IDS = 200_000
LONGEST_REASON = 2_000
_LONGEST_LABEL = 1_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DecisionBody(_Strict):
    """What is decided, on which records; see `lazaretto.quarantine.review.decide`."""

    action: Action
    reason: str = Field(min_length=1, max_length=LONGEST_REASON)
    ids: list[str] | None = Field(None, max_length=MOST_IDS)
    positions: list[int] | None = Field(None, max_length=MOST_IDS)
    filter: dict[str, str] | None = None
    all: bool = False
    label: str | None = Field(None, max_length=_LONGEST_LABEL)
    weight: float | None = None
    seen: int | None = Field(None, ge=0)
    expected: int | None = Field(None, ge=0)


class UndoBody(_Strict):
    """Why a decision is taken back."""

    reason: str = Field(min_length=1, max_length=LONGEST_REASON)


class ApprovalBody(_Strict):
    """What the approver has seen; see `lazaretto.quarantine.approve.approve`."""

    seen: int = Field(ge=0)


class OverrideBody(_Strict):
    """Why records of what is revoked may be released."""

    reason: str = Field(min_length=1, max_length=LONGEST_REASON)


class AssigneeBody(_Strict):
    """Whose a case is to review; null: nobody in particular."""

    assignee: str | None = Field(max_length=LONGEST_NAME)


class CommentBody(_Strict):
    """A remark on a case."""

    text: str = Field(min_length=1, max_length=LONGEST_COMMENT)


class HoldBody(_Strict):
    """What is put on hold for an incident, or let go again, and why."""

    what: HoldKind
    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    reason: str = Field(min_length=1, max_length=LONGEST_REASON)


class OpeningBody(_Strict):
    """What an incident is about, why it is opened, and what is to be stopped at once."""

    kind: str = Field(max_length=40)
    subject: str = Field(min_length=1, max_length=2_000)
    since: str = Field("", max_length=64)
    until: str = Field("", max_length=64)
    by: str = Field("either", max_length=40)
    registry: str = Field("", max_length=2_000)
    without: list[str] = Field(default=[], max_length=1_000)
    why: str = Field(min_length=1, max_length=LONGEST_REASON)
    title: str = Field("", max_length=200)
    freeze_source: bool = False
    freeze: list[str] = Field(default=[], max_length=100)
    freeze_models: list[str] = Field(default=[], max_length=100)


class ConclusionBody(_Strict):
    """What came of an incident."""

    text: str = Field(min_length=1, max_length=LONGEST_COMMENT)


class MoveBody(_Strict):
    """A model version, the name that is to stand for it or does so as somebody saw it, and why."""

    registry: str = Field(min_length=1, max_length=LONGEST_NAME)
    model: str = Field(min_length=1, max_length=LONGEST_NAME)
    version: str = Field(min_length=1, max_length=LONGEST_NAME)
    alias: str = Field(min_length=1, max_length=LONGEST_NAME)
    reason: str = Field(min_length=1, max_length=LONGEST_REASON)
