"""Rejudge: take back a judgement that nobody acted on, and judge the batch by what is used now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.authority.judgements import set_aside
from lazaretto.authority.policies import policy_ref, require_in_force
from lazaretto.received import find_batch, require_payload
from lazaretto.stages.embed import embed
from lazaretto.stages.gate import gate
from lazaretto.stages.screen import screen
from lazaretto.stages.validate import validate

if TYPE_CHECKING:
    from lazaretto.policy import Policy
    from lazaretto.stages.judgement import Judgement
    from lazaretto.storage.workspace import Workspace


def rejudge(workspace: Workspace, batch: str, policy: Policy, *, reason: str) -> Judgement:
    """Judges a batch again by the policy in force and the reference that is promoted today.

    What was decided stands until somebody asks for this: neither another policy nor another
    reference changes it by itself. Results of stages that read nothing that changed are used again.
    Killed in between, the batch is not judged, and the same call, or `validate` to `gate`, go on.

    Args:
        workspace: catalog and store; whoever acts through it is on record.
        batch: id of a judged batch.
        policy: in force for its dataset.
        reason: why; stays on record.

    Returns:
        The new judgement. Its case replaces the old one's.

    Raises:
        NotFoundError: no such batch.
        DeletedPayloadError: retention deleted its records.
        UsageError: no reason; the policy is not in force; the batch has no judgement for its
            dataset; or records were admitted or decided on since, which can be recalled.

    Examples:
        >>> from lazaretto import stages
        >>> batch = stages.receive(workspace, "wednesday.parquet", "vendor", policy=policy).id
        >>> for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
        ...     _ = stage(workspace, batch, policy)
        >>> rejudge(workspace, batch, policy, reason="a new reference").verdict.name
        'PASS'
    """
    ref = policy_ref(policy)
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        require_in_force(connection, ref)
        require_payload(connection, received)
    set_aside(workspace, batch, policy.dataset, reason=reason)
    validate(workspace, batch, policy)
    embed(workspace, batch, policy)
    screen(workspace, batch, policy)
    return gate(workspace, batch, policy)
