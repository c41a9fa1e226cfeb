"""How much a released record may weigh in training: what the policies say, asked twice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lazaretto.authority.policies import policy_history, policy_in_force
from lazaretto.errors import AdmissionRefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Connection, Row

    from lazaretto.quarantine.decisions import Decision

USUAL_WEIGHT = 1.0
"""What every record weighs that no reviewer gave another weight."""


def most_weight(connection: Connection, row: Row[Any]) -> float:
    """The greatest weight that a record of a case may get.

    Both must allow it: the policy in force for the dataset, and the one that the case was judged
    by. One that the ledger does not have allows no more than the usual weight.

    Args:
        connection: of the catalog.
        row: of the case.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
        PolicyError: another version of Lazaretto registered one of them.
    """
    in_force = policy_in_force(connection, row.dataset)
    judged_by = next(
        (
            known
            for known in policy_history(connection, row.dataset)
            if known.meaning == row.policy["meaning"]
        ),
        None,
    )
    return min(
        USUAL_WEIGHT if known is None else known.rules.review.max_weight
        for known in (in_force, judged_by)
    )


def check_weight(connection: Connection, row: Row[Any], weight: float) -> None:
    """Refuses a weight that a reviewer cannot give.

    Raises:
        UsageError: it is no number above 0, or more than the policies allow.
    """
    if not (math.isfinite(weight) and weight > 0):
        raise UsageError(f"a weight is a positive number, not {weight}; REJECT leaves a record out")
    most = most_weight(connection, row)
    if weight > most:
        raise UsageError(
            f"a record of {row.id} weighs at most {most:g}, not {weight:g}: review.max_weight of "
            "the policy in force, and of the one that the case was judged by, say how much"
        )


def require_weights(connection: Connection, row: Row[Any], decisions: Iterable[Decision]) -> None:
    """Asks again when records are published: a policy may have come in force that allows less.

    Raises:
        AdmissionRefusedError: ``weight``: a decision gives more than the policies allow now.
    """
    given = [one.weight for one in decisions if one.weight is not None]
    if not given or max(given) <= (most := most_weight(connection, row)):
        return
    raise AdmissionRefusedError(
        f"records of {row.id} would weigh {max(given):g}, and the policies allow {most:g} now "
        "(review.max_weight): decide anew with a smaller weight",
        code="weight",
        dataset=row.dataset,
    )
