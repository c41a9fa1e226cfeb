"""ReceiveBatchOperator: a delivery becomes a batch, if its source, manifest and bytes are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator, load_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import BatchRef


class ReceiveBatchOperator(LazarettoOperator):
    """Authenticates a delivery and copies it into the store.

    Returns (XCom) a batch reference: ``id``, ``source``, ``uri``, ``digest``, ``rows``,
    ``received_at``. An unknown source, a wrong signature, other bytes than the manifest's or a
    replay fail the task for good; the refusal and its reason are in the ledger. A delivery that is
    not there yet is no refusal: the task fails and Airflow tries again, as often as its ``retries``
    say. A retry of the same delivery gives the same batch.

    Args:
        uri: the delivery: path or URI of a Parquet, Arrow, CSV or JSON Lines file, of a folder of
            such files or of images, of a tar archive of images, or of several files, such as
            ``drop/*.csv``; or a list of files that are one delivery. In one of the policy's
            `sources.places`. Airflow shows it, so give it no credentials. Templated.
        source: name of the registered source. Templated.
        manifest: path or URI of the DSSE envelope, in the same places, or the envelope itself;
            empty: the file beside the delivery, under its name and ``.manifest.json``, if there is
            one. Templated.
        policy: policy file, or the policy as a mapping; it must name places. Templated.

    Examples:
        >>> task = ReceiveBatchOperator(
        ...     task_id="receive",
        ...     uri="{{ params.uri }}",
        ...     source="vendor",
        ...     policy="policies/reviews.yaml",
        ... )
        >>> task.task_id
        'receive'
    """

    stage_name = "receive"
    template_fields: Sequence[str] = (
        "uri",
        "source",
        "manifest",
        "policy",
        *LazarettoOperator.template_fields,
    )

    def __init__(
        self,
        *,
        uri: str | Sequence[str],
        source: str,
        policy: str | Mapping[str, Any],
        manifest: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.uri = uri
        self.source = source
        self.manifest = manifest
        self.policy = policy

    def perform(self, workspace: Workspace, context: Context) -> BatchRef:  # noqa: ARG002
        """Calls `lazaretto.stages.receive`."""
        from lazaretto.errors import DeliveryError
        from lazaretto.stages.receive import receive

        before = last_entry(workspace)
        try:
            batch = receive(
                workspace,
                self.uri,
                self.source,
                manifest=self.manifest or None,
                beside=True,
                policy=load_policy(self.policy),
                places_required=True,
            )
        except DeliveryError:
            self.ledger_entries = refusals(workspace, self.source, after=before)
            raise
        self.worked_on = batch.id
        return batch


def last_entry(workspace: Workspace) -> int:
    """Sequence number of the newest ledger entry; 0 where there is none."""
    import sqlalchemy as sa

    from lazaretto.storage.tables import ledger_head

    with workspace.catalog.read() as connection:
        return connection.scalar(sa.select(ledger_head.c.seq)) or 0


def refusals(workspace: Workspace, source: str, *, after: int) -> list[int]:
    """Where the ledger says why this delivery was turned away; others may write meanwhile."""
    from lazaretto.ledger import chain as ledger
    from lazaretto.ledger.events import DeliveryRefused
    from lazaretto.ledger.source_names import source_identity
    from lazaretto.text import excerpt

    with workspace.catalog.read() as connection:
        names = {excerpt(source, 255), source_identity(connection, source)}
        return [
            entry.seq
            for entry in ledger.entries(connection, after=after, kinds=[DeliveryRefused.kind])
            if isinstance(entry.event, DeliveryRefused) and entry.event.source in names
        ][:1]
