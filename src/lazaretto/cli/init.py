"""``lazaretto init``: a policy, a contract and a DAG to start from."""

import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from lazaretto.cli.arguments import write_new_file
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import facts
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
DROP = "drop"
"""Folder for deliveries; the policy's template names it as a place."""


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    command(app, "init", needs=Needs.NOTHING)(init)


def init(
    _session: Session,
    directory: Annotated[Path, typer.Argument(help="Folder to write to; made when missing")],
    dataset: Annotated[
        str, typer.Option(help="Name of the dataset: lower-case letters, digits, _")
    ] = "reviews",
) -> Reply:
    """Write a policy, a contract and a DAG to start from. Existing files are never overwritten.

    The policy takes deliveries from `drop/`, where each source gets a folder of its name.
    """
    if not _NAME.fullmatch(dataset):
        raise UsageError(
            f"{dataset!r} cannot name a dataset and its Python file: use a-z, 0-9 and _"
        )
    files = scaffold(dataset)
    taken = [path for path in files if (directory / path).exists()]
    if taken:
        raise UsageError(f"{str(directory / taken[0])!r} exists already; nothing was written")
    drop = directory / DROP
    for folder in (drop, *((directory / path).parent for path in files)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from error
    for path, content in files.items():
        write_new_file(directory / path, content)
    policy, contract, dag = (str(directory / path) for path in files)
    data = {"policy": policy, "contract": contract, "dag": dag, "drop": str(drop)}
    shown = data | {
        "next": f"edit the contract, then: lazaretto policy check {policy}",
    }
    return Reply(data, facts(shown))


def scaffold(dataset: str) -> dict[str, bytes]:
    """The files of a new project by relative path; the DAG is the example DAG, word for word."""
    templates = resources.files("lazaretto.cli") / "templates"
    fill = {"dataset": dataset}
    dag = resources.files("lazaretto.demo.dags") / "lazaretto_ingest.py"
    return {
        f"policies/{dataset}.yaml": _fill(templates / "policy.yaml", fill),
        f"contracts/{dataset}.py": _fill(templates / "contract.py", fill),
        "dags/lazaretto_ingest.py": dag.read_bytes(),
    }


def _fill(template: resources.abc.Traversable, values: dict[str, str]) -> bytes:
    return Template(template.read_text("utf-8")).substitute(values).encode()
