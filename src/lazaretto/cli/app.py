"""The application: all nouns together."""

from typing import Annotated

import typer

from lazaretto.cli import (
    batch,
    catalog,
    dataset,
    demo,
    init,
    ledger,
    lineage,
    manifest,
    model,
    policy,
    quarantine,
    reference,
    source,
    trace,
)

app = typer.Typer(
    name="lazaretto",
    no_args_is_help=True,
    # Tracebacks with local variables would print keys and passwords; `command` explains errors.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Keep poisoned data out of machine-learning models: authenticate, screen, quarantine and "
    "trace what models learn from.",
    epilog="Exit codes: 0 done; 1 done, and something was found, held or refused; 2 your mistake; "
    "3 the system's fault; 4 cannot say.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lazaretto {version('lazaretto')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version"),
    ] = False,
) -> None:
    pass


for _noun, _app in (
    ("source", source.app),
    ("manifest", manifest.app),
    ("policy", policy.app),
    ("reference", reference.app),
    ("batch", batch.app),
    ("quarantine", quarantine.app),
    ("dataset", dataset.app),
    ("model", model.app),
    ("trace", trace.app),
    ("lineage", lineage.app),
    ("ledger", ledger.app),
    ("catalog", catalog.app),
):
    app.add_typer(_app, name=_noun)
init.register(app)
demo.register(app)
