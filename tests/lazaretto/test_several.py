"""Several files as one delivery: lists, patterns, folders, partitions; here and in a bucket."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pyarrow as pa
import pytest
from decoding import decoded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yard import Yard, make_policy

from lazaretto import stages
from lazaretto.batch import Wanted, declared, open_batch
from lazaretto.batch._several import one_address, split_several
from lazaretto.errors import DeliveryError, NotArrivedError
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import BatchReceived
from lazaretto.received import load_batch, open_stored
from lazaretto.sources.folder import sign_folder
from lazaretto.sources.manifest import keygen
from lazaretto.sources.registry import add_key
from lazaretto.stages.arrival import has_arrived

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.policy import Policy

DROP = "memory://drop/vendor-a"


@pytest.fixture(params=["local", "memory"])
def drop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place that a source may deliver to."""
    if request.param == "local":
        folder = tmp_path / "drop"
        folder.mkdir()
        yield str(folder)
        return
    files = fsspec.filesystem("memory")
    yield DROP
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def put(place: str, parts: dict[str, str]) -> list[str]:
    """Writes files of text by their paths, and returns their addresses."""
    found = []
    for name, text in parts.items():
        found.append(f"{place}/{name}")
        with fsspec.open(found[-1], "w", auto_mkdir=True) as file:
            file.write(text)
    return found


def rules(place: str, **more: Any) -> Policy:
    sources = {"require_signature": False, "places": [place], **more}
    return make_policy(sources=sources, columns={"record_id": "id"})


def receive(yard: Yard, uri: str | Sequence[str], place: str, **more: Any) -> Any:
    """Receives by the rules of an operator: only from the places."""
    rule = rules(place, **more.pop("sources", {}))
    options = {"policy": rule, "places_required": True, "beside": True} | more
    return stages.receive(yard.workspace, uri, "vendor-a", **options)


def ids(yard: Yard, batch: Any) -> list[str]:
    table = open_stored(yard.workspace, load_batch(yard.workspace, batch.id)).table()
    return [str(one) for one in table["id"].to_pylist()]


def test_a_list_is_one_delivery_whose_order_says_nothing(sqlite_yard: Yard, drop: str) -> None:
    files = put(drop, {"b.csv": "id,x\nb,2\n", "a.csv": "id,x\na,1\n", "c.csv": "id,x\nc,3\n"})
    first = receive(sqlite_yard, files[:2], drop)
    assert ids(sqlite_yard, first) == ["a", "b"]
    again = receive(sqlite_yard, files[1::-1], drop)
    assert again.id == first.id
    # The same in one address, as a shell would write it; and what is on record.
    assert receive(sqlite_yard, f"{drop}/{{a.csv,b.csv}}", drop).id == first.id
    with sqlite_yard.workspace.catalog.read() as connection:
        (entry,) = ledger.entries(connection, kinds=[BatchReceived.kind])
    assert isinstance(entry.event, BatchReceived)
    assert entry.event.uri == f"{drop}/{{a.csv,b.csv}}"
    assert receive(sqlite_yard, [files[2]], drop).rows == 1


def test_a_list_of_partitions_a_pattern_and_a_folder_are_read_alike(
    sqlite_yard: Yard, drop: str
) -> None:
    files = put(drop, {"p/day=1/a.csv": "id,x\na,1\n", "p/day=2/b.csv": "id,x\nb,2\n"})
    put(drop, {"o/a.jsonl": '{"id": "c"}\n', "o/b.jsonl": '{"id": "d"}\n', "o/n.txt": "no"})
    got = receive(sqlite_yard, files, drop)
    table = open_stored(sqlite_yard.workspace, load_batch(sqlite_yard.workspace, got.id)).table()
    assert table.select(["id", "day"]).to_pylist() == [
        {"id": "a", "day": "1"},
        {"id": "b", "day": "2"},
    ]
    assert ids(sqlite_yard, receive(sqlite_yard, f"{drop}/o/*.jsonl", drop)) == ["c", "d"]
    with pytest.raises(NotArrivedError, match="matches"):
        receive(sqlite_yard, f"{drop}/o/2026-*.csv", drop)
    put(drop, {"w/a.csv": "id\ne\n", "w/_SUCCESS": ""})
    assert ids(sqlite_yard, receive(sqlite_yard, f"{drop}/w/", drop)) == ["e"]


@pytest.mark.parametrize(
    ("listed", "code"),
    [
        (["a.csv", "b.jsonl"], "wrong_format"),
        (["a.csv", "../x.csv"], "outside_places"),
        (["a.csv", "a.csv"], "bad_address"),
        ([], "bad_address"),
    ],
)
def test_a_list_that_is_no_delivery_is_refused(
    sqlite_yard: Yard, tmp_path: Path, listed: list[str], code: str
) -> None:
    drop = tmp_path / "drop"
    put(str(drop), {"a.csv": "id\na\n", "b.jsonl": '{"id": "b"}\n'})
    with pytest.raises(DeliveryError) as raised:
        receive(sqlite_yard, [f"{drop}/{name}" for name in listed], str(drop))
    assert raised.value.code == code


@pytest.mark.parametrize("names", ["a.csv,../../x", "a.csv,", "a.csv,a.csv", "/etc/passwd,a.csv"])
def test_braces_lead_nowhere_else(sqlite_yard: Yard, drop: str, names: str) -> None:
    put(drop, {"a.csv": "id\na\n"})
    with pytest.raises(DeliveryError) as raised:
        receive(sqlite_yard, f"{drop}/{{{names}}}", drop)
    assert raised.value.code == "bad_address"


def test_a_file_of_a_list_that_is_a_link_is_refused(sqlite_yard: Yard, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    first, second = put(str(drop), {"a.csv": "id\na\n", "s/b.csv": "id\nb\n"})
    (tmp_path / "secret").mkdir()
    Path(second).rename(tmp_path / "secret/b.csv")
    (drop / "s").rmdir()
    (drop / "s").symlink_to(tmp_path / "secret")
    with pytest.raises(DeliveryError) as raised:
        receive(sqlite_yard, [first, second], str(drop))
    assert raised.value.code == "link"


def test_a_file_of_a_list_that_is_not_there_yet_is_waited_for(sqlite_yard: Yard, drop: str) -> None:
    (first,) = put(drop, {"a.csv": "id\na\n"})
    both, workspace = [first, f"{drop}/b.csv"], sqlite_yard.workspace
    asked = {"policy": rules(drop), "workspace": workspace}
    assert not has_arrived(both, "vendor-a", **asked)
    with pytest.raises(NotArrivedError, match=r"'b\.csv' in"):
        receive(sqlite_yard, both, drop)
    assert not has_arrived(f"{drop}/*.jsonl", "vendor-a", **asked)
    put(drop, {"b.csv": "id\nb\n", "f/_temporary/x": ""})
    assert has_arrived(both, "vendor-a", **asked)
    assert not has_arrived(f"{drop}/f", "vendor-a", **asked), "it is still being written"


def test_the_tier_says_whether_a_manifest_is_waited_for(sqlite_yard: Yard, drop: str) -> None:
    (file,) = put(drop, {"a.csv": "id\na\n"})
    asked = {"workspace": sqlite_yard.workspace}
    tier = "REVIEWED"  # of `vendor-a`
    for required, by_tier, waits in (
        (False, {tier: {"require_signature": True}}, True),
        (True, {tier: {"require_signature": False}}, False),
        (False, {"UNTRUSTED": {"require_signature": True}}, False),
    ):
        rule = rules(drop, require_signature=required, tiers=by_tier)
        assert has_arrived(file, "vendor-a", rule, **asked) is not waits
    assert has_arrived(file, "nobody", rule, **asked), "it is to be refused"


@pytest.mark.parametrize("kind", ["folder", "list"])
def test_a_signed_folder_or_list_is_verified_file_by_file(
    sqlite_yard: Yard, drop: str, tmp_path: Path, kind: str
) -> None:
    private, public = keygen()
    at = datetime.now(UTC)
    add_key(sqlite_yard.workspace, "vendor-a", public, valid_from=at - timedelta(days=1))
    # Folders such as d=1 where all is signed; else files of one folder, beside one that is not.
    one, two = ("d=1/", "d=2/") if kind == "folder" else ("", "")
    paths = [f"march/{one}a.csv", f"march/{two}b.csv", f"march/{two}z.csv"]
    texts = {path: f"id\n{number}\n" for number, path in enumerate(paths)}
    put(str(tmp_path / "own"), texts)
    only = None if kind == "folder" else ["a.csv", "z.csv"]
    envelope = sign_folder(
        tmp_path / "own/march", source="vendor-a", private_key=private, only=only
    )
    put(drop, texts)
    uri: str | list[str] = f"{drop}/march"
    if only is not None:
        uri = [f"{drop}/march/{name}" for name in only]
    wanted = {"sources": {"require_signature": True}}
    with pytest.raises(DeliveryError) as raised:
        receive(sqlite_yard, uri, drop, **wanted)
    assert raised.value.code == "unsigned"
    put(drop, {"march.manifest.json": envelope.decode()})
    got = receive(sqlite_yard, uri, drop, **wanted)
    signature = load_batch(sqlite_yard.workspace, got.id).event.signature
    assert (signature.status, got.rows) == ("VERIFIED", 3 if only is None else 2)
    put(drop, {paths[0]: "id\nq\n"})
    with pytest.raises(DeliveryError, match=r"a\.csv' has other bytes") as raised:
        receive(sqlite_yard, uri, drop, **wanted)
    assert raised.value.code == "digest_mismatch"


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b=1", "c.csv", "ä"]), min_size=1, max_size=3),
        min_size=2,
        max_size=5,
        unique_by=tuple,
    ),
    st.sampled_from(["/srv", "s3://bucket/in"]),
)
def test_one_address_says_all_files_and_nothing_else(paths: list[list[str]], head: str) -> None:
    wanted = sorted("/".join([head, *path]) for path in paths)
    text = one_address(wanted[::-1])
    found = split_several(text)
    assert found is not None
    assert sorted(found.addresses) == wanted
    assert one_address(wanted) == text


def _parts(folder: Path, kind: str, **days: Sequence[dict[str, Any]]) -> Path:
    for name, rows in days.items():
        part = folder / f"day={name}" / f"part-0.{kind}"
        part.parent.mkdir(parents=True)
        if kind == "csv":
            lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        else:
            lines = [json.dumps(row) for row in rows]
        part.write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_partitions_of_text_have_one_type_for_all_and_their_folders_as_columns(
    tmp_path: Path, kind: str
) -> None:
    """A guess is of all parts: 007 in the one makes text of the 7 in the other."""
    days = {"01": [{"id": 1, "zip": "7"}], "02": [{"id": 2, "zip": "007"}, {"id": 3, "zip": "x"}]}
    folder = _parts(tmp_path / "f", kind, **days)
    found = open_batch(folder).table()
    rows = [{**row, "day": day} for day, rows in days.items() for row in rows]
    assert found.to_pylist() == rows
    wanted = Wanted(declared=pa.schema([declared("day", pa.int32(), "the contract")]))
    assert open_batch(folder, wanted=wanted).table()["day"].to_pylist() == [1, 2, 2]


def test_a_folder_named_other_than_declared_is_told_and_its_column_is_text(tmp_path: Path) -> None:
    from lazaretto.batch._delivery import copy_delivery
    from lazaretto.batch._places import OF_THIS_MACHINE
    from lazaretto.policy import Limits

    folder = _parts(tmp_path / "f", "csv", **{"1": [{"id": 1}], "x": [{"id": 2}]})
    archive = tmp_path / "archive.csv.tar"
    copied = copy_delivery(str(folder), archive, Limits(), OF_THIS_MACHINE)
    kinds = pa.schema([declared("day", pa.int32(), "the contract")])
    found = decoded(archive, format=copied.format, wanted=Wanted(declared=kinds, lenient=True))
    assert found.table()["day"].to_pylist() == ["1", "x"]
    with pytest.raises(DeliveryError, match="'x' is not exactly a value of type int32"):
        open_batch(folder, wanted=Wanted(declared=kinds))


def test_parts_in_different_folders_have_the_same_header(tmp_path: Path) -> None:
    folder = _parts(tmp_path / "f", "csv", **{"1": [{"id": 1}], "2": [{"number": 2}]})
    with pytest.raises(DeliveryError, match="different headers"):
        open_batch(folder)
