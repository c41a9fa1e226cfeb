"""Reads events of anybody: what is hostile is refused, and what is kept says all that counts."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from foreign_events import META, dataset, event, model, partitions

from lazaretto.lineage.claims.bits import Kind, Mode, State
from lazaretto.lineage.claims.event import Unusable, read_event
from lazaretto.lineage.claims.kept import digest_of, reduced

if TYPE_CHECKING:
    from lazaretto.lineage.claims.claim import Used


def _used(found: dict[str, Any]) -> Used:
    return read_event(event([], [found])).outputs[0]


def test_an_event_is_read_whole() -> None:
    claim = read_event(
        event(
            [dataset("a", 7), dataset("b", 1)],
            [model("net", 3), dataset("t", change="OVERWRITE")],
            streaming=True,
            lazaretto_training={
                "purpose": "FINETUNE",
                "consumed": [{"namespace": "s3://lake", "name": "b", "role": "TEST"}],
            },
        )
    )
    assert (claim.namespace, claim.job, claim.purpose) == ("spark", "train", "FINETUNE")
    assert claim.state == State.COMPLETE | State.STREAMING | State.TRAINS
    assert [(used.name, used.version, used.role) for used in claim.inputs] == [
        ("a", "7", "TRAIN"),
        ("b", "1", "~TEST"),
    ]
    assert [(used.kind, used.mode) for used in claim.outputs] == [
        (Kind.MODEL, Mode(0)),
        (Kind(0), Mode.REPLACED),
    ]
    assert claim.size == 4


@pytest.mark.parametrize(
    ("facets", "kind"),
    [
        ({"datasetType": {"datasetType": "MODEL"}}, Kind.MODEL),
        ({"lazaretto_artifact": {"kind": "MODEL"}}, Kind.MODEL),
        ({"lazaretto_source": {"sourceId": "v"}}, Kind.BATCH),
        ({"lazaretto_artifact": {"kind": "BATCH"}}, Kind.BATCH),
        ({"lazaretto_artifact": {"kind": "SNAPSHOT"}}, Kind.TABLE),
        ({"datasetType": {"datasetType": "TABLE"}}, Kind.TABLE),
        ({"lazaretto_artifact": {"kind": "QUARANTINE"}}, Kind(0)),
        ({}, Kind(0)),
    ],
)
def test_what_a_dataset_is_said_to_be(facets: dict[str, Any], kind: Kind) -> None:
    assert _used(dataset("x", 1, **facets)).kind == kind


@pytest.mark.parametrize(
    "namespace",
    ["urn:lazaretto:store", "URN:Lazaretto:run", "urn:lazaretto:anything"],
)
def test_nobody_names_what_is_ours(namespace: str) -> None:
    symlinks = {"identifiers": [{"namespace": namespace, "name": "datasets/digits"}]}
    before = {"lifecycleStateChange": "RENAME"}
    before["previousIdentifier"] = {"namespace": namespace, "name": "x"}  # type: ignore[assignment]
    for hostile in (
        dataset("x", 1, namespace),
        dataset("x", 1, symlinks=symlinks),
        dataset("x", 1, lifecycleStateChange=before),
    ):
        with pytest.raises(Unusable, match="urn:lazaretto:"):
            _used(hostile)


@pytest.mark.parametrize(
    "hostile",
    [
        "a\x00b",
        "a\x1fb",
        "\ud800",
        "a\udfffb",
        "",
        "x" * 1025,
        None,
        7,
        ["a"],
    ],
    ids=repr,
)
def test_a_name_is_a_bounded_text_that_databases_take(hostile: Any) -> None:
    with pytest.raises(Unusable):
        _used(dataset("x", 1) | {"name": hostile})
    symlinks = {"identifiers": [{"namespace": "hive://m", "name": hostile}]}
    with pytest.raises(Unusable):
        _used(dataset("x", 1, symlinks=symlinks))
    with pytest.raises(Unusable):
        read_event(event([], [], job=hostile))


@pytest.mark.parametrize("hostile", ["v" * 256, "", "a\x1f", "\x00", "\udc80", 5, {}])
def test_a_version_and_a_partition_are_short_texts(hostile: Any) -> None:
    found = dataset("x")
    found["facets"]["version"] = META | {"datasetVersion": hostile}
    with pytest.raises(Unusable):
        _used(found)
    with pytest.raises(Unusable):
        _used(partitions(dataset("x"), "output", hostile))


@pytest.mark.parametrize(
    "namespace",
    ["postgres://user:hunter2@db:5432", "s3://key:hunter2@lake", "https://h/x?token=hunter2"],
)
def test_credentials_in_a_namespace_are_not_kept(namespace: str) -> None:
    """Neither in what is read, nor in the body that is stored."""
    symlinks = {"identifiers": [{"namespace": namespace, "name": "t"}]}
    consumed = [{"namespace": namespace, "name": "a", "role": "TEST"}]
    found = event(
        [dataset("a", 1, namespace)],
        [dataset("b", 1, symlinks=symlinks)],
        namespace=namespace,
        lazaretto_training={"consumed": consumed},
    )
    claim = read_event(found)
    assert "hunter2" not in repr(claim)
    assert "hunter2" not in reduced(found)
    assert read_event(json.loads(reduced(found))) == claim
    assert claim.inputs[0].role == "~TEST"


@pytest.mark.parametrize(
    "moment",
    ["2026-05-01", "2026-05-01T00:00:00", "yesterday", "", 5, None, "2026-13-01T00:00:00Z"],
)
def test_a_moment_has_a_time_zone(moment: Any) -> None:
    with pytest.raises(Unusable, match="eventTime"):
        read_event(event([], []) | {"eventTime": moment})
    if moment is not None:
        with pytest.raises(Unusable, match="collectedFrom"):
            _used(dataset("x", 1, lazaretto_source={"sourceId": "v", "collectedFrom": moment}))


@pytest.mark.parametrize("rows", [-1, 2**63, "7", 1.5, None, True])
def test_what_is_no_number_of_rows_is_left_out(rows: Any) -> None:
    found = _used(dataset("x", 1, lazaretto_artifact={"kind": "BATCH", "recordCount": rows}))
    assert found.rows in (None, 1)


def test_there_are_bounds() -> None:
    with pytest.raises(Unusable, match="1000 datasets"):
        read_event(event([dataset("a", n) for n in range(1_001)], []))
    read_event(event([dataset("a", n) for n in range(1_000)], []))
    many = [f"p{n}" for n in range(10_000)]
    read_event(event([partitions(dataset("a"), "input", *many)], []))
    with pytest.raises(Unusable, match="10000 partitions"):
        read_event(event([partitions(dataset("a"), "input", *many, "one more")], []))
    read_event(event([partitions(dataset(n), "input", *many) for n in "abcdefghi"], []))
    with pytest.raises(Unusable, match="100,000 versions"):
        read_event(event([partitions(dataset(n), "input", *many) for n in "abcdefghijk"], []))
    identifiers = [{"namespace": "hive://m", "name": f"t{n}"} for n in range(1_000)]
    assert len(_used(dataset("x", symlinks={"identifiers": identifiers})).symlinks) == 20


def test_what_does_not_count_makes_no_difference() -> None:
    one = event([dataset("a", 1)], [dataset("b", 1)])
    other = json.loads(json.dumps(one, sort_keys=True))
    other["schemaURL"] = "https://example.org/else"
    other["inputs"][0]["facets"]["schema"] = META | {"fields": []}
    other["run"]["facets"]["spark_properties"] = META | {"properties": {}}
    assert digest_of(reduced(one)) == digest_of(reduced(other))
    assert read_event(json.loads(reduced(one))) == read_event(one)


@pytest.mark.parametrize(
    "changed",
    [
        {"eventType": "FAIL"},
        {"eventTime": "2026-05-01T00:00:00Z"},
        {"producer": "https://example.org/another"},
        {"inputs": []},
        {"outputs": [dataset("b", 2)]},
        {"outputs": [dataset("b", 1, change="OVERWRITE")]},
        {"outputs": [partitions(dataset("b", 1), "output", "p")]},
        {"job": {"namespace": "spark", "name": "other"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_counts_makes_a_difference(changed: dict[str, Any]) -> None:
    one = event([dataset("a", 1)], [dataset("b", 1)])
    assert digest_of(reduced(one)) != digest_of(reduced(one | changed))
    assert read_event(json.loads(reduced(one | changed))) == read_event(one | changed)


def test_the_cost_is_linear() -> None:
    """Ten times as many partitions take no more than some thirty times as long."""

    def seconds(count: int) -> float:
        names = [f"p{n}" for n in range(count)]
        found = event(
            [partitions(dataset("a"), "input", *names)],
            [partitions(dataset("b"), "output", *names)],
        )
        started = time.process_time()
        for _ in range(3):
            read_event(found)
            reduced(found)
        return time.process_time() - started

    seconds(100)
    assert seconds(9_000) < 30 * max(seconds(900), 0.01)
