"""The inbox: which cases wait, for whom, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse  # noqa: TC002  FastAPI reads it at run time
from pydantic import BaseModel, ConfigDict, Field, field_validator

from lazaretto.plugins.security import Hidden, Login, may_read
from lazaretto.quarantine.inbox import expiry, facets
from lazaretto.quarantine.review import list_cases

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_PAGE_SIZE = 50
_LONGEST = 600


class InboxQuery(BaseModel):
    """Which cases are asked for: the part of the address behind the question mark."""

    model_config = ConfigDict(extra="ignore")

    state: Literal["open", "closed", "superseded", "all"] = "open"
    dataset: str = Field("", max_length=_LONGEST)
    source: str = Field("", max_length=_LONGEST)
    verdict: str = Field("", max_length=_LONGEST)
    reason: str = Field("", max_length=_LONGEST)
    assignee: str = Field("", max_length=_LONGEST)
    older_than_days: int | None = Field(None, ge=0, le=100_000)
    after: str | None = Field(None, max_length=64)

    @field_validator("older_than_days", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def narrowed(self) -> bool:
        """Whether more than the state is asked for."""
        texts = (self.dataset, self.source, self.verdict, self.reason, self.assignee)
        return any(texts) or self.older_than_days is not None

    @property
    def query(self) -> str:
        """The same as a part of an address, without the page."""
        said = self.model_dump(exclude={"after"}, exclude_none=True)
        return urlencode({name: value for name, value in said.items() if value != ""})

    @property
    def opened_before(self) -> datetime | None:
        """The time before which cases were opened."""
        if self.older_than_days is None:
            return None
        return datetime.now(UTC) - timedelta(days=self.older_than_days)


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace = APIRouter(), site.workspace

    @pages.get("/", dependencies=[may_read])
    def all_cases(
        request: Request, wanted: Annotated[InboxQuery, Query()], login: Login, hidden: Hidden
    ) -> HTMLResponse:
        opened = workspace()
        state = None if wanted.state == "all" else wanted.state.upper()
        found = list_cases(
            opened,
            state=state,
            dataset=wanted.dataset or None,
            source=wanted.source or None,
            verdict=wanted.verdict or None,
            reason=wanted.reason or None,
            assignee=wanted.assignee or None,
            opened_before=wanted.opened_before,
            hidden=hidden,
            after=wanted.after,
            limit=_PAGE_SIZE + 1,
        )
        shown = found[:_PAGE_SIZE]
        now = datetime.now(UTC)
        ends = expiry(opened, shown)
        return site.page(
            request,
            "cases.html",
            cases=shown,
            facets=facets(opened, state, hidden=hidden),
            expires={case: _until(end - now) for case, end in ends.items()},
            wanted=wanted,
            after=wanted.after,
            older=shown[-1].id if len(found) > _PAGE_SIZE else None,
            me=login,
        )

    return pages


def _until(left: timedelta) -> str:
    """How long a case has, in words."""
    if left <= timedelta(0):
        return "now due"
    days, hours = left.days, left.seconds // 3600
    return f"in {days} days" if days > 1 else f"in {days * 24 + hours} hours"
