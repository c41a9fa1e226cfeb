"""``lazaretto init``: policy, contract and DAG for a dataset; of a sample. Long: it asks, too."""

import re
import shlex
import shutil
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lazaretto.cli.arguments import write_new_file
from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import facts
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.cli.text import plain
from lazaretto.errors import DeliveryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazaretto.batch import Batch
    from lazaretto.proposal import Proposal, Sample, Wishes

_SOURCE = "vendor"
_NONE = "-"
"""What somebody answers where there is no such column."""


class Form(StrEnum):
    """How a contract is written."""

    PYTHON = "python"
    YAML = "yaml"


@dataclass(frozen=True)
class Told:
    """What somebody says of the sample; what is not said is proposed."""

    sample: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SAMPLE",
            show_default=False,
            help="Look at a CSV, Parquet, Arrow or JSON Lines file, or a folder of images, and "
            "propose what fits",
        ),
    ] = None
    dataset: Annotated[
        str | None,
        typer.Option(
            show_default=False, help="Name of the dataset (default: the sample's, else reviews)"
        ),
    ] = None
    record_id: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="COLUMN", show_default=False, help="Column of ids; '' for none"
        ),
    ] = None
    label: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", show_default=False, help="Column of labels; '' for none"),
    ] = None
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="COLUMN",
            show_default=False,
            help="A column to encode, instead of those proposed; once for each",
        ),
    ] = None
    source: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False, help="Who delivers (default: vendor)"),
    ] = None
    signed: Annotated[
        bool | None,
        typer.Option(
            "--signed/--unsigned",
            show_default=False,
            help="Whether deliveries must be signed (default: yes; with a sample: no)",
        ),
    ] = None
    contract: Annotated[
        Form,
        typer.Option(
            help="How the contract is written: as a pandera model, or as rules in YAML, for which "
            "nobody needs Python (with --from)",
        ),
    ] = Form.PYTHON
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Take what is proposed, and ask nothing")
    ] = False


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    command(app, "init", needs=Needs.NOTHING)(init)


def init(
    _session: Session,
    directory: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of the project; made when missing")
    ] = Path(),
    *,
    told: Told,
) -> Reply:
    """Write a policy, a contract and a DAG for a dataset. Existing files are never overwritten.

    With a sample, its columns are looked at: which one is the id, which the label, what is encoded
    and how. On a terminal it asks where a person decides; `--yes` takes the proposals. A project
    has any number of datasets: call it again with another name.

    The policy takes deliveries from `drop/`, where each source gets a folder of its name.
    """
    if told.sample is not None:
        return _from_sample(directory, told, told.sample)
    from lazaretto.proposal.gate import WITHOUT_SAMPLE

    if told.record_id is not None or told.label is not None or told.inputs:
        raise UsageError("--id, --label and --input name columns of a sample: add --from SAMPLE")
    if told.contract is Form.YAML:
        raise UsageError("rules in YAML are proposed from a sample: add --from SAMPLE")
    gate = replace(WITHOUT_SAMPLE, signed=told.signed is not False)
    written = _write(directory, gate, told.dataset or "reviews", told.source or "")
    check = f"lazaretto policy check {shlex.quote(written['policy'])}"
    return Reply(written, facts(written | {"next": f"edit the contract, then: {check}"}))


def _from_sample(directory: Path, told: Told, sample: str) -> Reply:
    from lazaretto.batch import open_batch
    from lazaretto.proposal import examine, propose

    try:
        opened = open_batch(sample)
        seen = examine(opened)
    except DeliveryError as error:  # not somebody's delivery: the user's own file
        raise UsageError(f"the sample cannot be used: {error}") from error
    told, wishes = _decided(seen, told, sample)
    gate = propose(seen, wishes, signed=told.signed is True)
    source = told.source or _SOURCE
    rules = _rules(opened, wishes) if told.contract is Form.YAML else None
    written = _write(directory, gate, str(told.dataset), source, rules)
    tried = _copied(sample, Path(written["drop"]) / source)
    commands = _commands(sample, tried, source, written["policy"], signed=gate.signed)
    data = written | {
        "dataset": told.dataset,
        "source": source,
        "rows": seen.rows,
        "proposal": asdict(gate),
        "next": commands,
    }
    return Reply(data, facts(_shown(written, gate, commands)))


def _rules(sample: "Batch", wishes: "Wishes") -> str:
    """A contract in YAML that the sample keeps, with what to check by hand."""
    from lazaretto.proposal.contract import contract_text, propose_contract

    return contract_text(propose_contract(sample, wishes))


def _decided(seen: "Sample", told: Told, sample: str) -> "tuple[Told, Wishes]":
    """What a person decides: said by options, asked for on a terminal, or left to the proposal."""
    from lazaretto.names import check_dataset_name
    from lazaretto.proposal import Wishes
    from lazaretto.proposal.propose import propose_id, propose_label

    dataset, wish_id, wish_label = told.dataset, told.record_id, told.label
    source, signed = told.source, told.signed
    proposed = _name_of(sample)
    if not told.yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "there is no terminal to ask on: add --yes to take what is proposed, and --dataset,"
                " --id or --label where you know better"
            )
        columns = [one.path for one in seen.columns]
        typer.echo(plain(f"{seen.rows} records with {', '.join(columns)}"), err=True)
        dataset = dataset or _ask("Name of the dataset", proposed)
        if wish_id is None:
            wish_id = _ask_column("Column that names a record", propose_id(seen), columns)
        if wish_label is None:
            label = propose_label(seen, wish_id or None)
            wish_label = _ask_column("Column of the label", label, columns)
        source = source or _ask("Who delivers", _SOURCE)
        if signed is None:
            signed = typer.confirm("Must deliveries be signed?", default=False, err=True)
    decided = replace(
        told, dataset=check_dataset_name(dataset or proposed), source=source, signed=signed
    )
    inputs = tuple(told.inputs) if told.inputs else None
    return decided, Wishes(wish_id, wish_label, inputs)


def _ask(question: str, proposed: str) -> str:
    return str(typer.prompt(question, default=proposed, err=True))


def _ask_column(question: str, proposed: str | None, columns: "Iterable[str]") -> str:
    """A column of the sample; empty for none."""
    shown = plain(proposed) if proposed is not None else _NONE
    while True:
        answer = _ask(f"{question} ({_NONE} for none)", shown)
        if answer == shown:
            return proposed or ""
        if answer in columns:
            return answer
        if answer == _NONE:
            return ""
        typer.echo(plain(f"the sample has no column {answer!r}"), err=True)


def _name_of(sample: str) -> str:
    """A name for the dataset, of the sample's: `Customer List (2).csv` is customer_list_2."""
    stem = Path(sample.rstrip("/")).name.partition(".")[0]
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:64]
    return name if name and name[0].isalpha() else f"data_{name}".rstrip("_")


def _write(
    directory: Path, gate: "Proposal", dataset: str, source: str, rules: str | None = None
) -> dict[str, str]:
    """Writes a dataset's files, or none; where they are.

    Raises:
        UsageError: one of them exists, or cannot be written.
    """
    from lazaretto.names import check_dataset_name
    from lazaretto.proposal import project_files
    from lazaretto.proposal.files import DROP

    files = project_files(gate, check_dataset_name(dataset), rules=rules)
    taken = [path for path in files if (directory / path).exists()]
    if taken:
        raise UsageError(
            f"{str(directory / taken[0])!r} exists already; nothing was written. Another dataset "
            "needs another --dataset"
        )
    drop = directory / DROP
    for folder in (drop / _folder_of(source), *((directory / path).parent for path in files)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from error
    for path, content in files.items():
        write_new_file(directory / path, content)
    policy, contract, dag = (str(directory / path) for path in files)
    return {"policy": policy, "contract": contract, "dag": dag, "drop": str(drop)}


def _folder_of(source: str) -> str:
    """Name of a source's folder.

    Raises:
        UsageError: no source can have this name.
    """
    if source and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", source):
        raise UsageError(f"{plain(source)!r} cannot name a source: use letters, digits, _, . and -")
    return source


def _copied(sample: str, drop: Path) -> Path:
    """A copy of the sample where its source delivers: what the gate is tried with first.

    Raises:
        UsageError: it cannot be copied.
    """
    from lazaretto.addresses import local_path

    name = local_path(sample)
    if name is None:
        return drop / Path(sample).name
    path = Path(name).expanduser()
    target = drop / path.resolve().name
    try:
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        elif not target.exists():
            shutil.copyfile(path, target)
    except OSError as error:
        raise UsageError(f"cannot copy the sample to {str(target)!r}: {error}") from error
    return target


def _commands(sample: str, tried: Path, source: str, policy: str, *, signed: bool) -> list[str]:
    """What to do next, to be pasted into a shell."""
    file, delivery, key = shlex.quote(sample), shlex.quote(str(tried)), shlex.quote(source)
    told = f"--policy {shlex.quote(policy)}"
    fit = f"lazaretto reference fit {file} {told}"
    ingest = f"lazaretto batch ingest {delivery} --source {key} {told}"
    today = datetime.now(UTC).date()
    if not signed:
        return [f"lazaretto source add {key}", fit, ingest]
    return [
        f"lazaretto source keygen {key}",
        f"lazaretto source add {key} --key {key}.pub",
        fit,
        f"lazaretto manifest sign {delivery} --source {key} --key {key}.key "
        f"--collected-from {today - timedelta(days=1)} --collected-to {today}",
        ingest,
    ]


def _shown(written: dict[str, str], gate: "Proposal", commands: list[str]) -> dict[str, object]:
    shown: dict[str, object] = {
        **written,
        "id": gate.record_id or "none: made of content and position",
        "label": gate.label or "none",
        "encoder": f"{gate.encoder}, of {gate.embedding or ', '.join(gate.inputs)}",
        "signatures": "required" if gate.signed else "not required: see sources in the policy",
    }
    if gate.left_out:
        words = (f"{name} ({reason})" for name, reason in gate.left_out.items())
        shown["not encoded"] = "; ".join(words)
    shown |= {f"note {n}": note for n, note in enumerate(gate.notes, start=1)}
    shown["try it"] = "the sample is the reference, and the first delivery; take yours instead"
    return shown | {f"next {n}": line for n, line in enumerate(commands, start=1)}
