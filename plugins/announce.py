"""Telling Airflow, from inside its API server, of a version that somebody made on the page."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.dataset.announce import announce_once, as_extra
from lazaretto.errors import NotFoundError
from lazaretto.names import asset_name, asset_uri
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from lazaretto.dataset.admission import Admission
    from lazaretto.dataset.announce import News
    from lazaretto.storage.workspace import Workspace

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What became of telling Airflow of a version.

    Attributes:
        announced: whether it is announced, now or before.
        note: why it is not, and what happens then, in words; empty where it is.
    """

    announced: bool
    note: str = ""


def announce_publication(workspace: Workspace, admission: Admission) -> Announcement:
    """Makes the dataset's asset event, so that what is scheduled on it starts.

    It is made in this process, by what Airflow's own API uses, and once for each version: that it
    was made is on the ledger. Whoever may publish needs no further right, as no task needs one for
    what it admits. Whatever goes wrong is told and logged, and changes nothing of the publication.

    Args:
        workspace: catalog and store; whoever acts through it has published.
        admission: what `lazaretto.quarantine.review.publish` returned.
    """
    if not admission.rows or not admission.seqs:
        return Announcement(False, "nothing of it is in the dataset, so nobody is told")
    what = f"{admission.dataset}@{admission.version}"
    try:
        announce_once(workspace, admission.dataset, admission.seqs[-1], _make_event)
    except NotFoundError as error:
        return Announcement(False, f"{what} is published; {error}")
    except Exception as error:  # whatever Airflow's database or a listener does
        _log.warning("%s is published, but not announced: %s", what, error_line(error, limit=1000))
        return Announcement(
            False,
            f"{what} is published, but Airflow could not be told: {type(error).__name__}. A DAG "
            "that is scheduled on admitted(..., watch=True) is told of it within minutes; others "
            "have to be started by hand",
        )
    return Announcement(True)


def _make_event(news: News) -> None:
    """One asset event, and the runs that it starts.

    Raises:
        NotFoundError: Airflow knows no asset of this dataset.
    """
    from airflow.assets.manager import asset_manager
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    uri = asset_uri(news.dataset)
    with create_session() as session:
        of_dataset = (AssetModel.uri == uri) & (AssetModel.name == asset_name(news.dataset))
        asset = session.scalar(select(AssetModel).where(of_dataset).limit(1))
        made = asset and asset_manager.register_asset_change(
            asset=asset, extra=as_extra(news), session=session
        )
        if made is None:
            raise NotFoundError(
                f"Airflow knows no asset {uri}: no DAG is scheduled on it or has it as an outlet"
            )
