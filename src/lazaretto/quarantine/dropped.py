"""Records that the policy drops: rejected at once, on record, and brought back like any others."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lazaretto.batch._ids import ids_digest
from lazaretto.ledger.events import RecordsDecided
from lazaretto.ledger.state import record
from lazaretto.quarantine.cases import find_case
from lazaretto.quarantine.decisions import changes, index_decided
from lazaretto.quarantine.publish import close_when_decided
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.engine import Connection

    from lazaretto.ledger.events import BatchJudged
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile


def reject_dropped(
    connection: Connection,
    workspace: Workspace,
    judged: BatchJudged,
    file: StoredFile,
    dropped: pa.Table,
) -> None:
    """Rejects the dropped records of a case in the policy's name; nobody has to decide on them.

    They lie in the case with the others that are held, and whoever undoes this decision can release
    them. A case of nothing else is closed, and opens again then.

    Args:
        connection: of the transaction that opened the case.
        workspace: catalog and store.
        judged: the judgement that opened it.
        file: with the records' ids and positions.
        dropped: what it says.
    """
    case = str(judged.case)
    event = RecordsDecided(
        decision="decision-" + hashlib.sha256(f"{case}\ndropped".encode()).hexdigest()[:16],
        case=case,
        batch=judged.batch,
        action=Action.REJECT,
        records=dropped.num_rows,
        ids_digest=ids_digest(dropped["record_id"].to_pylist()),
        ids=file,
        reason="dropped by the policy's section on cleaning",
        filter={"cleaning": "drop"},
        label=None,
        weight=None,
        undoes=None,
    )
    clock = Actor(ActorType.POLICY, f"policy:{judged.policy.dataset}")
    record(connection, event, changes, actor=clock)
    index_decided(connection, event, dropped["position"].to_pylist())
    close_when_decided(connection, workspace.acting(clock), find_case(connection, case))
