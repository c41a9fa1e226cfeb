"""What people have to be told of an incident: that it is open, and each answer that differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.incidents.difference import difference
from lazaretto.incidents.recorded import Incident, read_incident
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import IncidentAnnounced

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class News:
    """What people have not been told of yet.

    Attributes:
        incident: which.
        first: whether they have been told nothing of it before.
        changed: what the last answer says that the one they were told of does not, in sentences.
        made: ledger entry of the last answer.
    """

    incident: Incident
    first: bool
    changed: list[str]
    made: int


def news_of(incident: Incident) -> News | None:
    """What people have to be told; None: they have been told of the last answer.

    Examples:
        >>> from lazaretto.incidents import get_incident
        >>> news_of(get_incident(workspace, incident)).first
        True
    """
    if incident.told_of is not None and incident.told_of >= incident.answered_in:
        return None
    before = incident.told
    changed = [] if before is None else difference(before, incident.answer).sentences()
    return News(incident, incident.told_of is None, changed, incident.answered_in)


def record_announced(workspace: Workspace, news: News) -> int:
    """Puts on record that people were told, so that they are not told again.

    Args:
        workspace: catalog and store; whoever acts through it told them.
        news: what they were told.

    Returns:
        The ledger entry.

    Raises:
        NotFoundError: there is no such incident.

    Examples:
        >>> from lazaretto.incidents import get_incident
        >>> _ = record_announced(workspace, news_of(get_incident(workspace, incident)))
        >>> news_of(get_incident(workspace, incident)) is None
        True
    """
    with workspace.catalog.transaction() as connection:
        found = read_incident(connection, news.incident.id)
        event = IncidentAnnounced(found.id, news.made)
        return append(connection, event, actor=workspace.actor).seq
