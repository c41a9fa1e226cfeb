"""What Airflow's triggerer does: waits until reviewers have decided, and sends lineage events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException
from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class CaseDecidedTrigger(BaseTrigger):
    """Fires when no record of a batch's case waits for a decision.

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
            "lazaretto.operators.triggers.CaseDecidedTrigger",
            {
                "batch": self.batch,
                "lazaretto_conn_id": self.lazaretto_conn_id,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Looks again and again; yields one event with the review's outcome."""
        from lazaretto.operators.hook import LazarettoHook
        from lazaretto.quarantine.outcome import review_outcome
        from lazaretto.redact import error_line
        from lazaretto.values import to_json

        try:
            workspace = await asyncio.to_thread(LazarettoHook(self.lazaretto_conn_id).workspace)
            try:
                while (
                    outcome := await asyncio.to_thread(review_outcome, workspace, self.batch)
                ) is None:
                    await asyncio.sleep(self.poll_interval)
            finally:
                workspace.catalog.engine.dispose()
        except Exception as error:
            # The triggerer prints an error with those behind it, as they are.
            raise AirflowException(error_line(error, limit=1000)) from None
        yield TriggerEvent(to_json(outcome))  # type: ignore[no-untyped-call]


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
        from lazaretto.operators.hook import LazarettoHook
        from lazaretto.operators.outbox import send_all
        from lazaretto.redact import error_line
        from lazaretto.values import to_json

        try:
            workspace = await asyncio.to_thread(LazarettoHook(self.lazaretto_conn_id).workspace)
            try:
                drained = await asyncio.to_thread(send_all, workspace, self.stalled)
            finally:
                workspace.catalog.engine.dispose()
        except Exception as error:
            # The triggerer prints an error with those behind it, as they are.
            raise AirflowException(error_line(error, limit=1000)) from None
        yield TriggerEvent(to_json(drained))  # type: ignore[no-untyped-call]
