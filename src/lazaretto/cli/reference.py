"""``lazaretto reference``: the trusted sample that batches are judged against."""

from typing import TYPE_CHECKING, Annotated

import typer

from lazaretto.cli.arguments import Yes, confirm
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Grid, facts, grid
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import DeliveryError, NotFoundError, UsageError
from lazaretto.values import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.registry.changes import Change
    from lazaretto.registry.stored import StoredReference
    from lazaretto.stats.sizes import JudgeableSizes

app = typer.Typer(
    no_args_is_help=True, help="Frozen, trusted samples that batches are judged against."
)

Candidate = Annotated[str, typer.Argument(metavar="NAME/VERSION", help="The version to try")]
Last = Annotated[int, typer.Option(min=1, help="Number of batches to compare on, the newest")]


@command(app, "fit", needs=Needs.WORKSPACE | Needs.POLICY)
def fit(
    session: Session,
    trusted: Annotated[
        str,
        typer.Argument(
            help="The trusted records: path, or URI in a bucket, of a Parquet, Arrow, CSV or JSON "
            "Lines file, or of images as a tar archive or a folder"
        ),
    ],
    *,
    name: Annotated[
        str | None, typer.Option(help="Name of the reference (default: the policy's)")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Version (default: one more than the newest)")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the splits and fits")] = 0,
    promote: Annotated[
        bool | None,
        typer.Option(
            "--promote/--no-promote",
            help="Put it in use at once (default: yes for the first version of a name; a later one "
            "waits for `promote`)",
        ),
    ] = None,
) -> Reply:
    """Fit detectors and calibration on trusted records, and freeze them under a new version.

    The first version of a name is put in use. A later one changes nothing until somebody compared
    it with the one in use and promotes it.
    """
    from lazaretto.registry.fit_version import fit_version
    from lazaretto.screen import power_told, sizes_for

    try:
        with session.working("Fitting the reference") as progress:
            saved, reference = fit_version(
                session.workspace_made,
                trusted,
                session.policy,
                name=name,
                version=version,
                seed=seed,
                promote=promote,
                progress=progress,
            )
    except DeliveryError as error:  # not somebody's delivery: the user's own file
        raise UsageError(f"the trusted records cannot be used: {error}") from error
    sizes = sizes_for(reference, session.policy)
    data = {
        "uri": session.workspace.store.uri(saved.folder),
        "promoted": saved.promoted,
        **reference.describe(),
        "can_judge": None if sizes is None else to_json(sizes),
    }
    shown = _shown(data) | {"can_judge": _judged(sizes)}
    shown["finds"] = ". ".join(power_told(reference)) or "-"
    if not saved.promoted:
        shown["next"] = f"lazaretto reference promote {saved.name}/{saved.version}"
    return Reply(data, facts(shown))


@command(app, "compare", needs=Needs.WORKSPACE | Needs.POLICY)
def compare(session: Session, candidate: Candidate, *, last: Last = 10) -> Reply:
    """Show what a version would change on the last batches, beside the one in use.

    Nothing is written. Exit code 1 when anything would change.
    """
    from lazaretto.cli.reference_view import changes_view, describe_changes

    old, new = _both(session, candidate)
    if old is None or old.version == new.version:
        raise UsageError(f"{new.name}/{new.version} is in use, or the only one: nothing to compare")
    changes = _changes(session, old, new, last)
    data = describe_changes(old, new, changes)
    differs = bool(data["verdicts"] or data["no_longer_held"] or data["newly_held"])
    return Reply(data, changes_view(data), found=differs)


@command(app, "promote", needs=Needs.WORKSPACE | Needs.POLICY)
def promote(session: Session, candidate: Candidate, *, last: Last = 10, yes: Yes = False) -> Reply:
    """Put a version in use, after showing what it changes on the last batches.

    Promoting the old version again takes it back. What is in quarantine or admitted stays as it is.
    """
    from lazaretto.cli.reference_view import changes_view, describe_changes, in_words
    from lazaretto.registry.changes import summed
    from lazaretto.registry.references import promote_reference

    old, new = _both(session, candidate)
    if old is not None and old.version == new.version:
        return Reply(to_json(new), facts({"in use": f"{new.name}/{new.version}", "changed": "-"}))
    changes = [] if old is None else _changes(session, old, new, last)
    data = describe_changes(old, new, changes)
    confirm(f"{in_words(data)} Put {new.name}/{new.version} in use?", yes=yes)
    promote_reference(session.workspace, new.name, new.version, change=summed(changes))
    return Reply(data | {"promoted": True}, changes_view(data, promoted=True))


@command(app, "list")
def list_(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="Only versions of this reference")] = None,
) -> Reply:
    """List references, newest first."""
    from lazaretto.registry.references import list_references

    found = list_references(session.workspace, name)
    return Reply(found, list_view(found))


def list_view(found: "Sequence[StoredReference]") -> Grid:
    """The table of some references."""
    rows = [
        (r.name, r.version, "yes" if r.promoted else "", r.created_at, r.digest[:16]) for r in found
    ]
    return grid(["name", "version", "promoted", "made", "digest"], rows)


@command(app, "show")
def show(
    session: Session,
    name: Annotated[str, typer.Argument(help="NAME (its promoted version) or NAME/VERSION")],
) -> Reply:
    """Show what a reference was fitted on and with, and check its digest."""
    from lazaretto.registry.references import load_reference

    data = load_reference(session.workspace, name).describe()
    return Reply(data, facts(_shown(data)))


def _both(session: Session, candidate: str) -> "tuple[StoredReference | None, StoredReference]":
    """The version in use, where there is one, and the candidate."""
    from lazaretto.registry.references import find_reference

    name, slash, version = candidate.partition("/")
    if not (slash and version):
        raise UsageError(f"name the version, such as {name}/2: see `lazaretto reference list`")
    new = find_reference(session.workspace, candidate)
    try:
        return find_reference(session.workspace, name), new
    except NotFoundError:
        return None, new


def _changes(
    session: Session, old: "StoredReference", new: "StoredReference", last: int
) -> "list[Change]":
    from lazaretto.registry.changes import compare_versions

    with session.working("Screening the last batches against it"):
        return compare_versions(session.workspace, old, new, session.policy, last=last)


def _judged(sizes: "JudgeableSizes | None") -> str:
    return "any batch, and no detector decides: all only watch" if sizes is None else sizes.words


def _shown(data: dict[str, object]) -> dict[str, object]:
    # What was predicted is told in words.
    return {key: _words(value) for key, value in data.items() if key != "power"}


def _words(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(inner)}".strip() for key, inner in value.items())
    return (", ".join(map(str, value)) or "none") if isinstance(value, list | tuple) else value
