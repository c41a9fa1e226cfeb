"""``lazaretto policy``: check a policy file, put it in force, see what is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lazaretto.cli.arguments import Reason
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Grid, facts, grid
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import NotFoundError, SystemFaultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.authority.policies import Registered
    from lazaretto.policy import Policy

app = typer.Typer(no_args_is_help=True, help="The rules by which a dataset's batches are judged.")

File = Annotated[Path, typer.Argument(help="The policy, a YAML file")]
NEXT = "validate, embed, screen and gate again what was judged before and is not admitted yet"


@command(app, "check")
def check(session: Session, file: File) -> Reply:
    """Check a policy: keys, values, encoder, detectors and their options, and its contract.

    Says whether it is the one in force for its dataset, and what it would change. Exit code 1 when
    another one is in force: until this one is registered, nothing is admitted by it.
    """
    from lazaretto.policy.effective import in_words, tells_sources_apart

    policy, contract = _load(file)
    data: dict[str, object] = {
        "path": str(file),
        "sha256": policy.sha256,
        "dataset": policy.dataset,
        "reference": policy.screen.reference or policy.dataset,
        "contract": contract,
        "detectors": {name: config.mode for name, config in policy.screen.detectors.items()},
        "false_quarantine_rate": policy.screen.false_quarantine_rate,
        "places": policy.sources.places,
        "sources": in_words(policy),
    }
    places = policy.sources.places or ["none: operators will refuse, a shell reads files here"]
    compared = _compared(session, policy)
    told = {"in force": compared.pop("told")}
    told |= {f"change {n}": text for n, text in enumerate(compared["changes"], start=1)}
    shown = data | {
        "places": ", ".join(places),
        "detectors": ", ".join(f"{k} ({v.mode})" for k, v in policy.screen.detectors.items()),
    }
    shown.pop("sources")
    if tells_sources_apart(policy):
        shown |= {f"sources {n}": text for n, text in enumerate(in_words(policy), start=1)}
    view = facts(shown | told, title="This policy is valid")
    return Reply(data | compared, view, found=bool(compared["changes"]))


@command(app, "register")
def register(session: Session, file: File, *, reason: Reason) -> Reply:
    """Put a policy in force for its dataset: from then on only its verdict admits.

    The first policy that the gate uses for a dataset is registered by that. Every later change of
    what it means, or of the contract that it names, takes this command; comments and layout are no
    change. Batches that were judged before and are not admitted yet wait for
    `batch rejudge`.
    """
    from lazaretto.authority.policies import differences, register_policy

    policy, _ = _load(file)
    now, before = register_policy(session.workspace, policy, reason=reason)
    changed = before is None or before.seq != now.seq
    changes = []
    if before is not None:
        changes = differences(before.event, policy, now.event.contract)
    data = _told(now) | {"changed": changed, "changes": changes}
    shown = _shown(now) | {f"change {n}": text for n, text in enumerate(changes, start=1)}
    if before is not None:
        shown["next"] = NEXT if changed else "nothing: it was in force already"
    return Reply(data, facts(shown, title=f"In force for {policy.dataset}"))


@command(app, "show")
def show(
    session: Session,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name of the dataset")],
) -> Reply:
    """Show the policy in force for a dataset: what it says, since when, by whom; and those before.

    Exit code 2 when none is.
    """
    import json

    from rich.console import Group

    from lazaretto.authority.policies import policy_history, policy_in_force

    with session.workspace.catalog.read() as connection:
        found = policy_in_force(connection, dataset)
        history = policy_history(connection, dataset)
    if found is None:
        raise NotFoundError(
            f"no policy is in force for dataset {dataset!r}: the first gate puts its own in force, "
            "or `lazaretto policy register FILE --reason TEXT`"
        )
    data = _told(found) | {
        "says": json.loads(found.event.says),
        "history": [_told(one) for one in history],
    }
    shown = facts(_shown(found), title=f"In force for {dataset}")
    return Reply(data, Group(shown, history_view(history)))


@command(app, "explore")
def explore(
    session: Session,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name of the dataset")],
    *,
    batches: Annotated[
        int, typer.Option(min=1, help="Look at the last so many batches that were judged for it")
    ] = 20,
) -> Reply:
    """Show what other rates would have held of the last batches, and what became of those records.

    Each batch is judged again by the rule of screening, with nothing changed but
    `screen.false_quarantine_rate`, from what its screening left on record. Nothing is written. Exit
    code 4 when no batch can be looked at.
    """
    from lazaretto.cli.explore_view import view
    from lazaretto.cli.progress import bars
    from lazaretto.stages.explore import explore_rates

    with bars() as tell:
        found = explore_rates(session.workspace, dataset, batches=batches, tell=tell)
    return Reply(found, view(found), cannot_say=not found.batches)


def history_view(history: "Sequence[Registered]") -> Grid:
    """The table of the policies that were in force for a dataset."""
    rows = [
        (one.seq, one.at, one.actor.id, one.meaning[:12], one.event.policy.path, one.event.reason)
        for one in reversed(history)
    ]
    columns = ["entry", "since", "by", "meaning", "file", "reason"]
    return grid(columns, rows, title="Newest first", text=["file", "reason"])


@command(app, "schema", needs=Needs.NOTHING)
def schema(_session: Session) -> Reply:
    """Print the JSON schema of policies (always JSON), for editors and CI."""
    import json

    from lazaretto.cli.layout import Document
    from lazaretto.policy import policy_schema

    document = policy_schema()
    return Reply(document, Document(json.dumps(document, indent=2), json=True))


def _load(file: Path) -> tuple["Policy", str | None]:
    """A policy that is complete, and the name of its contract."""
    from lazaretto.cli.policy_check import check_policy
    from lazaretto.contract import contract_of
    from lazaretto.policy import Policy

    policy = Policy.load(file)
    check_policy(policy)
    contract = contract_of(policy)
    return policy, None if contract is None else contract.name


def _compared(session: Session, policy: "Policy") -> dict[str, Any]:
    """Whether a policy is in force; None where there is no catalog to ask."""
    from lazaretto.authority.policies import differences, policy_in_force
    from lazaretto.contract import contract_digest

    contract = contract_digest(policy)
    try:
        with session.workspace.catalog.read() as connection:
            found = policy_in_force(connection, policy.dataset)
    except (SystemFaultError, NotFoundError) as error:  # unreachable, or not made yet
        return {"in_force": None, "changes": [], "told": f"cannot say: {error}"}
    if found is None:
        told = f"no policy is, for {policy.dataset}: the first use puts one in force"
        return {"in_force": False, "changes": [], "told": told}
    if found.meaning == policy.ref(contract).meaning:
        return {"in_force": True, "changes": [], "told": f"yes, since {found.at:%Y-%m-%d %H:%M}Z"}
    told = "no: `lazaretto policy register` puts it in force; until then it judges in shadow"
    changes = differences(found.event, policy, contract)
    return {"in_force": False, "changes": changes, "told": told}


def _told(one: "Registered") -> dict[str, object]:
    return {
        "dataset": one.dataset,
        "meaning": one.meaning,
        "sha256": one.event.policy.sha256,
        "path": one.event.policy.path,
        "contract": one.event.contract,
        "at": one.at,
        "by": one.actor.id,
        "reason": one.event.reason,
        "previous": one.event.previous,
        "seq": one.seq,
    }


def _shown(one: "Registered") -> dict[str, object]:
    names = ("meaning", "path", "by", "reason", "previous")
    told = _told(one)
    return {"since": one.at} | {name: told[name] for name in names if told[name] is not None}
