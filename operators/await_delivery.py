"""AwaitDeliveryOperator: waits until a delivery is there, with its manifest."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator
from airflow.sdk.bases.sensor import PokeReturnValue

from lazaretto.operators.base import LazarettoOperator, load_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context


class AwaitDeliveryOperator(LazarettoOperator, BaseSensorOperator):
    """Waits for a late delivery: put it before `ReceiveBatchOperator` or `IngestBatchOperator`.

    It waits for the file, for the folder or for each file of a list, and for the manifest that is
    named or, where the policy requires a signature of the source or of its tier, that lies beside
    the delivery. A folder that holds ``_temporary`` is still being written. Whatever would be
    refused has arrived: the task behind refuses it and puts that on record. A source should put the
    manifest there last, for a file that is still being written would be refused.

    Deferred, it takes no worker slot meanwhile; the triggerer must run. With ``deferrable=False``
    it looks again in the sensor's ``mode``, by default *reschedule*. A place that cannot be reached
    is asked again; only a delivery that has not come after `timeout` fails the task.

    Args:
        uri: the delivery, as of `ReceiveBatchOperator`. Templated.
        source: name of the registered source. Templated.
        policy: policy file, or the policy as a mapping; it must name places. Templated.
        manifest: as of `ReceiveBatchOperator`; empty: the file beside the delivery. Templated.
        deferrable: wait in the triggerer.
        poke_interval: seconds between two looks.
        timeout: seconds after which the task fails; default a day.

    Examples:
        >>> task = AwaitDeliveryOperator(
        ...     task_id="await",
        ...     uri="{{ params.uri }}",
        ...     source="vendor",
        ...     policy="policies/reviews.yaml",
        ... )
        >>> task.task_id
        'await'
    """

    stage_name = "await"
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
        deferrable: bool = True,
        poke_interval: timedelta | float = 60,
        timeout: timedelta | float = timedelta(days=1),
        mode: str = "reschedule",
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, mode=mode, **kwargs)
        self.uri = uri
        self.source = source
        self.policy = policy
        self.manifest = manifest
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Returns when the delivery is there; until then it defers, or pokes as a sensor does."""
        if not self.deferrable:
            return BaseSensorOperator.execute(self, context)
        if not self.poke(context):
            self._defer()
        return self._finish()

    def _defer(self) -> NoReturn:
        from lazaretto.operators.triggers import DeliveryArrivedTrigger

        self.defer(
            trigger=DeliveryArrivedTrigger(
                uri=self.uri,
                source=self.source,
                policy=self.policy,
                manifest=self.manifest or None,
                poll_interval=self.poke_interval,
                lazaretto_conn_id=self.lazaretto_conn_id,
            ),
            method_name="resume",
            timeout=timedelta(seconds=self.timeout),
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Looks once."""
        from lazaretto.errors import SystemFaultError
        from lazaretto.stages.arrival import has_arrived

        with self.speaking_plainly(context):
            try:
                done = has_arrived(
                    self.uri,
                    self.source,
                    load_policy(self.policy),
                    workspace=self.open_workspace(),
                    manifest=self.manifest or None,
                )
            except SystemFaultError as error:
                self.log.warning("cannot say whether the delivery is there: %s", error)
                done = False
        return PokeReturnValue(is_done=done, xcom_value=self._finish() if done else None)

    def resume(self, context: Context, event: Mapping[str, Any]) -> dict[str, str]:  # noqa: ARG002
        """Goes on after the trigger fired."""
        return self._finish()

    def _finish(self) -> dict[str, str]:
        from lazaretto.batch._delivery import shown_address
        from lazaretto.text import excerpt

        uri, source = shown_address(self.uri), excerpt(self.source)
        self.log.info("await: %r of %r is there", uri, source, stage=self.stage_name, uri=uri)
        return {"uri": uri, "source": source}
