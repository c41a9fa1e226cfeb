"""The doctor's look at policies: the file, its encoder, and which batches its reference can judge.

Without a file it looks at the policies in force, of which the ledger has all but their folder.
"""

from __future__ import annotations

import os
from importlib import metadata
from typing import TYPE_CHECKING

from lazaretto.authority.policies import policies_in_force, policy_in_force
from lazaretto.contract import contract_digest
from lazaretto.errors import NotFoundError, SystemFaultError
from lazaretto.health.examined import cannot_say, examined, failure, ok, warning
from lazaretto.policy import Policy
from lazaretto.redact import safe_uri

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lazaretto.embed.base import Encoder
    from lazaretto.health.examined import Line
    from lazaretto.reference import Reference
    from lazaretto.storage.workspace import Workspace


def policy_lines(workspace: Workspace | None, file: str | Path | None) -> Iterator[Line]:
    """Lines of the policy that is named, else of those in force."""
    if file is not None:
        yield from _of_file(workspace, file)
    elif workspace is not None:
        yield from examined("encoder", lambda: _in_force(workspace))


def _of_file(workspace: Workspace | None, file: str | Path) -> Iterator[Line]:
    loaded: list[Policy] = []

    def load() -> Iterator[Line]:
        policy = Policy.load(file)
        loaded.append(policy)
        yield from _compared(workspace, policy, file)

    yield from examined("policy", load)
    if loaded:
        yield from examined("engine", lambda: _engine(loaded[0]))
        yield from _encoder_and_reference(workspace, loaded[0], loaded[0].dataset)


def _compared(workspace: Workspace | None, policy: Policy, file: str | Path) -> Iterator[Line]:
    """Whether a policy file is the one in force."""
    told = f"{file} is valid, for {policy.dataset}"
    contract = contract_digest(policy)
    if workspace is None:
        todo = "mend the catalog first"
        yield cannot_say("policy", f"{told}; whether it is in force is not known", todo)
        return
    with workspace.catalog.read() as connection:
        found = policy_in_force(connection, policy.dataset)
    if found is None:
        yield ok("policy", f"{told}; none is in force: the first gate puts it there")
    elif found.meaning == policy.ref(contract).meaning:
        yield ok("policy", f"{told}, and in force")
    else:
        yield warning(
            "policy",
            f"{told}, and not in force: it judges in shadow, and nothing is admitted by it",
            f"`lazaretto policy check {file}` shows what it changes, `lazaretto policy register "
            f"{file} --reason TEXT` puts it in force",
        )


def _engine(policy: Policy) -> Iterator[Line]:
    """Whether the policy's engine can be used here; no line where that is this process."""
    from lazaretto.engine import check_engine
    from lazaretto.engine.room import HOW_TO_MEND, lacking, look_at_cluster

    if policy.engine_options.name == "local":
        return
    check_engine(policy)
    address = os.environ.get("RAY_ADDRESS")
    where = f"joins the cluster at {safe_uri(address)}" if address else "starts one for each stage"
    found = f"ray {metadata.version('ray')} is installed, and {where}"
    try:
        problem = lacking(policy.engine_options, look_at_cluster(address))
    except SystemFaultError as error:
        yield failure("engine", f"{found}; {error}", "RAY_ADDRESS says where the cluster is")
        return
    if problem is None:
        yield ok("engine", found)
    elif address:
        todo = f"{HOW_TO_MEND}. One that grows by itself may bring it up: then all is well"
        yield warning("engine", f"{found}; {problem}", todo)
    else:
        yield failure("engine", f"{found}; {problem}", HOW_TO_MEND)


def _in_force(workspace: Workspace) -> Iterator[Line]:
    with workspace.catalog.read() as connection:
        found = policies_in_force(connection)
    for one in found:
        yield from _encoder_and_reference(workspace, one.rules, one.dataset, of_ledger=True)


def _encoder_and_reference(
    workspace: Workspace | None, policy: Policy, dataset: str, *, of_ledger: bool = False
) -> Iterator[Line]:
    if not policy.screen.runs:
        yield ok("reference", f"{dataset}: none is needed, screen.mode is off")
        return
    encoders: list[Encoder] = []

    def encoder() -> Iterator[Line]:
        from lazaretto.embed.registry import load_encoder

        name = policy.embed.encoder
        if of_ledger and name != "column":
            found = f"{dataset}: {name} is not loaded, because its files are named beside a policy"
            yield cannot_say("encoder", found, "add --policy FILE")
            return
        encoders.append(load_encoder(policy))
        column = f" {policy.columns.embedding}" if name == "column" else ""
        yield ok("encoder", f"{dataset}: {name}{column} can be used")

    yield from examined("encoder", encoder)
    if workspace is not None:
        opened = workspace
        known = encoders[0] if encoders else None
        yield from examined("reference", lambda: _reference(opened, policy, dataset, known))


def _reference(
    workspace: Workspace, policy: Policy, dataset: str, encoder: Encoder | None
) -> Iterator[Line]:
    """Which batches can be judged against the reference that the policy means."""
    from lazaretto.registry.references import find_reference, load_stored
    from lazaretto.screen import sizes_for

    name = policy.screen.reference or policy.dataset
    try:
        known = find_reference(workspace, name)
    except NotFoundError:
        todo = "make one: `lazaretto reference fit TRUSTED --policy FILE`"
        yield failure("reference", f"{dataset}: there is no reference {name!r}", todo)
        return
    reference: Reference = load_stored(workspace, known)
    if encoder is not None:
        reference.check_encoder(encoder.name, encoder.digest, encoder.weights)
    sizes = sizes_for(reference, policy)
    told = f"{dataset}: {known.name}/{known.version} of {reference.rows} rows"
    if sizes is None:
        todo = "set one detector to `mode: enforce`"
        yield warning("reference", f"{told}: no detector of the policy decides", todo)
    elif sizes.smallest is None:
        todo = "fit it on more rows, or raise screen.false_quarantine_rate"
        yield warning("reference", f"{told} can judge {sizes.words}", todo)
    else:
        yield ok("reference", f"{told} can judge {sizes.words}")
