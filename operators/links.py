"""The button on a task that leads to its case on the review page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink, conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

REVIEW_PAGE = "/plugin/quarantine/lazaretto/"


def review_url(batch: str | None = None) -> str:
    """Address of the review page inside Airflow's frame: of one batch's case, or of all cases."""
    prefix = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
    return prefix + REVIEW_PAGE + (f"batches/{quote(batch)}" if batch else "")


def page_url(batch: str) -> str:
    """The same for whoever reads it outside of Airflow: with the machine, where that is set."""
    return _machine() + review_url(batch)


def incident_url(incident: str) -> str:
    """Address of an incident's page, for whoever reads it outside of Airflow."""
    return f"{_machine()}{review_url()}incidents/{quote(incident)}"


def _machine() -> str:
    base = urlsplit(conf.get("api", "base_url", fallback="") or "")
    return f"{base.scheme}://{base.netloc.rpartition('@')[2]}" if base.netloc else ""


class CaseLink(BaseOperatorLink):
    """Leads to the case of the batch that the task worked on, or to the list of cases."""

    name = "Quarantine case"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Called in the worker after the task, with the operator that ran."""
        return review_url(getattr(operator, "worked_on", None))
