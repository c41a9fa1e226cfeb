"""Figures to watch, through Airflow's own metrics: StatsD, Datadog or OpenTelemetry, as it is set.

A figure decides nothing, and none that cannot be sent stops a task.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazaretto.dataset.admission import Admission
    from lazaretto.stages.judgement import Judgement
    from lazaretto.storage.workspace import Workspace

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure.

    Attributes:
        name: as Airflow's metrics take it, without its prefix.
        kind: a count of what happened, a value of now, or milliseconds that something took.
        tags: what it is told apart by.
        words: what it says.
    """

    name: str
    kind: Literal["counter", "gauge", "timing"]
    tags: tuple[str, ...]
    words: str


_JUDGED = ("source", "dataset")
STAGE = Metric(
    "lazaretto.stage.duration", "timing", ("stage",), "How long a stage took, in milliseconds."
)
VERDICTS = Metric(
    "lazaretto.verdicts", "counter", (*_JUDGED, "verdict"), "Batches judged, by the verdict."
)
RECORDS = Metric("lazaretto.records", "counter", _JUDGED, "Records of the batches judged.")
HELD = Metric("lazaretto.records_held", "counter", _JUDGED, "Records of them that are held.")
SHARE = Metric(
    "lazaretto.held_share", "gauge", _JUDGED, "Share of the last batch that is held, 0 to 1."
)
SHADOWS = Metric(
    "lazaretto.shadow_verdicts",
    "counter",
    (*_JUDGED, "verdict"),
    "Batches judged by a policy that is not in force.",
)
ADMITTED = Metric(
    "lazaretto.records_admitted", "counter", ("dataset",), "Records that entered a dataset."
)
REFUSED = Metric(
    "lazaretto.refusals", "counter", ("code",), "Deliveries and admissions that were refused."
)
OPEN = Metric("lazaretto.open_cases", "gauge", (), "Cases that wait for a decision.")
AGE = Metric(
    "lazaretto.queue_age", "gauge", (), "Seconds that the oldest open case has waited; 0: none."
)
METRICS = (STAGE, VERDICTS, RECORDS, HELD, SHARE, SHADOWS, ADMITTED, REFUSED, OPEN, AGE)
"""All of them. What tells them apart is never text that a delivery holds: names are registered."""


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Sends how long what is inside took, whether or not it failed."""
    started = time.monotonic()
    try:
        yield
    finally:
        took = (time.monotonic() - started) * 1000
        _send(lambda stats: stats.timing(STAGE.name, took, tags={"stage": stage}))


def count_judgement(judged: Judgement) -> None:
    """Counts a judgement, once: when it is made."""
    tags = {"source": judged.batch.rpartition("/")[0], "dataset": judged.dataset}
    with_verdict = tags | {"verdict": judged.verdict.value}
    if judged.shadow is not None:
        _send(lambda stats: stats.incr(SHADOWS.name, tags=with_verdict))
        return

    def tell(stats: Any) -> None:
        stats.incr(VERDICTS.name, tags=with_verdict)
        stats.incr(RECORDS.name, judged.rows, tags=tags)
        stats.incr(HELD.name, judged.held, tags=tags)
        stats.gauge(SHARE.name, judged.held / judged.rows if judged.rows else 0.0, tags=tags)

    _send(tell)


def count_admission(admission: Admission) -> None:
    """Counts what entered a dataset, once: when it does."""
    tags = {"dataset": admission.dataset}
    _send(lambda stats: stats.incr(ADMITTED.name, admission.rows, tags=tags))


def count_refusal(code: str) -> None:
    """Counts a delivery or an admission that was refused."""
    _send(lambda stats: stats.incr(REFUSED.name, tags={"code": code}))


def tell_queue(workspace: Workspace) -> None:
    """Sends how many cases are open, and how long the oldest has waited."""

    def tell(stats: Any) -> None:
        from datetime import UTC, datetime

        from lazaretto.quarantine.queue import review_queue

        queue = review_queue(workspace)
        age = (datetime.now(UTC) - queue.oldest).total_seconds() if queue.oldest else 0.0
        stats.gauge(OPEN.name, queue.cases)
        stats.gauge(AGE.name, max(age, 0.0))

    _send(tell)


def _send(tell: Callable[[Any], None]) -> None:
    try:
        from airflow.sdk.observability import stats

        tell(stats)
    except Exception as error:
        _log.debug("a metric was not sent: %s", type(error).__name__)
