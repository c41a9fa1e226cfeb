"""``lazaretto model promote``, ``demote``, ``rollback``, ``examine``: which version is in use."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group

from lazaretto.cli.arguments import Reason, Registry, split_version
from lazaretto.cli.command import command
from lazaretto.cli.layout import Grid, facts, grid
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazaretto.models import Promoted
    from lazaretto.values import RefusedFor

Named = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The model version")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The model")]
AliasName = Annotated[str, typer.Option("--alias", help="The name by which applications find it")]
Mlflow = Annotated[
    str | None,
    typer.Option(metavar="URI", help="Set the alias on this MLflow server, too: http://HOST:PORT"),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    command(app, "examine")(examine)
    command(app, "promote")(promote)
    command(app, "demote")(demote)
    command(app, "rollback")(rollback)


def examine(
    session: Session,
    version: Named,
    *,
    alias: AliasName = "production",
    registry: Registry = None,
) -> Reply:
    """Tell what speaks against putting a model version in use; nothing is changed.

    Exit code 1 when something speaks against it.
    """
    from lazaretto.models import examine as look

    model, number = split_version(version)
    with session.working("Asking open incidents"):
        found = look(session.workspace, model, number, alias, registry=registry)
    shown = {
        "model": version,
        "alias": alias,
        "may be promoted": "yes" if found.clean else "NO",
        "stands for now": _version(model, found.in_use.version if found.in_use else None),
        "policies": ", ".join(found.basis.policies) or "none: the defaults count",
        "evaluations": ", ".join(map(str, found.basis.evaluations)) or "none",
        "allowed all the same": "; ".join(found.basis.notes) or "nothing",
    }
    against = [reasons_view(found.reasons)] if found.reasons else []
    return Reply(found, Group(facts(shown), *against), found=not found.clean)


def promote(
    session: Session,
    version: Named,
    *,
    alias: AliasName = "production",
    registry: Registry = None,
    reason: Reason = "",
    mlflow: Mlflow = None,
) -> Reply:
    """Put a model version in use, unless something speaks against it.

    Refused is a version that an open incident is about, that learned from recalled records, whose
    origin nobody knows, that is on hold, or that lacks what the policy's `model` section asks for.
    Exit code 1 when it is refused; `lazaretto model examine` has the reasons as a table.
    """
    from lazaretto.models import promote as move

    model, number = split_version(version)
    with session.working("Asking open incidents"):
        done = move(
            session.workspace,
            model,
            number,
            alias=alias,
            registry=registry,
            reason=reason,
            mlflow=mlflow,
        )
    return Reply(done, facts(_shown(done)))


def demote(
    session: Session,
    name: Name,
    *,
    alias: AliasName = "production",
    registry: Registry = None,
    reason: Reason,
    mlflow: Mlflow = None,
) -> Reply:
    """Take the name away from the version that it stands for."""
    from lazaretto.models import demote as take

    done = take(
        session.workspace, name, alias=alias, registry=registry, reason=reason, mlflow=mlflow
    )
    return Reply(done, facts(_shown(done)))


def rollback(
    session: Session,
    name: Name,
    *,
    alias: AliasName = "production",
    registry: Registry = None,
    reason: Reason = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only name the version; nothing is moved")
    ] = False,
    mlflow: Mlflow = None,
) -> Reply:
    """Go back to the last version that nothing speaks against.

    Versions that the name stood for come first, the last one first. Exit code 1 with `--dry-run`
    when no version before is clean.
    """
    from lazaretto.models import last_clean
    from lazaretto.models import rollback as go_back

    if not dry_run:
        if not reason.strip():
            raise UsageError("say why with --reason, or only name the version with --dry-run")
        with session.working("Looking at older versions"):
            done = go_back(
                session.workspace,
                name,
                alias=alias,
                registry=registry,
                reason=reason,
                mlflow=mlflow,
            )
        return Reply(done, Group(facts(_shown(done)), *skipped_view(name, done.skipped)))
    with session.working("Looking at older versions"):
        found, skipped = last_clean(session.workspace, name, alias=alias, registry=registry)
    version = None if found is None else found.version
    data = {"model": name, "alias": alias, "last_clean": version, "skipped": skipped}
    shown = {"alias": alias, "last clean version": _version(name, version)}
    return Reply(data, Group(facts(shown), *skipped_view(name, skipped)), found=version is None)


def reasons_view(reasons: "Sequence[RefusedFor]") -> Grid:
    """The table of what speaks against a version."""
    rows = [(one.code, one.text) for one in reasons]
    return grid(["reason", "in words"], rows, text=["in words"], title="Against it")


def skipped_view(name: str, skipped: "Mapping[str, Sequence[str]]") -> list[Grid]:
    """The table of newer versions that may not be in use; no table where there are none."""
    rows = [(f"{name}@{version}", "; ".join(why)) for version, why in skipped.items()]
    return [grid(["version", "why not"], rows, text=["why not"], title="Skipped")] if rows else []


def _shown(done: "Promoted") -> dict[str, object]:
    return {
        "alias": done.alias,
        "stands for": _version(done.model, done.version),
        "before": _version(done.model, done.previous),
        "changed": "yes" if done.changed else "no, it was so already",
        "ledger entry": done.seq,
        **({"allowed all the same": "; ".join(done.notes)} if done.notes else {}),
    }


def _version(model: str, version: str | None) -> str:
    return "no version" if version is None else f"{model}@{version}"
