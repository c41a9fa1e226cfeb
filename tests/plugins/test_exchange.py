"""A case as a file: harmless in a spreadsheet, whole in Parquet; decisions come back as asked."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yard import blobs

from lazaretto.errors import UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import HeldRecordsRead, RecordsDecided
from lazaretto.quarantine import review
from lazaretto.quarantine.export import as_it_was, export_case, harmless
from lazaretto.quarantine.importing import import_decisions, read_decisions

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient
    from yard import Yard

pytestmark = pytest.mark.airflow
HERE = {"X-Lazaretto-Request": "1"}
FORMULAS = [
    "=HYPERLINK(1)",
    "+1",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    " =1",
    "\uff1d1",
    "'=1",
    "''+1",
]


@pytest.fixture
def case(yard: Yard) -> str:
    """A case with the records m0 to m5, whose texts are formulas."""
    rows = blobs(60, seed=5, prefix="m", flips=6)
    texts = [FORMULAS[n % len(FORMULAS)] for n in range(60)]
    judged = yard.judge("monday", rows.set_column(3, "text", [texts]))
    assert judged.held == 6
    return str(judged.case)


@pytest.fixture
def client(yard: Yard) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    return TestClient(SecureHeaders(create_app(lambda: yard.workspace)))


def _exported(yard: Yard, case: str, kind: Any, **which: str) -> bytes:
    file = io.BytesIO()
    export_case(yard.workspace, case, file, kind, which)
    return file.getvalue()


def _rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def _as_csv(rows: list[dict[str, str]]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


@given(st.text())
def test_no_cell_is_a_formula_and_every_cell_can_be_read_back(text: str) -> None:
    cell = harmless(text)
    assert (
        cell.lstrip()[:1] not in {*"=+-@\t\r\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"}
        or cell == ""
    )
    assert cell[:1] not in ("\t", "\r", "\n")
    assert as_it_was(cell) == text


def test_a_spreadsheet_gets_every_column_and_no_formula(yard: Yard, case: str) -> None:
    rows = _rows(_exported(yard, case, "csv"))
    assert [row["_lazaretto_record"] for row in rows] == [f"m{n}" for n in range(6)]
    assert [row["text"] for row in rows] == ["'" + text for text in FORMULAS[:6]]
    assert json.loads(rows[0]["_lazaretto_reasons"])
    assert len(json.loads(rows[0]["vector"])) == 8


def test_parquet_is_what_was_delivered_with_what_was_decided(yard: Yard, case: str) -> None:
    review.decide(yard.workspace, case, review.Action.REWEIGHT, ids=["m1"], weight=0.5, reason="?")
    table = pq.read_table(pa.BufferReader(_exported(yard, case, "parquet")))
    assert table["text"].to_pylist() == FORMULAS[:6]
    assert table["_lazaretto_decision"].to_pylist()[:3] == [None, "REWEIGHT", None]
    assert table["_lazaretto_decided_weight"].to_pylist()[1] == 0.5


def test_a_filter_narrows_an_export_and_the_read_log_has_it(yard: Yard, case: str) -> None:
    review.decide(yard.workspace, case, review.Action.REJECT, ids=["m0", "m3"], reason="no")
    for _ in range(2):
        rows = _rows(_exported(yard, case, "csv", action="REJECT"))
        assert [row["_lazaretto_record"] for row in rows] == ["m0", "m3"]
    with yard.workspace.catalog.read() as connection:
        read = [e.event for e in entries(connection, kinds=[HeldRecordsRead.kind])]
    assert [(e.via, e.first, e.last, e.records) for e in read] == [("export", 0, 3, 2)] * 2  # type: ignore[union-attr]


def test_decisions_come_back_as_asked(yard: Yard, case: str) -> None:
    rows = _rows(_exported(yard, case, "csv"))
    wanted = [
        ("REJECT", "", ""),
        ("release", "", ""),
        ("RELABEL", "2", ""),
        ("REWEIGHT", "", ".25"),
    ]
    for row, (action, label, weight) in zip(rows, [*wanted, wanted[0]], strict=False):
        row["_lazaretto_decision"] = action
        row["_lazaretto_decided_label"], row["_lazaretto_decided_weight"] = label, weight
    found = read_decisions(yard.workspace, case, _as_csv(rows), "csv")
    assert (found.records, found.as_they_are) == (5, 1)
    assert review.list_decisions(yard.workspace, case) == []  # only read so far
    made = import_decisions(yard.workspace, found, reason="a spreadsheet")
    assert [(d.action.value, d.records, d.label, d.weight) for d in made] == [
        ("REJECT", 2, None, None),
        ("RELEASE", 1, None, None),
        ("RELABEL", 1, "2", None),
        ("REWEIGHT", 1, None, 0.25),
    ]
    actions = [record.action for record in review.held_records(yard.workspace, case)]
    assert actions == ["REJECT", "RELEASE", "RELABEL", "REWEIGHT", "REJECT", None]
    again = read_decisions(yard.workspace, case, _exported(yard, case, "csv"), "csv")
    assert (again.records, again.as_they_are) == (0, 6)  # an export as it is changes nothing
    review.publish(yard.workspace, case)
    assert sorted(yard.ids()) == ["m1", "m2", "m3"]


def test_argilla_s_answers_come_back(yard: Yard, case: str) -> None:
    records = json.loads(_exported(yard, case, "argilla"))
    assert records[0]["id"] == f"{case}:0"
    assert records[0]["fields"] == {"text": FORMULAS[0]}
    assert {"label"} <= set(records[0]["suggestions"])
    records[0]["responses"] = {"decision": [{"value": "REJECT", "user_id": "1"}]}
    right = "1" if records[1]["suggestions"]["label"]["value"] == "2" else "2"
    records[1]["responses"] = {"label": [{"value": right, "user_id": "1"}, {"value": right}]}
    delivered = records[2]["suggestions"]["label"]["value"]
    records[2]["responses"] = {"label": [{"value": delivered, "user_id": "1"}]}
    content = json.dumps(records).encode()
    made = import_decisions(
        yard.workspace, read_decisions(yard.workspace, case, content, "argilla")
    )
    assert [(d.action.value, d.label, d.records) for d in made] == [
        ("REJECT", None, 1),
        ("RELABEL", right, 1),
    ]
    records[0]["responses"]["decision"].append({"value": "RELEASE", "user_id": "2"})
    with pytest.raises(UsageError, match="disagree"):
        read_decisions(yard.workspace, case, json.dumps(records).encode(), "argilla")


HEAD = (
    "_lazaretto_position,_lazaretto_decision,_lazaretto_decided_label,_lazaretto_decided_weight\n"
)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"\xff\xfe", "csv", "not UTF-8"),
        (b"a,b\n1,2\n", "csv", "no column _lazaretto_position"),
        (f"{HEAD}x,REJECT,,\n".encode(), "csv", "line 2: 'x' is no position"),
        (f"{HEAD}0,BURN,,\n".encode(), "csv", "line 2: 'BURN' is no decision"),
        (f"{HEAD}0,RELABEL,,\n".encode(), "csv", "RELABEL needs a label"),
        (f"{HEAD}0,REWEIGHT,,much\n".encode(), "csv", "needs a weight"),
        (f"{HEAD}0,REWEIGHT,,nan\n".encode(), "csv", "weight"),
        (f"{HEAD}0,REWEIGHT,,-1\n".encode(), "csv", "weight"),
        (f"{HEAD}0,REJECT,,\n0,RELEASE,,\n".encode(), "csv", "there 2 times"),
        (f"{HEAD}59,REJECT,,\n".encode(), "csv", "no record at position 59"),
        (b"{}", "argilla", "not a list"),
        (b"[" * 100_000, "argilla", "not JSON"),
        (b'[{"id": "case-other:0"}]', "argilla", "not of case-"),
        (b"[3]", "argilla", "record 1 is not an object"),
    ],
)
def test_a_file_that_cannot_be_meant_decides_nothing(
    yard: Yard, case: str, content: bytes, kind: Any, message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        read_decisions(yard.workspace, case, content, kind)
    assert message in str(raised.value)
    assert review.list_decisions(yard.workspace, case) == []


def test_over_the_api_under_the_name_that_signed_in(
    client: TestClient, token: Callable[[str], dict[str, str]], yard: Yard, case: str
) -> None:
    ann = token("OP") | HERE
    sent = client.get(f"/api/v1/cases/{case}/export?format=csv&label=0", headers=ann)
    assert sent.headers["content-disposition"] == f'attachment; filename="{case}.csv"'
    assert sent.headers["x-content-type-options"] == "nosniff"
    rows = _rows(sent.content)
    for row in rows:
        row["_lazaretto_decision"] = "REJECT"
    body = {"format": "csv", "text": _as_csv(rows).decode(), "reason": "by hand"}
    at = f"/api/v1/cases/{case}/import"
    preview = client.post(at, headers=ann, json=body).json()
    assert (preview["records"], preview["decisions"]) == (len(rows), [])
    done = client.post(at, headers=ann, json=body | {"apply": True, "seen": 0}).json()
    assert [made["records"] for made in done["decisions"]] == [len(rows)]
    late = client.post(at, headers=ann, json=body | {"apply": True, "seen": 0})
    assert late.status_code in (200, 409)
    assert late.json().get("records", 0) == 0 or late.status_code == 409
    with yard.workspace.catalog.read() as connection:
        (read,) = entries(connection, kinds=[HeldRecordsRead.kind])
        (decided,) = entries(connection, kinds=[RecordsDecided.kind])
    assert (read.actor.id, decided.actor.id) == ("user:op", "user:op")


def test_who_may_only_look_may_export_and_not_import(
    client: TestClient, token: Callable[[str], dict[str, str]], case: str
) -> None:
    viewer = token("VIEWER") | HERE
    assert client.get(f"/api/v1/cases/{case}/export?format=csv", headers=viewer).status_code == 200
    body = {"format": "csv", "text": HEAD}
    at = f"/api/v1/cases/{case}/import"
    assert client.post(at, headers=viewer, json=body).status_code == 403
    assert client.post(at, headers=token("OP"), json=body).status_code == 403  # not from here
