"""A case: the conclusion, the batch as a whole, what was decided, and the held records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse  # noqa: TC002  FastAPI reads it at run time

from lazaretto.authority.holds import holds_on
from lazaretto.errors import AdmissionRefusedError
from lazaretto.plugins.pictures import can_draw
from lazaretto.plugins.records import FilterQuery, page_of_records
from lazaretto.plugins.security import Decides, Login, Reader, may_read
from lazaretto.quarantine.conclusion import conclude
from lazaretto.quarantine.counts import UNDECIDED
from lazaretto.quarantine.handling import list_comments
from lazaretto.quarantine.inbox import expiry
from lazaretto.quarantine.released import RELEASING
from lazaretto.quarantine.review import (
    list_decisions,
    list_publications,
    needs_two_people,
    show_case,
)
from lazaretto.quarantine.revoked import require_not_revoked
from lazaretto.quarantine.triage import as_shown, screening_of_case
from lazaretto.received import load_batch
from lazaretto.sources.standing import signature_now
from lazaretto.values import HoldKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.authority.holds import Hold
    from lazaretto.ledger.events import BatchReceived
    from lazaretto.plugins.site import Site
    from lazaretto.quarantine.cases import Case
    from lazaretto.quarantine.review import Decision, Publication
    from lazaretto.storage.workspace import Workspace

_PAGE_SIZE = 50


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace = APIRouter(), site.workspace

    @pages.get("/cases/{case}", dependencies=[may_read])
    def one_case(
        request: Request,
        case: str,
        may_decide: Decides,
        reader: Reader,
        login: Login,
        after: Annotated[int, Query(ge=-1)] = -1,
    ) -> HTMLResponse:
        opened = workspace()
        found = show_case(opened, case)
        wanted = FilterQuery.of(request.query_params)
        received = load_batch(opened, found.batch)
        with opened.catalog.read() as connection:
            signed = signature_now(connection, received.event)
            revoked = _revoked(connection, case, received.event)
        screened = screening_of_case(opened, case)
        decisions = list_decisions(opened, case)
        publications = list_publications(opened, case)
        released = sum(found.actions.get(action.value, 0) for action in RELEASING)
        return site.page(
            request,
            "case.html",
            case=found,
            conclusion=conclude(found, signed.status, screened),
            received=received.event,
            signature=signed,
            revoked=revoked,
            screened=screened,
            triage=None if screened is None else as_shown(screened),
            page=page_of_records(
                opened.acting(reader), found, wanted, via="page", after=after, limit=_PAGE_SIZE
            ),
            wanted=wanted.filter,
            pictures=can_draw(),
            first=after < 0,
            decisions=decisions,
            last=_to_undo(decisions, publications),
            publications=publications,
            holds=_holds(opened, found),
            two_people=needs_two_people(opened, case),
            comments=list_comments(opened, case),
            expires=expiry(opened, [found]).get(case),
            undecided=found.actions.get(UNDECIDED, 0),
            to_publish=released - sum(each.rows for each in publications),
            may_decide=may_decide and found.state == "OPEN",
            reviewer=may_decide,
            me=login,
        )

    return pages


def _revoked(connection: Connection, case: str, received: BatchReceived) -> str | None:
    """Why nothing of a case can be released until somebody overrides it; None: it can be."""
    try:
        require_not_revoked(connection, case, received)
    except AdmissionRefusedError as error:
        return error.code
    return None


def _holds(workspace: Workspace, case: Case) -> list[Hold]:
    """What keeps the records of a case from being published."""
    with workspace.catalog.read() as connection:
        source = holds_on(connection, HoldKind.SOURCE, case.source)
        return source + holds_on(connection, HoldKind.PUBLISHING, case.dataset)


def _to_undo(decisions: Sequence[Decision], publications: Sequence[Publication]) -> Decision | None:
    """The newest decision, where it stands and nothing was published since."""
    published = max((each.seq for each in publications), default=0)
    standing = [each for each in decisions if not each.undone_by and not each.undoes]
    return standing[-1] if standing and standing[-1].seq > published else None
