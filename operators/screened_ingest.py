"""screened_ingest: the whole way of a delivery as one task group, wired in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import TaskGroup

from lazaretto.operators.admit_batch import AdmitBatchOperator
from lazaretto.operators.await_delivery import AwaitDeliveryOperator
from lazaretto.operators.await_review import AwaitReviewOperator
from lazaretto.operators.embed_batch import EmbedBatchOperator
from lazaretto.operators.hook import DEFAULT_CONNECTION
from lazaretto.operators.quarantine_gate import QuarantineGateOperator
from lazaretto.operators.receive_batch import ReceiveBatchOperator
from lazaretto.operators.screen_batch import ScreenBatchOperator
from lazaretto.operators.validate_batch import ValidateBatchOperator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import BaseNotifier

    from lazaretto.operators.holding import OnHold

TASKS = ("await", "receive", "validate", "embed", "screen", "gate", "admit", "review", "announce")
"""Names of the tasks that a group may have."""


def screened_ingest(
    *,
    dataset: str,
    policy: str | Mapping[str, Any],
    uri: Any = "{{ params.uri }}",
    source: Any = "{{ params.source }}",
    manifest: Any = None,
    group_id: str = "screened_ingest",
    wait: bool = False,
    review: bool = False,
    on_hold: OnHold | Sequence[OnHold] | None = None,
    notifiers: Sequence[BaseNotifier] = (),
    lazaretto_conn_id: str = DEFAULT_CONNECTION,
    tasks: Mapping[str, Mapping[str, Any]] | None = None,
    default_args: Mapping[str, Any] | None = None,
) -> TaskGroup:
    """Wires a delivery's way: receive, validate, embed, screen, judge, admit.

    It is what the example DAG does by hand, as one group. The tasks are the operators of this
    package, so that each is seen, retried and cleared by itself. ``group["admit"].output`` is what
    was admitted; it is the only task that announces the dataset. A held batch skips everything
    behind the gate, the tasks behind the group among them, whatever their trigger rule.

    Args:
        dataset: name of the admitted dataset, as in the policy.
        policy: policy file, or the policy as a mapping; it must name places.
        uri: the delivery, a path or a URI that fsspec opens, in one of the policy's
            `sources.places`, or a list of files that are one delivery; or the ``.output`` of a task
            that returns either. Default: the DAG's parameter ``uri``.
        source: name of the registered source. Default: the DAG's parameter ``source``.
        manifest: path or URI of the signed manifest; empty: the file beside the delivery, of a
            list the one beside the folder that holds its files.
        group_id: name of the group, and what its task ids begin with.
        wait: begin with an `AwaitDeliveryOperator`, which waits in the triggerer until the delivery
            and its manifest are there.
        review: end with an `AwaitReviewOperator` beside the gate, and announce what people release.
        on_hold: callback or notifier, or several, for when anything is held; see
            `QuarantineGateOperator`.
        notifiers: called by each task when something stored was changed.
        lazaretto_conn_id: Airflow connection that says where catalog and store are.
        tasks: further arguments of single tasks, by their names in the group, such as
            ``{"screen": {"pool": "memory"}, "receive": {"retries": 10}}``.
        default_args: arguments of all its tasks, as of a DAG.

    Returns:
        The group.

    Raises:
        UsageError: `tasks` names a task that the group does not have.

    Examples:
        >>> from airflow.sdk import DAG
        >>> with DAG("reviews", schedule=None):
        ...     group = screened_ingest(dataset="reviews", policy="policies/reviews.yaml")
        >>> sorted(group.children)[:2]
        ['screened_ingest.admit', 'screened_ingest.embed']
    """
    own = dict(tasks or {})
    shared = {"lazaretto_conn_id": lazaretto_conn_id, "notifiers": notifiers}

    def arguments(task: str) -> dict[str, Any]:
        return {"task_id": task, **shared, **own.pop(task, {})}

    delivery = {"uri": uri, "source": source, "manifest": manifest, "policy": policy}
    defaults: Any = dict(default_args or {})
    with TaskGroup(group_id, default_args=defaults) as group:
        received = ReceiveBatchOperator(**arguments("receive"), **delivery)
        if wait:
            AwaitDeliveryOperator(**arguments("await"), **delivery) >> received
        batch: Any = received
        for name, operator in (
            ("validate", ValidateBatchOperator),
            ("embed", EmbedBatchOperator),
            ("screen", ScreenBatchOperator),
        ):
            batch = operator(**arguments(name), batch=batch.output, policy=policy)
        judged: Any = QuarantineGateOperator(
            **arguments("gate"), batch=batch.output, policy=policy, on_hold=on_hold
        )
        AdmitBatchOperator(**arguments("admit"), batch=judged.output, dataset=dataset)
        if review:
            # Beside the gate: a gate that holds the whole batch skips what is behind it.
            reviewed: Any = AwaitReviewOperator(**arguments("review"), batch=batch.output)
            AdmitBatchOperator(
                **arguments("announce"), batch=reviewed.output, dataset=dataset, part="released"
            )
    if own:
        from lazaretto.errors import UsageError

        raise UsageError(
            f"screened_ingest: there is no task {next(iter(own))!r} in this group; it has "
            f"{', '.join(task for task in TASKS if f'{group.node_id}.{task}' in group.children)}"
        )
    return group
