"""The files of one dataset's gate: policy, contract and DAG, wired to each other."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

from lazaretto.proposal.quote import Code, to_python, to_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.proposal.gate import Proposal, Rule
DROP = "drop"
"""Folder for deliveries, one below it for each source; the policy names it as a place."""


def project_files(
    proposal: Proposal, dataset: str, *, rules: str | None = None
) -> dict[str, bytes]:
    """The files of a dataset by their paths in a project.

    Several datasets share a project: every file has the dataset's name.

    Args:
        proposal: what they say.
        dataset: its name, as `lazaretto.names.check_dataset_name` lets it pass.
        rules: the contract as a file of rules, as `contract_text` gives it; default: a model in
            Python, of the proposal's rules.

    Returns:
        Content by relative path: policy, contract, DAG, in this order.

    Example:
        >>> from lazaretto.batch import open_batch
        >>> from lazaretto.proposal import Wishes, examine, propose
        >>> proposal = propose(examine(open_batch("monday.parquet")), Wishes())
        >>> list(project_files(proposal, "reviews"))
        ['policies/reviews.yaml', 'contracts/reviews.py', 'dags/ingest_reviews.py']
    """
    policy = f"policies/{dataset}.yaml"
    contract = f"contracts/{dataset}.py" if rules is None else f"contracts/{dataset}.rules.yaml"
    said: str | dict[str, str] = f"../{contract}:Record"
    if rules is not None:
        said = {"rules": f"../{contract}"}
    names = {"dataset": dataset, "policy": policy, "contract": said}
    columns = [(rule.column, _column(rule)) for rule in proposal.rules]
    values = names | {"gate": proposal, "columns": columns}
    model = rules.encode() if rules else _rendered("contract.py.jinja", values, to_python)
    return {
        policy: _rendered("policy.yaml.jinja", values, to_yaml),
        contract: model,
        f"dags/ingest_{dataset}.py": _rendered("dag.py.jinja", values, to_python),
    }


def _column(rule: Rule) -> Code:
    """A rule as a call; only numbers and polars' names are in it."""
    said = [] if rule.type is None else [f"pl.{rule.type}"]
    if rule.least is not None:
        said.append(f"pa.Check.ge({int(rule.least)})")
    if rule.lengths is not None:
        said.append("pa.Check.str_length({:d}, {:d})".format(*rule.lengths))
    said += ["unique=True"] * rule.unique + ["nullable=True"] * rule.nullable
    said += ["required=False"] * (not rule.required)
    return Code(f"pa.Column({', '.join(said)})")


def _rendered(template: str, values: dict[str, Any], quote: Callable[[object], str]) -> bytes:
    """A template filled; whatever it shows is quoted by `quote`, without exception."""
    import jinja2

    text = (resources.files("lazaretto.proposal") / "templates" / template).read_text("utf-8")
    environment = jinja2.Environment(  # noqa: S701  not HTML: `finalize` quotes every expression
        finalize=quote,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(text).render(values).encode()
