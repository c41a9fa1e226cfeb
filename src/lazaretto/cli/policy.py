"""``lazaretto policy``: check a file, try it, put it in force, see what is. Long: all commands."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lazaretto.cli.arguments import Reason, parse_moment
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
    """Check a policy: what a run would load is loaded, and fails where the run would.

    That is keys and values, detectors and their options, the contract, the encoder with its model,
    places, and, where there is a catalog, the reference that is stored. `policy explain` says what
    the policy does.

    Says whether it is the one in force for its dataset, and what it would change. Exit code 1 when
    another one is in force: until this one is registered, nothing is admitted by it. Exit code 4
    when screening is not installed, so that nobody can say whether the reference fits.
    """
    from lazaretto.policy.effective import in_words, tells_sources_apart

    policy, contract = _load(file)
    detectors: dict[str, str] = {}
    if policy.screen.runs:
        detectors = {name: config.mode for name, config in policy.screen.detectors.items()}
    data: dict[str, object] = {
        "path": str(file),
        "sha256": policy.sha256,
        "dataset": policy.dataset,
        "reference": (policy.screen.reference or policy.dataset) if policy.screen.runs else None,
        "contract": contract,
        "detectors": detectors,
        "false_quarantine_rate": policy.screen.false_quarantine_rate,
        "places": policy.sources.places,
        "sources": in_words(policy),
    }
    places = policy.sources.places or ["none: operators will refuse, a shell reads files here"]
    compared = _compared(session, policy)
    missing = None
    if compared["in_force"] is not None:
        from lazaretto.stages.check_policy import check_reference

        missing = check_reference(session.workspace, policy)
    known = compared["in_force"] is not None
    data["runs"] = (missing is None) if known else None
    told = {"in force": compared.pop("told")}
    if missing is not None:
        told["runs"] = missing
    told |= {f"change {n}": text for n, text in enumerate(compared["changes"], start=1)}
    shown = {name: value for name, value in data.items() if name != "runs"} | {
        "places": ", ".join(places),
        "detectors": ", ".join(f"{k} ({v})" for k, v in detectors.items())
        or "none: screen.mode is off",
    }
    shown.pop("sources")
    if tells_sources_apart(policy):
        shown |= {f"sources {n}": text for n, text in enumerate(in_words(policy), start=1)}
    view = facts(shown | told, title="This policy is valid")
    found = bool(compared["changes"])
    # That no reference is fitted yet is no doubt about the policy: it is said, and that is all.
    unsure = missing is not None and not missing.startswith("not yet")
    return Reply(data | compared, view, found=found, cannot_say=unsure)


@command(app, "explain", needs=Needs.NOTHING)
def explain(_session: Session, file: File) -> Reply:
    """Say what a policy does, in words: what is refused, what is held, and what becomes of it."""
    from lazaretto.cli.policy_words import effects

    policy, _ = _load(file)
    found = effects(policy)
    shown = {str(number): text for number, text in enumerate(found, start=1)}
    view = facts(shown, title=f"Under {file}")
    return Reply({"path": str(file), "dataset": policy.dataset, "effects": found}, view)


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
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="Name of the dataset; with --merged, a file")
    ],
    *,
    merged: Annotated[
        bool, typer.Option("--merged", help="Show a policy file with all that its bases say")
    ] = False,
) -> Reply:
    """Show the policy in force for a dataset: what it says, since when, by whom; and those before.

    What is on record of a policy that extends a base is both together. With --merged, show that of
    a file, and from which file and line each key is. Exit code 2 when none is in force.
    """
    import json

    if merged:
        from lazaretto.cli.policy_merged import merged as merged_reply

        return merged_reply(Path(dataset))

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


@command(app, "replay")
def replay(
    session: Session,
    candidate: Annotated[Path, typer.Argument(help="The policy to try, a YAML file")],
    *,
    since: Annotated[
        datetime,
        typer.Option(
            parser=parse_moment,
            metavar="TIME",
            help="Batches that were received from this moment on: 2026-03-01 (UTC), '3 days ago'",
        ),
    ],
    dataset: Annotated[
        str | None, typer.Option(help="Whose batches (default: the candidate's dataset)")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="NAME/VERSION", help="Screen against this reference instead"),
    ] = None,
    contract: Annotated[
        str | None, typer.Option(metavar="FILE:MODEL", help="Validate by this contract instead")
    ] = None,
) -> Reply:
    """Judge past batches again under another policy, and compare with what was held and decided.

    What is kept of each delivery goes the whole way again in a trial workspace, in the order in
    which it came. Nothing is written: no ledger entry, no case, no file that stays. Says for each
    batch which records would be held and were not, which would be released, and which of those
    reviewers had rejected. Batches whose copy is gone or changed are named.

    Exit code 1 when anything would be different, 4 when nothing would be and a batch, or all of
    them, could not be compared.
    """
    from lazaretto.cli.progress import bars
    from lazaretto.cli.replay_view import view
    from lazaretto.stages.policy_replay import replay_policy

    policy, _ = _load(candidate, reference=reference, contract=contract)
    with bars() as tell:
        found = replay_policy(session.workspace, policy, dataset=dataset, since=since, tell=tell)
    cannot_say = not found.batches or bool(found.left_out)
    return Reply(found, view(found), found=not found.same, cannot_say=cannot_say)


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


def _load(
    file: Path, *, reference: str | None = None, contract: str | None = None
) -> tuple["Policy", str | None]:
    """A policy that is complete, and the name of its contract.

    Args:
        file: the policy.
        reference: takes the place of the reference that it names.
        contract: takes the place of the contract that it names.
    """
    from lazaretto.contract import contract_of
    from lazaretto.policy import Policy
    from lazaretto.stages.check_policy import check_policy

    policy = Policy.load(file)
    if reference is not None:
        screen = policy.screen.model_copy(update={"reference": reference})
        policy = policy.model_copy(update={"screen": screen})
    if contract is not None:
        policy = policy.model_copy(update={"contract": contract})
    check_policy(policy)
    loaded = contract_of(policy)
    return policy, None if loaded is None else loaded.name


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
