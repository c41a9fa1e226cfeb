"""One thing under many names: whatever it is called, its models are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from foreign_events import REGISTRY, dataset, event, model
from foreign_site import Said, Site, may_be

from lazaretto import lineage
from lazaretto.errors import UsageError
from lazaretto.ledger import events
from lazaretto.storage.workspace import open_workspace

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

NET = model("net", 1)
HIVE = ("hive://metastore:9083", "default.digits")


@pytest.fixture
def site(workspace: Workspace, tmp_path: Path) -> Site:
    """One vendor's batch is in version 1 of the admitted table."""
    site = Site(workspace, tmp_path)
    site.deliver()
    return site


@pytest.mark.parametrize("version", [None, 1])
@pytest.mark.parametrize(
    ("namespace", "form"),
    [
        ("file", "{}"),
        ("file", "{}/"),
        ("file", "/.{}"),
        ("file://trainer-7", "{}"),
        ("file://localhost", "{}"),
        ("file:///", "{}"),
        ("FILE://Trainer-7/", "{}//"),
    ],
)
def test_the_admitted_table_is_known_by_its_path(
    site: Site, namespace: str, form: str, version: int | None
) -> None:
    site.feed(event([dataset(form.format(site.history.dataset_uri), version, namespace)], [NET]))
    assert site.source() == Said(["net@1"])


@pytest.mark.parametrize("version", [None, 1])
def test_a_symbolic_link_to_the_store_is_the_store(
    site: Site, tmp_path: Path, version: int | None
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "store", target_is_directory=True)
    site.feed(event([dataset(f"{tmp_path}/link/datasets/digits", version, "file")], [NET]))
    assert site.source() == Said(["net@1"])


@pytest.mark.parametrize("version", [None, 1])
def test_a_hive_table_with_a_symlink_is_its_location(site: Site, version: int | None) -> None:
    identifier = {"namespace": "file", "name": site.history.dataset_uri, "type": "LOCATION"}
    hive = dataset(HIVE[1], version, HIVE[0], symlinks={"identifiers": [identifier]})
    site.feed(event([hive], [NET]))
    assert site.source() == Said(["net@1"])
    # Once told, it is the same without the facet.
    site.feed(event([dataset(HIVE[1], version, HIVE[0])], [model("net", 2)]))
    assert site.source() == Said(["net@1", "net@2"])


def test_a_person_may_say_that_two_names_are_of_one_dataset(site: Site) -> None:
    site.feed(event([dataset(HIVE[1], None, HIVE[0])], [NET]))
    assert site.source() == may_be("net@1")
    mine = ("file", site.history.dataset_uri)
    lineage.alias(site.workspace, HIVE, mine, reason="it is an external table")
    assert site.source() == Said(["net@1"])
    lineage.alias(site.workspace, HIVE, mine, reason="it was not", withdraw=True)
    assert site.source() == may_be("net@1")
    with pytest.raises(UsageError, match="one name"):
        lineage.alias(site.workspace, mine, ("file://host", mine[1] + "/"), reason="the same")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("s3a://Lake", "/features/"), ("s3://lake", "features")),
        (("hdfs://nn:8020", "/warehouse/x"), ("hdfs://nn:8020", "warehouse/x")),
        (("gcs://b", "a//c"), ("gs://b/", "a/./c")),
    ],
)
def test_a_foreign_table_is_one_however_it_is_spelled(
    site: Site, one: tuple[str, str], other: tuple[str, str]
) -> None:
    for version in (1, None):
        site.feed(
            event([site.table(1)], [dataset(one[1], version, one[0])]),
            event([dataset(other[1], version, other[0])], [model("net", version)], at=60)
            if version
            else event([dataset(other[1], None, other[0])], [model("net", 2)], at=60),
        )
    assert site.source() == Said(["net@1", "net@2"])


def test_a_registry_with_a_slash_is_the_same_registry(site: Site) -> None:
    site.history.register("base", "1")
    site.feed(event([model("base", 1, REGISTRY + "/")], [model("child", 1)]))
    assert site.source() == Said(["base@1", "child@1"])
    trace = lineage.trace_model(site.workspace, "child", "1", registry=REGISTRY + "/")
    assert trace.batch_ids == [site.batches["vendor"]]


@pytest.mark.parametrize("namespace", ["file", "file://trainer-7"])
def test_an_exported_file_holds_what_was_exported(
    site: Site, tmp_path: Path, namespace: str
) -> None:
    """Whether others read it by this host's name or by their own: it may be a shared disk."""
    file = f"{tmp_path}/out/train.parquet"
    read = event([dataset(file, None, namespace)], [NET])
    site.feed(read)
    assert site.source() == may_be("net@1")
    site.history.write(events.DatasetExported("digits", 1, file, 90, "ab" * 32))
    site.deliver("late")
    assert (site.source("vendor"), site.source("late")) == (Said(["net@1"]), Said([]))
    trace = lineage.trace_source(site.workspace, "vendor")
    assert trace.models[0].paths[0][:2] == [site.batches["vendor"], "digits@1"]


def test_what_was_made_of_a_delivered_file_before_it_was_delivered_is_known(site: Site) -> None:
    """The vendor's own job wrote the file that was received: the batch was made of its inputs."""
    name = "/incoming/vendor/0.parquet"
    source = {"sourceId": "scraper"}
    crawl = dataset("crawl", "c1", lazaretto_source=source)
    site.feed(event([crawl], [dataset(name, None, "file")], at=-400 * 86_400, namespace="vendor"))
    site.history.register("net", "1")
    found = site.source("scraper")
    assert "net@1" in found.affected + found.unknown


def test_a_store_opened_by_another_path_answers_the_same(
    site: Site, catalog_url: str, tmp_path: Path
) -> None:
    site.feed(event([site.table(1)], [NET]), event([site.table()], [model("net", 2)]))
    before = site.source()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "store", target_is_directory=True)
    moved = open_workspace(catalog_url=catalog_url, store=tmp_path / "elsewhere")
    assert Site.source(Site(moved, tmp_path)) == before == Said(["net@1", "net@2"])
    moved.catalog.engine.dispose()
