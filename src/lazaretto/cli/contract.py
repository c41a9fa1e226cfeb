"""``lazaretto contract``: propose a contract from a sample, try a contract on one."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType

from lazaretto.cli.command import Needs, command
from lazaretto.cli.layout import Document, facts, grid
from lazaretto.cli.reply import Reply
from lazaretto.cli.session import Session
from lazaretto.errors import DeliveryError, UsageError

if TYPE_CHECKING:
    from lazaretto.batch import Batch, Wanted
    from lazaretto.contract import Contract, ContractReport
    from lazaretto.policy import Policy

app = typer.Typer(no_args_is_help=True, help="The rules that every record must meet.")

_EXAMPLES = 20


@command(app, "infer", needs=Needs.NOTHING)
def infer(
    session: Session,
    sample: Annotated[str, typer.Argument(help="Data like a delivery: a file or folder")],
    *,
    policy: Annotated[
        Path | None, typer.Option(help="Policy that says how text is written: its section `read`")
    ] = None,
) -> Reply:
    """Propose a first contract from a sample, in YAML, and say what to check by hand.

    The sample keeps every rule of it. Write it to a file, edit it, and name it in the policy:
    contract: {rules: FILE}.
    """
    from lazaretto.policy import Policy
    from lazaretto.proposal.contract import contract_text, propose_contract

    _ = session
    wanted = None if policy is None else _wanted(Policy.load(policy))
    proposed = propose_contract(_opened(sample, wanted))
    text = contract_text(proposed)
    data = {"rules": proposed.rules, "check_by_hand": proposed.by_hand, "rows": proposed.rows}
    return Reply(data | {"text": text}, Document(text.rstrip("\n")))


@command(app, "check", needs=Needs.NOTHING)
def check(
    session: Session,
    file: Annotated[
        str,
        typer.Argument(help="A file of rules, an ODCS contract, a policy, or FILE.py:MODEL"),
    ],
    *,
    data: Annotated[str, typer.Option("--data", help="Data like a delivery: a file or folder")],
) -> Reply:
    """Try a contract on a sample, without catalog: what it would hold, and why.

    Rules that compare with the catalog's records are named and not judged. The sample arrives now.
    Exit code 1 when a record or the whole breaks the contract, 4 when a rule was not judged.
    """
    _ = session
    contract, policy = _loaded(file)
    unjudged = _unjudged(contract)
    report = _report(contract, policy, data)
    rules = [
        {
            "rule": rule.rule,
            "column": rule.column,
            "records": rule.failed,
            "text": rule.text,
            "severity": "warning" if rule.warning else "error",
        }
        for rule in report.rules
    ]
    examples = report.failures.slice(0, _EXAMPLES).to_pylist()
    broken = [one for one in report.broken if not _says_unjudged(one)]
    answer: dict[str, Any] = {
        "contract": contract.name,
        "data": data,
        "rows": report.rows,
        "failing": report.failing_rows,
        "flagged": report.flagged_rows,
        "broken": broken,
        "not_judged": unjudged,
        "rules": rules,
        "examples": examples,
    }
    found = bool(broken or report.failing_rows)
    return Reply(answer, checked_view(answer), found=found, cannot_say=bool(unjudged))


def checked_view(answer: dict[str, Any]) -> RenderableType:
    """What a person sees of a contract that was tried."""
    head = facts(
        {
            "contract": answer["contract"],
            "records": answer["rows"],
            "break a rule": answer["failing"],
            "only a warning": answer["flagged"],
            "holds the batch": "; ".join(answer["broken"]) or None,
            "not judged": ", ".join(answer["not_judged"]) or None,
        }
    )
    rules = grid(
        ["rule", "severity", "records", "asks for"],
        [(one["rule"], one["severity"], one["records"], one["text"]) for one in answer["rules"]],
        title="Broken rules",
        text=["asks for"],
    )
    examples = grid(
        ["record", "rule", "value"],
        [(one["position"], one["rule"], one["value"]) for one in answer["examples"]],
        title="The first records",
        text=["value"],
    )
    parts: list[RenderableType] = [head]
    parts += [rules] if answer["rules"] else []
    parts += [examples] if answer["examples"] else []
    return Group(*parts)


def _loaded(file: str) -> "tuple[Contract, Policy | None]":
    """The contract, and the policy where it is one's.

    Raises:
        UsageError: it is none.
    """
    from lazaretto.contract import contract_of, load_contract
    from lazaretto.policy import Policy
    from lazaretto.policy.file import read_yaml

    path = Path(file)
    if ":" in file and not path.exists():
        contract = load_contract(file, base=Path())
    elif path.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"{file}: a contract is a YAML file, or FILE.py:MODEL for a pandera model")
    else:
        content = read_yaml(path, "a contract").content
        if "dataset" in content and "version" in content:
            policy = Policy.load(path)
            contract = contract_of(policy)
            if contract is None:
                raise UsageError(f"{file} names no contract: add `contract:`")
            return contract, policy
        form = "odcs" if "apiVersion" in content or "kind" in content else "rules"
        contract = load_contract({form: path.name}, base=path.parent)
    assert contract is not None  # noqa: S101  something was given
    return contract, None


def _unjudged(contract: "Contract") -> list[str]:
    table = contract.table
    return [] if table is None else [rule.name for rule in table.rules if rule.asks_catalog]


def _says_unjudged(text: str) -> bool:
    return text.startswith("rule ") and " was not judged: " in text


def _report(contract: "Contract", policy: "Policy | None", data: str) -> "ContractReport":
    from lazaretto.contract import Known, evaluate
    from lazaretto.policy import Columns

    known = Known(datetime.now(UTC), without_catalog=True)
    columns = Columns() if policy is None else policy.columns
    # What is not of a declared type is held, as it would be in a delivery.
    wanted = replace(_wanted(policy, contract), lenient=True)
    return evaluate(_opened(data, wanted), contract, columns, known=known)


def _wanted(policy: "Policy | None", contract: "Contract | None" = None) -> "Wanted":
    """How the sample is to be read."""
    from lazaretto.batch import Wanted
    from lazaretto.contract import declared_types

    fields = declared_types(contract)
    if policy is None:
        return Wanted.of(None, fields)
    return Wanted.of(policy.columns, fields, policy.read.options())


def _opened(data: str, wanted: "Wanted | None" = None) -> "Batch":
    from lazaretto.batch import open_batch

    try:
        return open_batch(data, wanted=wanted)
    except DeliveryError as error:  # not somebody's delivery: the user's own file
        raise UsageError(f"the sample cannot be used: {error}") from error
