"""What Airflow's triggerer does: waits for reviewers, sends lineage, tells of new versions."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from lazaretto.operators.hook import DEFAULT_CONNECTION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from lazaretto.dataset.announce import News
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor

_log = logging.getLogger(__name__)
_ITS_OWN = 300.0
"""Seconds in which a task of Airflow or the review page announces by itself what it made."""


@asynccontextmanager
async def _opened(conn_id: str, actor: Actor | None = None) -> AsyncIterator[Workspace]:
    """A workspace for as long as a trigger runs; whatever goes wrong can be printed.

    Raises:
        AirflowException: instead of any error: the triggerer prints one with those behind it, as
            they are.
    """
    from lazaretto.operators.hook import LazarettoHook
    from lazaretto.redact import error_line

    try:
        workspace = await asyncio.to_thread(LazarettoHook(conn_id).workspace, actor)
        try:
            yield workspace
        finally:
            workspace.catalog.engine.dispose()
    except Exception as error:
        raise AirflowException(error_line(error, limit=1000)) from None


class _BatchTrigger(BaseTrigger):
    """Looks at a batch again and again, until there is something to tell.

    The catalog is asked in a thread, so that the triggerer's event loop serves its other triggers
    meanwhile.

    Args:
        batch: id of the batch.
        lazaretto_conn_id: connection that says where the catalog is.
        poll_interval: seconds between two looks.
    """

    def __init__(self, batch: str, lazaretto_conn_id: str, poll_interval: float = 60.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.batch = batch
        self.lazaretto_conn_id = lazaretto_conn_id
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Import path and arguments, from which a triggerer makes the trigger again."""
        return (
            f"lazaretto.operators.triggers.{type(self).__name__}",
            {
                "batch": self.batch,
                "lazaretto_conn_id": self.lazaretto_conn_id,
                "poll_interval": self.poll_interval,
            },
        )

    def look(self, workspace: Workspace) -> object | None:
        """What to tell; None: nothing yet."""
        raise NotImplementedError

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks again and again; yields one event."""
        from lazaretto.values import to_json

        async with _opened(self.lazaretto_conn_id) as workspace:
            while (found := await asyncio.to_thread(self.look, workspace)) is None:
                await asyncio.sleep(self.poll_interval)
        yield TriggerEvent(to_json(found))  # type: ignore[no-untyped-call]


class CaseClosedTrigger(_BatchTrigger):
    """Fires when every case of a batch is decided on, and people have published it.

    Its event is the review's outcome. For the arguments see `AwaitReviewOperator`.
    """

    def look(self, workspace: Workspace) -> object | None:
        """The outcome of the review."""
        from lazaretto.quarantine.outcome import review_outcome

        return review_outcome(workspace, self.batch)


class BatchJudgedTrigger(_BatchTrigger):
    """Fires when the gate has judged a batch; its event says how many cases wait for people."""

    def look(self, workspace: Workspace) -> object | None:
        """How many cases wait."""
        from lazaretto.quarantine.outcome import waiting_cases

        waiting = waiting_cases(workspace, self.batch)
        return None if waiting is None else {"batch": self.batch, "cases": len(waiting)}


class DeliveryArrivedTrigger(BaseTrigger):
    """Fires when a delivery is there, with the manifest that it needs.

    The place is asked in a thread, so that the triggerer's event loop serves its other triggers
    meanwhile. One that cannot be reached is asked again.

    Args:
        uri: the delivery.
        source: name of who delivers.
        policy: policy file, or the policy as a mapping.
        manifest: path or URI of the manifest; None: the file beside the delivery.
        poll_interval: seconds between two looks.
        lazaretto_conn_id: connection that says where the catalog is, which knows the source's tier.
    """

    def __init__(
        self,
        uri: str | Sequence[str],
        source: str,
        policy: str | Mapping[str, Any],
        manifest: str | None = None,
        poll_interval: float = 60.0,
        lazaretto_conn_id: str = DEFAULT_CONNECTION,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazaretto_conn_id = lazaretto_conn_id
        self.uri = uri
        self.source = source
        self.policy = policy
        self.manifest = manifest
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Import path and arguments, from which a triggerer makes the trigger again."""
        return (
            "lazaretto.operators.triggers.DeliveryArrivedTrigger",
            {
                "uri": self.uri,
                "source": self.source,
                "policy": self.policy,
                "manifest": self.manifest,
                "poll_interval": self.poll_interval,
                "lazaretto_conn_id": self.lazaretto_conn_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks again and again; yields one event."""
        from lazaretto.batch._delivery import shown_address

        async with _opened(self.lazaretto_conn_id) as workspace:
            while not await asyncio.to_thread(self._arrived, workspace):
                await asyncio.sleep(self.poll_interval)
        yield TriggerEvent({"uri": shown_address(self.uri)})  # type: ignore[no-untyped-call]

    def _arrived(self, workspace: Workspace) -> bool:
        from lazaretto.errors import SystemFaultError
        from lazaretto.operators.base import load_policy
        from lazaretto.stages.arrival import has_arrived

        try:
            policy = load_policy(self.policy)
            return has_arrived(
                self.uri, self.source, policy, workspace=workspace, manifest=self.manifest
            )
        except SystemFaultError as error:
            _log.warning("cannot say whether a delivery is there: %s", error)
            return False


class LineageFlushedTrigger(BaseTrigger):
    """Sends the ledger entries that wait for the OpenLineage backend; fires when that is done.

    It is sent in a thread, so that the triggerer's event loop serves its other triggers meanwhile,
    and in bounded parts, so that a triggerer that is stopped loses little.

    Args:
        lazaretto_conn_id: connection that says where the catalog is.
        stalled: seconds in which the backend must take an entry.
    """

    def __init__(self, lazaretto_conn_id: str, stalled: float = 60.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazaretto_conn_id = lazaretto_conn_id
        self.stalled = stalled

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Import path and arguments, from which a triggerer makes the trigger again."""
        return (
            "lazaretto.operators.triggers.LineageFlushedTrigger",
            {"lazaretto_conn_id": self.lazaretto_conn_id, "stalled": self.stalled},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sends once; yields one event that says what was sent and what was not."""
        from lazaretto.operators.outbox import send_all
        from lazaretto.values import to_json

        async with _opened(self.lazaretto_conn_id) as workspace:
            drained = await asyncio.to_thread(send_all, workspace, self.stalled)
        yield TriggerEvent(to_json(drained))  # type: ignore[no-untyped-call]


class DatasetVersionTrigger(BaseEventTrigger):
    """Fires for every version of a dataset that nobody announced yet, and puts that on record.

    A version that a task of Airflow made, or somebody who is signed in on the review page, is left
    to the task or the page for five minutes, since they announce by themselves. The event's payload
    is ``{dataset, version, what, batch, rows}``, where `what` is ``admitted``, ``published``,
    ``recalled`` or ``lost``.

    Args:
        dataset: name of the admitted dataset.
        lazaretto_conn_id: connection that says where the catalog is.
        poll_interval: seconds between two looks.
    """

    def __init__(self, dataset: str, lazaretto_conn_id: str, poll_interval: float = 60.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dataset = dataset
        self.lazaretto_conn_id = lazaretto_conn_id
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Import path and arguments, from which a triggerer makes the trigger again."""
        return (
            "lazaretto.operators.triggers.DatasetVersionTrigger",
            {
                "dataset": self.dataset,
                "lazaretto_conn_id": self.lazaretto_conn_id,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks again and again; yields one event per version."""
        from lazaretto.dataset.announce import as_extra, record_announced
        from lazaretto.errors import SystemFaultError
        from lazaretto.values import Actor, ActorType

        actor = Actor(ActorType.SERVICE, f"airflow:watcher.{self.dataset}"[:255])
        async with _opened(self.lazaretto_conn_id, actor) as workspace:
            while True:
                try:
                    for news in await asyncio.to_thread(_to_tell, workspace, self.dataset):
                        yield TriggerEvent(as_extra(news))  # type: ignore[no-untyped-call]
                        # Behind the event: killed before this, it is told twice, not never.
                        told = (news.dataset, news.version, news.made)
                        await asyncio.to_thread(record_announced, workspace, *told)
                except SystemFaultError as error:  # a watch outlives a catalog that is away
                    _log.warning("versions of %s wait: %s", self.dataset, error)
                await asyncio.sleep(self.poll_interval)


def _to_tell(workspace: Workspace, dataset: str) -> list[News]:
    """What is to be announced now; nothing behind a version that its maker may announce."""
    from datetime import UTC, datetime, timedelta

    from lazaretto.dataset.announce import unannounced

    young = datetime.now(UTC) - timedelta(seconds=_ITS_OWN)
    found: list[News] = []
    for news in unannounced(workspace, dataset):
        itself = news.actor.authenticated or news.actor.id.startswith("airflow:")
        if itself and news.at > young:
            break
        found.append(news)
    return found
