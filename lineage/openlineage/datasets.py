"""Datasets of events with their standard facets: version, subset, schema, statistics."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    base_subset_dataset,
    dataset_type_dataset,
    dataset_version_dataset,
    input_statistics_input_dataset,
    lifecycle_state_change_dataset,
    output_statistics_output_dataset,
    schema_dataset,
    storage_dataset,
    tags_dataset,
)

from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.openlineage.facets import LazarettoArtifactDatasetFacet
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from openlineage.client.facet_v2 import DatasetFacet, InputDatasetFacet, OutputDatasetFacet

    from lazaretto.lineage.openlineage.naming import DatasetName
    from lazaretto.values import Column, Member

MAX_IDS = 200  # bound of id lists in facets; the ledger has them all
MAX_PARTITIONS = 10_000  # about 1 MB: what backends still take
MAX_TEXT = 2_000
_HEX = re.compile(r"[0-9a-f]{8,128}")


def iso(moment: datetime | None) -> str | None:
    """ISO 8601, where there is a moment."""
    return None if moment is None else moment.isoformat()


def read(
    where: DatasetName,
    version: str | None = None,
    *,
    type_: str = "FILE",
    source: str | None = None,
    rows: int | None = None,
    partitions: Sequence[str] = (),
    locations: Sequence[str] = (),
    facets: dict[str, DatasetFacet] | None = None,
    input_facets: dict[str, InputDatasetFacet] | None = None,
) -> InputDataset:
    """An input: the dataset, which version or partitions of it were read, and how many rows."""
    found: dict[str, InputDatasetFacet] = dict(input_facets or {})
    condition = _condition(partitions, locations)
    if condition is not None:
        found["subset"] = base_subset_dataset.InputSubsetInputDatasetFacet(inputCondition=condition)
    if rows is not None:
        found["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
            rowCount=rows
        )
    return InputDataset(
        where.namespace,
        where.name,
        facets=_facets(version, type_, source) | (facets or {}),
        inputFacets=found,
    )


def written(
    where: DatasetName,
    version: str | None,
    *,
    type_: str = "FILE",
    source: str | None = None,
    rows: int | None = None,
    partitions: Sequence[str] = (),
    facets: dict[str, DatasetFacet] | None = None,
) -> OutputDataset:
    """An output: the dataset, which version or partition of it was written, and how many rows."""
    found: dict[str, OutputDatasetFacet] = {}
    condition = _condition(partitions, ())
    if condition is not None:
        found["subset"] = base_subset_dataset.OutputSubsetOutputDatasetFacet(
            outputCondition=condition
        )
    if rows is not None:
        found["outputStatistics"] = (
            output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=rows)
        )
    return OutputDataset(
        where.namespace,
        where.name,
        facets=_facets(version, type_, source) | (facets or {}),
        outputFacets=found,
    )


def batch(
    store_root: str,
    batch_id: str,
    *,
    rows: int | None = None,
    input_facets: dict[str, InputDatasetFacet] | None = None,
) -> InputDataset:
    """One batch as an input."""
    source = naming.source_of(batch_id)
    return read(
        naming.batches(store_root, source),
        batch_id,
        source=source,
        rows=rows,
        partitions=[batch_id],
        input_facets=input_facets,
    )


def members(store_root: str, found: Sequence[Member]) -> list[InputDataset]:
    """Batches as inputs: one dataset per source, its batches as partitions.

    One entry per dataset, because consumers keep one per run and name.
    """
    by_source: dict[str, list[Member]] = {}
    for member in found[:MAX_PARTITIONS]:
        by_source.setdefault(naming.source_of(member.batch), []).append(member)
    return [
        read(
            naming.batches(store_root, source),
            group[0].batch if len(group) == 1 else None,
            source=source,
            rows=sum(member.rows for member in group),
            partitions=[member.batch for member in group],
        )
        for source, group in by_source.items()
    ]


@dataclass(frozen=True, slots=True)
class Members:
    """What a version holds: how many batches, and ids of some or all of them.

    Where all are given, the run that wrote the version must name them all as its inputs: `artifact`
    says so to readers.
    """

    count: int
    ids: Sequence[str]


def artifact(
    kind: str,
    version: str,
    digest: str | None,
    *,
    rows: int | None = None,
    members: Members | None = None,
) -> dict[str, DatasetFacet]:
    """The content address of a version; no facet where there is no digest."""
    found = _HEX.fullmatch((digest or "").removeprefix("sha256:").lower())
    if found is None:
        return {}
    return {
        "lazaretto_artifact": LazarettoArtifactDatasetFacet(
            kind=kind,
            artifactId=version,
            digest={"sha256": found.group()},
            recordCount=rows,
            members=None
            if members is None
            else {
                "count": members.count,
                "complete": members.count == len(members.ids) <= MAX_PARTITIONS,
                "ids": list(members.ids[:MAX_IDS]),
            },
        )
    }


def side_car(
    store_root: str, kind: str, batch_id: str, digest: str | None, *, rows: int | None = None
) -> OutputDataset:
    """What a stage found out about a batch, under the batch's id as version."""
    source = naming.source_of(batch_id)
    return written(
        naming.side_car(store_root, kind, source),
        batch_id,
        source=source,
        rows=rows,
        facets=artifact("SIDECAR", batch_id, digest, rows=rows),
    )


def schema(columns: Sequence[Column]) -> dict[str, DatasetFacet]:
    """Columns and their Arrow types."""
    if not columns:
        return {}
    fields = [
        schema_dataset.SchemaDatasetFacetFields(
            name=excerpt(c.name, 255), type=excerpt(c.type, 255)
        )
        for c in columns
    ]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}


def storage(layer: str, file_format: str) -> dict[str, DatasetFacet]:
    """How the bytes are kept."""
    return {
        "storage": storage_dataset.StorageDatasetFacet(storageLayer=layer, fileFormat=file_format)
    }


def replaced() -> dict[str, DatasetFacet]:
    """What was written is all that the dataset holds: nothing of what was there before."""
    change = lifecycle_state_change_dataset.LifecycleStateChange.OVERWRITE
    return {
        "lifecycleStateChange": lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
            lifecycleStateChange=change
        )
    }


def _facets(version: str | None, type_: str, source: str | None) -> dict[str, DatasetFacet]:
    found: dict[str, DatasetFacet] = {
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(datasetType=type_)
    }
    if version is not None:
        found["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=version
        )
    if source is not None:
        tag = tags_dataset.TagsDatasetFacetFields(
            key="lazaretto.source", value=source, source="LAZARETTO"
        )
        found["tags"] = tags_dataset.TagsDatasetFacet(tags=[tag])
    return found


def _condition(
    partitions: Sequence[str], locations: Sequence[str]
) -> base_subset_dataset.BaseSubsetCondition | None:
    if partitions:
        return base_subset_dataset.PartitionSubsetCondition(
            partitions=[
                base_subset_dataset.Partition(dimensions={"batch": p}, identifier=p)
                for p in partitions
            ]
        )
    return (
        base_subset_dataset.LocationSubsetCondition(locations=list(locations))
        if locations
        else None
    )
