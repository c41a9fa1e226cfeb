"""Asset events of a dataset's versions: each version is announced once, whoever asks again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lazaretto.dataset.admission import Admission
    from lazaretto.operators.base import LazarettoOperator
    from lazaretto.storage.workspace import Workspace


def announce(
    operator: LazarettoOperator, workspace: Workspace, context: Context, admission: Admission
) -> bool:
    """Lets Airflow tell of an admission when the task has succeeded, unless it was told before.

    Airflow sends an asset event for every outlet of a task that succeeds, so a task that tells
    nothing new has none. An outlet that is watched (``admitted(name, watch=True)``) is left to the
    triggerer, which tells of everything that is on the ledger.

    Args:
        operator: the running task's.
        workspace: catalog and store.
        context: Airflow's.
        admission: what was admitted.

    Returns:
        Whether nobody was told of it before.
    """
    from lazaretto.dataset.announce import was_announced

    version = admission.version
    if version is None or was_announced(workspace, admission.dataset, admission.seqs[-1]):
        operator.log.info("%s@%s was announced before", admission.dataset, version)
        operator.outlets = []
        return False
    operator.outlets = [one for one in operator.outlets if not getattr(one, "watchers", None)]
    for outlet in operator.outlets:
        context["outlet_events"][outlet].extra = {
            "dataset": admission.dataset,
            "version": version,
            "batch": admission.batch,
            "rows": admission.rows,
        }
    if operator.outlets:
        operator.announces = admission.dataset, version, admission.seqs[-1]
    return True


def with_record(kwargs: dict[str, Any]) -> dict[str, Any]:
    """An operator's arguments, with the step that puts on record what Airflow has told.

    Airflow calls it when it has taken the asset events: killed before, the retry tells them; killed
    in between, they are told twice rather than never.
    """
    given = kwargs.get("on_success_callback") or []
    callbacks = list(given) if isinstance(given, list | tuple) else [given]
    return {**kwargs, "on_success_callback": [*callbacks, _record]}


def _record(context: Context) -> None:
    from lazaretto.dataset.announce import record_announced
    from lazaretto.operators.base import LazarettoOperator

    operator = context["task"]
    if not isinstance(operator, LazarettoOperator) or operator.announces is None:
        return
    record_announced(operator.open_workspace(), *operator.announces)
