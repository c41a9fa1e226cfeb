"""What Lazaretto's Airflow operators report to Airflow's OpenLineage provider about their work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openlineage.client.facet_v2 import base_subset_dataset, test_run

from lazaretto.ledger.chain import entry as ledger_entry
from lazaretto.ledger.checkpoint import ledger_id
from lazaretto.lineage.openlineage.contents import earlier_of, files_of
from lazaretto.lineage.openlineage.project import project

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import RunFacet

    from lazaretto.storage.workspace import Workspace


def operator_lineage(workspace: Workspace, seqs: Sequence[int]) -> OperatorLineage[Any, Any]:
    """The lineage of the ledger entries that one task wrote, for Airflow's OpenLineage provider.

    For ``get_openlineage_facets_on_complete`` and ``_on_failure``; imports Airflow. It has no
    outputs: Lazaretto's own event of the entry, whose parent is the task's run, is the one writer
    of a version. With two of them consumers count each version twice.

    Args:
        workspace: where.
        seqs: the entries; an empty list gives an empty lineage.

    Raises:
        LedgerError: there is no such entry.

    Examples:
        >>> from lazaretto.ledger.chain import entries
        >>> with workspace.catalog.read() as connection:
        ...     [admitted, _] = entries(connection, kinds=["batch_admitted"])
        >>> operator_lineage(workspace, [admitted.seq]).inputs[0].name.endswith("batches/vendor")
        True
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    inputs: list[InputDataset] = []
    made: set[tuple[str, str, str | None]] = set()
    run_facets: dict[str, RunFacet] = {}
    files, earlier = files_of(workspace), earlier_of(workspace)
    with workspace.catalog.read() as connection:
        chain = ledger_id(ledger_entry(connection, 1).hash) if seqs else ""
        for seq in sorted(set(seqs)):
            found = project(
                ledger_entry(connection, seq),
                workspace.namespace,
                workspace.store.root,
                chain=chain,
                files=files,
                earlier=earlier,
            )
            inputs += found.inputs
            made |= {_version_of(output) for output in found.outputs}
            run_facets = _merged(run_facets, found.run_facets)
    read = [one for one in inputs if _version_of(one) not in made]
    return OperatorLineage(inputs=_one_per_dataset(read), run_facets=run_facets)


def _version_of(dataset: InputDataset | OutputDataset) -> tuple[str, str, str | None]:
    version = (dataset.facets or {}).get("version")
    named = getattr(version, "datasetVersion", None)
    return dataset.namespace, dataset.name, named


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


def _one_per_dataset(datasets: Iterable[InputDataset]) -> list[InputDataset]:
    """Consumers keep one entry per run and dataset: partitions are joined, the last facets win."""
    found: dict[tuple[str, str], InputDataset] = {}
    for dataset in datasets:
        key = (dataset.namespace, dataset.name)
        if key in found:
            _join_partitions(found[key], dataset)
        found[key] = dataset
    return list(found.values())


def _join_partitions(before: InputDataset, last: InputDataset) -> None:
    first, second = (
        getattr((one.inputFacets or {}).get("subset"), "inputCondition", None)
        for one in (before, last)
    )
    kind = base_subset_dataset.PartitionSubsetCondition
    if isinstance(first, kind) and isinstance(second, kind):
        known = {partition.identifier for partition in second.partitions}
        missing = [p for p in first.partitions if p.identifier not in known]
        second.partitions = missing + second.partitions
