"""What Lazaretto's Airflow operators report to Airflow's OpenLineage provider about their work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openlineage.client.facet_v2 import base_subset_dataset, test_run

from lazaretto.ledger.chain import entry as ledger_entry
from lazaretto.ledger.checkpoint import ledger_id
from lazaretto.lineage.openlineage.project import project

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import RunFacet

    from lazaretto.storage.workspace import Workspace


def operator_lineage(workspace: Workspace, seqs: Sequence[int]) -> OperatorLineage[Any, Any]:
    """The lineage of the ledger entries that one task wrote, for Airflow's OpenLineage provider.

    For ``get_openlineage_facets_on_complete`` and ``_on_failure``; imports Airflow.

    Args:
        workspace: where.
        seqs: the entries; an empty list gives an empty lineage.

    Raises:
        LedgerError: there is no such entry.

    Examples:
        >>> from lazaretto.ledger.chain import entries
        >>> with workspace.catalog.read() as connection:
        ...     [admitted, _] = entries(connection, kinds=["batch_admitted"])
        >>> operator_lineage(workspace, [admitted.seq]).outputs[0].name.endswith("datasets/reviews")
        True
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    inputs: list[InputDataset] = []
    outputs: list[OutputDataset] = []
    run_facets: dict[str, RunFacet] = {}
    with workspace.catalog.read() as connection:
        chain = ledger_id(ledger_entry(connection, 1).hash) if seqs else ""
        for seq in sorted(set(seqs)):
            found = project(
                ledger_entry(connection, seq),
                workspace.namespace,
                workspace.store.root,
                chain=chain,
            )
            inputs += found.inputs
            outputs += found.outputs
            run_facets = _merged(run_facets, found.run_facets)
    made = {(output.namespace, output.name) for output in outputs}
    read = [one for one in inputs if (one.namespace, one.name) not in made]
    return OperatorLineage(
        inputs=_one_per_dataset(read), outputs=_one_per_dataset(outputs), run_facets=run_facets
    )


def _merged(before: dict[str, RunFacet], new: dict[str, RunFacet]) -> dict[str, RunFacet]:
    """The later facet wins, except that tests of all entries are kept."""
    tests = [
        test
        for facets in (before, new)
        if isinstance(facet := facets.get("test"), test_run.TestRunFacet)
        for test in facet.tests
    ]
    merged = before | new
    if tests:
        merged["test"] = test_run.TestRunFacet(tests=tests)
    return merged


def _one_per_dataset(datasets: Iterable[Any]) -> list[Any]:
    """Consumers keep one entry per run and dataset: partitions are joined, the last facets win."""
    found: dict[tuple[str, str], Any] = {}
    for dataset in datasets:
        key = (dataset.namespace, dataset.name)
        if key in found:
            _join_partitions(found[key], dataset)
        found[key] = dataset
    return list(found.values())


def _join_partitions(before: Any, last: Any) -> None:
    for attribute, condition in (
        ("inputFacets", "inputCondition"),
        ("outputFacets", "outputCondition"),
    ):
        old = (getattr(before, attribute, None) or {}).get("subset")
        new = (getattr(last, attribute, None) or {}).get("subset")
        first, second = (getattr(facet, condition, None) for facet in (old, new))
        kind = base_subset_dataset.PartitionSubsetCondition
        if isinstance(first, kind) and isinstance(second, kind):
            known = {partition.identifier for partition in second.partitions}
            missing = [p for p in first.partitions if p.identifier not in known]
            second.partitions = missing + second.partitions
