"""``lazaretto reference``: the trusted sample that batches are judged against."""

from typing import Annotated

import typer

from lazaretto.cli.command import Needs, command
from lazaretto.cli.reply import Reply, facts, grid
from lazaretto.cli.session import Session
from lazaretto.errors import DeliveryError, UsageError

app = typer.Typer(
    no_args_is_help=True, help="Frozen, trusted samples that batches are judged against."
)


@command(app, "fit", needs=Needs.WORKSPACE | Needs.POLICY)
def fit(
    session: Session,
    trusted: Annotated[
        str,
        typer.Argument(
            help="The trusted records: path or URI of a Parquet, Arrow, CSV or JSON Lines file"
        ),
    ],
    *,
    name: Annotated[str | None, typer.Option(help="Name (default: the policy's reference)")] = None,
    version: Annotated[
        str | None, typer.Option(help="Version (default: one more than the newest)")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the splits and fits")] = 0,
    promote: Annotated[
        bool,
        typer.Option("--promote/--no-promote", help="Make it the version that the bare name means"),
    ] = True,
) -> Reply:
    """Fit detectors and calibration on trusted records, and freeze them under a new version."""
    from lazaretto.quarantine.references import save_reference
    from lazaretto.reference import Reference

    policy, workspace = session.policy, session.workspace
    wanted = name or policy.reference_name
    number = version or _next_version(session, wanted)
    try:
        with session.working("Fitting the reference"):
            reference = Reference.fit(trusted, policy, name=wanted, version=number, seed=seed)
            saved = save_reference(workspace, reference, promote=promote)
    except DeliveryError as error:  # not somebody's delivery: the user's own file
        raise UsageError(f"the trusted records cannot be used: {error}") from error
    data = {"uri": saved.uri, "promoted": saved.promoted, **reference.describe()}
    return Reply(data, facts(_shown(data)))


@command(app, "list")
def list_(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="Only versions of this reference")] = None,
) -> Reply:
    """List references, newest first."""
    from lazaretto.quarantine.references import list_references

    found = list_references(session.workspace, name)
    rows = [
        (r.name, r.version, "yes" if r.promoted else "", r.created_at, r.digest[:16]) for r in found
    ]
    return Reply(found, grid(["name", "version", "promoted", "made", "digest"], rows))


@command(app, "show")
def show(
    session: Session,
    name: Annotated[str, typer.Argument(help="NAME (its promoted version) or NAME/VERSION")],
) -> Reply:
    """Show what a reference was fitted on and with, and check its digest."""
    from lazaretto.quarantine.references import load_reference

    data = load_reference(session.workspace, name).describe()
    return Reply(data, facts(_shown(data)))


def _next_version(session: Session, name: str) -> str:
    from lazaretto.quarantine.references import list_references

    numbers = [r.version for r in list_references(session.workspace, name)]
    if not all(number.isdigit() for number in numbers):
        raise UsageError(f"versions of {name!r} are not numbers: name the next one with --version")
    return str(max((int(number) for number in numbers), default=0) + 1)


def _shown(data: dict[str, object]) -> dict[str, object]:
    return {key: _words(value) for key, value in data.items()}


def _words(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(inner)}".strip() for key, inner in value.items())
    return (", ".join(map(str, value)) or "none") if isinstance(value, list | tuple) else value
