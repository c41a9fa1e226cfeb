"""``lazaretto drill``: known attacks on a copy of a batch, judged by the real gate in isolation."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group

from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Grid, facts, grid
from lazaretto.cli.progress import bars
from lazaretto.cli.reply import Reply, print_note
from lazaretto.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.drill import Drill, DrillCost, PastDrill
    from lazaretto.values import DrilledAttack

app = typer.Typer(
    no_args_is_help=True, help="Attacks that are tried on the gate, and leave nothing behind."
)


@command(app, "run", needs=Needs.WORKSPACE | Needs.POLICY)
def run(
    session: Session,
    *,
    batch: Annotated[
        str | None,
        typer.Option(
            help="The batch to copy (default: the newest that was admitted and is large enough)"
        ),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="Name of an attack; may be given several times (default: all)"),
    ] = None,
    dose: Annotated[
        list[float] | None,
        typer.Option(
            help="Share of the copy to poison; may be given several times (default: 0.02, 0.05, "
            "0.1, 0.2)"
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, max=100, help="How often each dose is drawn; a mean is told")
    ] = 5,
    seconds: Annotated[
        float,
        typer.Option(help="After so many seconds no further round of draws begins"),
    ] = 1800,
    caught_at: Annotated[
        float,
        typer.Option(help="Share of the poison from which on an attack counts as caught"),
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="Of the attacks")] = 0,
) -> Reply:
    """Poison copies of recent batches, and tell what the gate catches.

    The gate of the policy judges each copy in a workspace of its own, which is removed. Dataset,
    verdicts, sources and names of models stay what they are; only the report goes on record. Each
    dose is drawn several times, on copies of several batches of a source, unless --batch names one:
    what is told is the mean, and an interval for it. How long it takes is said before it begins.
    Exit code 1 when an attack is caught at no dose.
    """
    from lazaretto.drill import run_drill
    from lazaretto.drill.run import DOSES

    with bars() as progress:
        found = run_drill(
            session.workspace,
            session.policy,
            batch=batch,
            attacks=attack or (),
            doses=dose or DOSES,
            draws=draws,
            seconds=seconds,
            seed=seed,
            caught_at=caught_at,
            cost=_say_cost,
            tell=progress,
        )
    return Reply(found, Group(facts(_shown(found)), attacks_view(found)), found=bool(found.missed))


@command(app, "list")
def list_(
    session: Session,
    dataset: Annotated[str, typer.Argument(help="Whose gate was tried")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many")] = 30,
) -> Reply:
    """List drills, newest first: the smallest dose at which each attack was caught."""
    from lazaretto.drill import past_drills

    found = past_drills(session.workspace, dataset, limit=limit)
    return Reply(found, past_view(found))


def attacks_view(drill: "Drill") -> Grid:
    """The table of attacks: what share of each dose was held."""
    doses = sorted({dose for one in drill.attacks for dose in one.doses})
    rows = []
    for one in drill.attacks:
        cells = dict(zip(one.doses, map(_share, one.recall, one.low, one.high), strict=True))
        shares = [cells.get(dose, "") for dose in doses]
        rows.append((one.name, *shares, caught(one)))
    columns = ["attack", *(f"held of {dose:.0%}" for dose in doses), "caught from"]
    return grid(columns, rows, text=["caught from"], title="Attacks")


def _share(mean: float, low: float, high: float) -> str:
    """The mean over the draws, and the interval for it."""
    return f"{mean:.0%} ({100 * low:.0f} to {100 * high:.0f})"


def past_view(drills: "Sequence[PastDrill]") -> Grid:
    """The table of drills, newest first."""
    rows = [
        (
            one.at,
            one.event.of_batch,
            ", ".join(f"{each.name} {caught(each)}" for each in one.event.attacks),
            one.seq,
        )
        for one in drills
    ]
    return grid(["at", "copy of", "caught from", "entry"], rows, text=["copy of", "caught from"])


def caught(one: "DrilledAttack") -> str:
    """From which dose on an attack is caught."""
    if one.why_not:
        return f"not tried: {one.why_not}"
    return "no dose" if one.smallest is None else f"{one.smallest:.0%}"


def _say_cost(cost: "DrillCost") -> None:
    """Says on stderr what a drill will cost, before it begins."""
    limit = "" if cost.limit is None else f"; after {cost.limit:,.0f} seconds no draw begins"
    print_note(f"{cost.copies} copies are judged, about {cost.seconds:,.0f} seconds{limit}")


def _shown(drill: "Drill") -> dict[str, object]:
    return {
        "dataset": drill.dataset,
        "copies of": ", ".join([drill.batch, *drill.also]),
        "draws of each dose": max((max(one.draws, default=0) for one in drill.attacks), default=0),
        "records": drill.rows,
        "held without an attack": drill.clean_held,
        "caught means": f"at least {drill.caught_at:.0%} of the poison is held",
        "caught at no dose": ", ".join(drill.missed) or "none",
        "ledger entry": drill.seq,
    }
