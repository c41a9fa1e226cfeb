"""The one spelling of a name: each row of the table on the page of the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaretto.lineage.claims.names import (
    STORE,
    Name,
    Names,
    dataset_in_store,
    registry,
    source_in_store,
)

if TYPE_CHECKING:
    from pathlib import Path

HERE = Names("/data/store")


@pytest.mark.parametrize(
    ("namespace", "name", "spelled"),
    [
        ("s3a://lake", "a", ("s3://lake", "a")),
        ("s3n://lake", "a", ("s3://lake", "a")),
        ("gcs://lake", "a", ("gs://lake", "a")),
        ("S3://Lake", "A/b", ("s3://lake", "A/b")),
        ("HDFS://NameNode:8020", "a", ("hdfs://namenode:8020", "a")),
        ("s3://lake/", "a/", ("s3://lake", "a")),
        ("s3://lake", "a//b/./c/../d", ("s3://lake", "a/b/d")),
        ("s3://lake", "/a", ("s3://lake", "a")),
        ("hdfs://nn:8020", "/warehouse/x", ("hdfs://nn:8020", "warehouse/x")),
        ("s3://lake", "/", ("s3://lake", "/")),
        ("file", "/a/b/", ("file", "/a/b")),
        ("FILE:", "/a", ("file", "/a")),
        ("file://localhost", "/a", ("file", "/a")),
        ("file://127.0.0.1", "/a", ("file", "/a")),
        ("file://[::1]", "/a", ("file", "/a")),
        ("file:///", "/a", ("file", "/a")),
        ("file:///mnt", "a", ("file", "/mnt/a")),
        ("file://Host-7", "/a", ("file://host-7", "/a")),
        ("mlflow://models:5000/", "net", ("mlflow://models:5000", "net")),
        ("MLFLOW://Models:5000", "Net", ("mlflow://models:5000", "Net")),
        ("snowflake://acme", "DB.Table", ("snowflake://acme", "DB.Table")),
        ("My Registry/", "net/", ("My Registry", "net")),
        ("postgres://user:secret@db:5432", "s.t", ("postgres://db:5432", "s.t")),
    ],
)
def test_a_name_has_one_spelling(namespace: str, name: str, spelled: tuple[str, str]) -> None:
    found = HERE.spell(namespace, name)
    assert found == spelled
    assert HERE.spell(*found) == found


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("file", "/data/store/datasets/digits"),
        ("file", "/data//store/x/../datasets/digits/"),
        ("file://localhost", "/data/store/datasets/digits"),
        ("file://trainer-7", "/data/store/datasets/digits"),
        ("file:///data", "store/datasets/digits"),
    ],
)
def test_what_is_in_the_store_is_known_by_the_store(namespace: str, name: str) -> None:
    found = HERE.spell(namespace, name)
    assert found == (STORE, "datasets/digits")
    assert dataset_in_store(found) == "digits"
    assert source_in_store(found) is None


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("file", "/data/store"),
        ("file", "/data/store2/datasets/digits"),
        ("file", "/data/datasets/digits"),
        ("s3://data", "store/datasets/digits"),
        ("file", "/data/store/datasets/digits/part-0.parquet"),
        ("file", "/data/store/datasets"),
    ],
)
def test_what_is_beside_the_store_or_within_a_table_is_no_dataset_of_it(
    namespace: str, name: str
) -> None:
    assert dataset_in_store(HERE.spell(namespace, name)) is None


@pytest.mark.parametrize("root", ["s3://bucket/lazaretto", "s3a://Bucket/lazaretto/"])
def test_a_store_in_a_bucket(root: str) -> None:
    spell = Names(root)
    for namespace, name in (
        ("s3://bucket", "lazaretto/batches/vendor"),
        ("s3a://BUCKET", "/lazaretto/batches/vendor/"),
    ):
        assert source_in_store(spell.spell(namespace, name)) == "vendor"
    assert source_in_store(spell.spell("s3://other", "lazaretto/batches/vendor")) is None
    assert source_in_store(spell.spell("file", "/lazaretto/batches/vendor")) is None


def test_symbolic_links_lead_to_the_store_from_both_sides(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to("store", target_is_directory=True)
    for root in ("store", "link"):
        spell = Names(str(tmp_path / root))
        for name in ("store", "link"):
            found = spell.spell("file", f"{tmp_path}/{name}/datasets/digits")
            assert dataset_in_store(found) == "digits"


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/a/b", ("file", "/a/b")),
        ("file:///a/b/", ("file", "/a/b")),
        ("file://host/a", ("file://host", "/a")),
        ("s3a://Lake/x/y", ("s3://lake", "x/y")),
    ],
)
def test_a_uri_is_a_name(uri: str, name: tuple[str, str]) -> None:
    assert HERE.uri(uri) == name


def test_registries_are_spelled_alike() -> None:
    assert registry("mlflow://Models:5000/") == registry("MLFLOW://models:5000")
    assert registry("eu") != registry("us")


_texts = st.text(st.sampled_from("aB./:@\\ é%\x1f"), min_size=1, max_size=12)


@given(
    namespace=st.one_of(_texts, st.sampled_from(["file", "s3://b", "hdfs://n/x", "file://h"])),
    name=_texts,
)
def test_spelling_twice_is_spelling_once(namespace: str, name: str) -> None:
    found = HERE.spell(namespace, name)
    assert isinstance(found, Name)
    assert HERE.spell(*found) == found
