"""Cleaning on a batch's whole way: held, dropped, mended, flagged; copies across batches."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.cli.app import app
from lazaretto.dataset.compact import compact
from lazaretto.dataset.delta import FLAGS
from lazaretto.dataset.history import version_files
from lazaretto.dataset.recall import recall
from lazaretto.dataset.record_index import catch_up
from lazaretto.errors import AdmissionRefusedError, NotFoundError
from lazaretto.health.check import check
from lazaretto.ledger.chain import entry
from lazaretto.policy import Policy
from lazaretto.quarantine import review
from lazaretto.stages.found import list_found
from lazaretto.stages.rejudge import rejudge
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table
from lazaretto.values import Action, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.ledger.events import BatchValidated

pytestmark = pytest.mark.alike
_OFF = {"lengths": {"action": "off"}}
_TEXT = {"columns": ["text"]}


def _cleaned(yard: Yard, **rules: Mapping[str, Any]) -> Yard:
    """The yard with a section on cleaning."""
    return replace(yard, policy=make_policy(cleaning=_OFF | rules))


def _texts(rows: pa.Table, **changed: str) -> pa.Table:
    """Rows with other texts, by record id."""
    ids = rows["id"].to_pylist()
    texts = [
        changed.get(name, old) for name, old in zip(ids, rows["text"].to_pylist(), strict=True)
    ]
    return rows.set_column(rows.schema.get_field_index("text"), "text", pa.array(texts))


def _own(rows: pa.Table, word: str) -> pa.Table:
    """Rows with texts that no other delivery has."""
    texts = [f"{word} {name} sent this" for name in rows["id"].to_pylist()]
    return rows.set_column(rows.schema.get_field_index("text"), "text", pa.array(texts))


def _validated(yard: Yard, judged: stages.Judgement) -> BatchValidated:
    with yard.workspace.catalog.read() as connection:
        seq = entry(connection, judged.seq).event.validated  # type: ignore[attr-defined]
        return entry(connection, seq).event  # type: ignore[return-value]


def _count(yard: Yard, table: sa.Table) -> int:
    with yard.workspace.catalog.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_what_is_found_is_held_with_reasons_released_and_published(
    sqlite_yard: Yard,
) -> None:
    yard = _cleaned(sqlite_yard)
    judged = yard.judge("one", _texts(blobs(60, seed=5), r3="vi\u0430gra", r4="x\u202ey"))
    assert judged.verdict is Verdict.HOLD_RECORDS
    held = review.held_records(yard.workspace, str(judged.case))
    assert {r.record_id: r.reason for r in held} == {
        "r3": "contract:cleaning.homoglyphs",
        "r4": "contract:cleaning.bidi_controls",
    }
    assert stages.admit(yard.workspace, judged.batch).rows == 58
    review.decide(
        yard.workspace, str(judged.case), Action.RELEASE, ids=["r3"], reason="quoted on purpose"
    )
    published = review.publish(yard.workspace, str(judged.case))
    assert published is not None
    assert published.rows == 1
    assert "r3" in yard.ids()
    assert "r4" not in yard.ids()


def test_a_mended_value_goes_on_and_the_original_is_kept(sqlite_yard: Yard) -> None:
    yard = _cleaned(sqlite_yard, invisible={"action": "fix"}, exact_duplicates={"action": "off"})
    rows = _texts(blobs(60, seed=5, flips=4), r0="fr\u200bee", r9="mon\u200bey", r10="x\u202ey")
    judged = yard.judge("one", rows)
    held = {r.record_id for r in review.held_records(yard.workspace, str(judged.case))}
    assert {"r0", "r10"} <= held
    stages.admit(yard.workspace, judged.batch)
    admitted = yard.dataset()
    texts = dict(zip(admitted["id"].to_pylist(), admitted["text"].to_pylist(), strict=True))
    assert texts["r9"] == "money"
    flags = dict(zip(admitted["id"].to_pylist(), admitted[FLAGS].to_pylist(), strict=True))
    assert flags["r9"] == ["cleaning.invisible"]
    assert flags["r11"] is None
    assert set(texts) == {f"r{n}" for n in range(60)} - held, "record ids are those delivered"
    row = review.held_rows(yard.workspace, str(judged.case), [0]).to_pylist()[0]
    assert row["text"] == "free", "a reviewer sees what would go on"
    cleaned = _validated(yard, judged).cleaned
    assert cleaned is not None
    assert cleaned.fixes is not None
    assert (cleaned.fixed, cleaned.dropped) == (2, 0)
    fixes = read_table(yard.workspace.store, cleaned.fixes)
    assert fixes.select(["record_id", "original", "fixed"]).to_pylist() == [
        {"record_id": "r0", "original": "fr\u200bee", "fixed": "free"},
        {"record_id": "r9", "original": "mon\u200bey", "fixed": "money"},
    ]
    assert any("2 mended" in note for note in judged.notes)


def test_what_is_mended_keeps_ids_that_are_made_of_content(sqlite_yard: Yard) -> None:
    policy = make_policy(
        columns={"label": "label", "embedding": "vector"},
        cleaning=_OFF | {"invisible": {"action": "fix"}},
    )
    yard = replace(sqlite_yard, policy=policy)
    rows = _texts(blobs(60, seed=5), r9="mon\u200bey")
    batch = yard.receive("one", rows).id
    plain = stages.validate(yard.workspace, batch, make_policy(columns=policy.columns.model_dump()))
    mended = stages.validate(yard.workspace, batch, policy).said
    assert mended.cleaned is not None
    assert mended.cleaned.fixes is not None
    (fix,) = read_table(yard.workspace.store, mended.cleaned.fixes)["record_id"].to_pylist()
    for stage in (stages.embed, stages.screen):
        stage(yard.workspace, batch, policy)
    stages.gate(yard.workspace, batch, policy)
    stages.admit(yard.workspace, batch)
    admitted = yard.dataset()
    at = admitted["_lazaretto_record"].to_pylist().index(fix)
    assert admitted["text"][at].as_py() == "money"
    assert plain.said.failing_rows == mended.failing_rows == 0


def test_a_dropped_record_waits_for_nobody_and_a_person_brings_it_back(
    sqlite_yard: Yard,
) -> None:
    yard = _cleaned(sqlite_yard, exact_duplicates={"action": "drop", **_TEXT})
    judged = yard.judge("one", _texts(blobs(60, seed=5), r8="record 2 <script>"))
    assert review.list_cases(yard.workspace) == [], "nobody has to look"
    case = review.show_case(yard.workspace, str(judged.case))
    assert (case.state, case.actions) == ("CLOSED", {"REJECT": 1})
    assert any("1 dropped" in note for note in judged.notes)
    (decision,) = review.list_decisions(yard.workspace, case.id)
    assert (decision.actor.id, decision.records) == ("policy:blobs", 1)
    assert stages.admit(yard.workspace, judged.batch).rows == 59
    assert "r8" not in yard.ids()
    review.undo(yard.workspace, decision.id, reason="both are wanted")
    assert review.show_case(yard.workspace, case.id).state == "OPEN"
    review.decide(yard.workspace, case.id, Action.RELEASE, ids=["r8"], reason="both are wanted")
    review.publish(yard.workspace, case.id)
    assert "r8" in yard.ids()
    assert check(yard.workspace, deep=True).findings == []


def test_dropped_records_do_not_hold_the_batch(sqlite_yard: Yard) -> None:
    yard = _cleaned(sqlite_yard, exact_duplicates={"action": "drop", **_TEXT})
    rows = blobs(60, seed=5)
    same = pa.array(["the same"] * 60)
    judged = yard.judge("one", rows.set_column(3, "text", same))
    assert judged.verdict is Verdict.HOLD_RECORDS
    assert (judged.held, judged.cleared) == (59, 1)


def test_a_copy_anywhere_in_history_names_the_first(yard: Yard) -> None:
    yard = _cleaned(yard, exact_duplicates={"action": "hold", **_TEXT})
    one = yard.admit("one", blobs(30, seed=5, prefix="a"))
    yard.admit("two", _own(blobs(30, seed=6, prefix="b"), "two"))
    rows = _own(blobs(30, seed=7, prefix="c"), "three")
    rows = _texts(rows, c1="RECORD 7  <script>\u200b", c2="two b9 sent this")
    judged = yard.judge("three", rows, "vendor-b")
    held = review.held_records(yard.workspace, str(judged.case))
    rule = "contract:cleaning.exact_duplicates.other_source"
    assert {r.record_id: r.reason for r in held} == {"c1": rule, "c2": rule}
    kept = review.held_rows(yard.workspace, str(judged.case), [1, 2]).to_pylist()
    reasons = {row["id"]: " ".join(row["_lazaretto_reasons"]) for row in kept}
    assert f"record 'a7' of {one.batch}, which vendor-a delivered first" in reasons["c1"]
    assert "record 'b9'" in reasons["c2"]
    assert stages.admit(yard.workspace, judged.batch).rows == 28


def test_what_is_recalled_is_nobodys_original_any_more(
    sqlite_yard: Yard,
) -> None:
    yard = _cleaned(sqlite_yard, exact_duplicates={"action": "hold", **_TEXT})
    first = yard.admit("one", blobs(30, seed=5, prefix="a"))
    with_two = _texts(
        _own(blobs(30, seed=7, prefix="c"), "c"), c1="record 7 <script>", c2="record 8 <script>"
    )
    assert yard.judge("two", with_two).held == 2
    recall(yard.workspace, "blobs", ids=[f"{first.batch}#a7"], reason="it was wrong")
    three = _texts(
        _own(blobs(30, seed=8, prefix="d"), "d"), d1="record 7 <script>", d2="record 8 <script>"
    )
    judged = yard.judge("three", three)
    assert [r.record_id for r in review.held_records(yard.workspace, str(judged.case))] == ["d2"]
    assert _count(yard, tables.indexed_record) == 29


def test_of_two_batches_at_once_the_second_is_refused_and_judged_again(
    sqlite_yard: Yard,
) -> None:
    yard = _cleaned(sqlite_yard, exact_duplicates={"action": "hold", **_TEXT})
    yard.admit("zero", _own(blobs(30, seed=4, prefix="z"), "zero"))
    one = yard.judge("one", blobs(30, seed=5, prefix="a"))
    rows = _texts(_own(blobs(30, seed=7, prefix="c"), "c"), c1="record 7 <script>")
    two = yard.judge("two", rows, "vendor-b")
    assert (one.held, two.held) == (0, 0), "neither could see the other"
    stages.admit(yard.workspace, one.batch)
    with pytest.raises(AdmissionRefusedError, match="the first that of 'a7'") as refused:
        stages.admit(yard.workspace, two.batch)
    assert refused.value.code == "copied"
    again = rejudge(yard.workspace, two.batch, yard.policy, reason="a copy came meanwhile")
    assert again.held == 1
    assert stages.admit(yard.workspace, two.batch).rows == 29


def test_nothing_is_looked_for_again_where_copies_are_only_flagged(sqlite_yard: Yard) -> None:
    yard = _cleaned(sqlite_yard, exact_duplicates={"action": "flag", **_TEXT})
    one, two = (yard.judge(n, blobs(30, seed=5, prefix=n)) for n in ("a", "b"))
    assert stages.admit(yard.workspace, one.batch).rows == 30
    assert stages.admit(yard.workspace, two.batch).rows == 30
    three = yard.judge("c", blobs(30, seed=6, prefix="c"))
    cleaned = _validated(yard, three).cleaned
    assert cleaned is not None
    assert (three.held, cleaned.flagged) == (0, 30)


def test_near_copies_of_other_batches_are_found(yard: Yard) -> None:
    yard = _cleaned(yard, near_duplicates={"action": "hold", **_TEXT})
    long = "a review of a kettle that boils water fast and is quiet, bought by the buyer {} today"
    first = _texts(_own(blobs(30, seed=5, prefix="a"), "a"), a3=long.format("anna"))
    yard.admit("one", first)
    rows = _texts(_own(blobs(30, seed=6, prefix="b"), "completely other"), b4=long.format("berta"))
    judged = yard.judge("two", rows, "vendor-b")
    held = review.held_records(yard.workspace, str(judged.case))
    assert {r.record_id: r.reason for r in held}["b4"] == (
        "contract:cleaning.near_duplicates.other_source"
    )
    row = review.held_rows(yard.workspace, str(judged.case), [4]).to_pylist()[0]
    assert "nearly the text of record 'a3'" in " ".join(row["_lazaretto_reasons"])


def test_the_index_is_bounded_and_says_what_it_leaves_out(sqlite_yard: Yard) -> None:
    yard = replace(
        sqlite_yard,
        policy=make_policy(
            cleaning=_OFF | {"exact_duplicates": {"action": "hold", **_TEXT}, "index_records": 40}
        ),
    )
    yard.admit("one", blobs(30, seed=5, prefix="a"))
    yard.admit("two", _own(blobs(30, seed=6, prefix="b"), "b"))
    judged = yard.judge("three", blobs(30, seed=7, prefix="c"))
    assert judged.held == 0
    assert any("30 oldest records" in note for note in judged.notes)
    assert _count(yard, tables.indexed_record) == 30


def test_another_scheme_is_another_index_made_of_the_whole_dataset(sqlite_yard: Yard) -> None:
    """A policy that is tried out, or changed, finds what was admitted before it."""
    yard = sqlite_yard
    yard.admit("one", blobs(30, seed=5, prefix="a"))
    policies = [
        make_policy(cleaning=_OFF | {"exact_duplicates": {"action": "flag", "columns": columns}})
        for columns in (["text"], ["text", "label"], ["label"])
    ]
    for policy in policies:
        indexed = catch_up(yard.workspace, policy)
        assert indexed is not None
        assert indexed.version == 1
    assert _count(yard, tables.record_index) == 2
    assert _count(yard, tables.indexed_record) == 60
    batch = yard.receive("two", blobs(30, seed=9, prefix="b")).id
    found = stages.validate(yard.workspace, batch, policies[0]).said.cleaned
    assert found is not None
    assert found.flagged == 30


def test_a_policy_without_the_section_says_and_reads_what_it_did() -> None:
    """Its digests are those of before there was such a section."""
    policy = make_policy()
    assert "cleaning" not in policy.says
    assert Policy.model_validate_json(policy.says).says == policy.says
    assert policy.reads("embed", None) == ("6af95095" + policy.reads("embed", None)[8:]), (
        "older results of stages still count"
    )


def test_lengths_are_compared_with_the_sources_own(sqlite_yard: Yard) -> None:
    rules = {
        "exact_duplicates": {"action": "off"},
        "lengths": {"action": "hold", "level": 0.05, **_TEXT},
    }
    yard = replace(sqlite_yard, policy=make_policy(cleaning=rules))
    one = yard.judge("one", blobs(60, seed=5, prefix="a"))
    assert any("cannot judge text yet" in note for note in one.notes)
    rows = _texts(blobs(60, seed=6, prefix="b"), b5="x" * 3000)
    judged = yard.judge("two", rows)
    reasons = {r.record_id: r.reason for r in review.held_records(yard.workspace, str(judged.case))}
    assert reasons["b5"] == "contract:cleaning.lengths"
    other = yard.judge("three", rows.slice(0, 59), "vendor-b")
    assert any("cannot judge text yet: vendor-b" in note for note in other.notes)


def test_findings_are_listed_with_what_goes_on(sqlite_yard: Yard) -> None:
    yard = _cleaned(sqlite_yard, invisible={"action": "fix"}, exact_duplicates={"action": "off"})
    rows = _texts(blobs(30, seed=5), r2="mon\u200bey", r4="x\u202ey", r6="\ue000")
    batch = yard.receive("one", rows).id
    with pytest.raises(NotFoundError, match="section `cleaning`"):
        list_found(yard.workspace, batch)
    stages.validate(yard.workspace, batch, yard.policy)
    found = list_found(yard.workspace, batch)
    assert [(one.record_id, one.action, one.value, one.mended) for one in found] == [
        ("r2", "fix", "mon\\u200bey", "money"),
        ("r4", "hold", "x\\u202ey", None),
        ("r6", "flag", "\\ue000", None),
    ]
    assert [one.record_id for one in list_found(yard.workspace, batch, action="hold")] == ["r4"]
    assert [one.record_id for one in list_found(yard.workspace, batch, rule="invisible")] == ["r2"]
    workspace = yard.workspace
    words = ["batch", "findings", batch, "--action", "fix", "--json"]
    url = str(workspace.catalog.engine.url)
    done = CliRunner().invoke(
        app, [*words, "--catalog", url, "--store", str(yard.folder / "store")]
    )
    assert done.exit_code == 1, done.output
    (row,) = json.loads(done.stdout)
    assert (row["rule"], row["mended"]) == ("cleaning.invisible", "money")


def test_what_is_put_together_with_others_is_indexed_already(sqlite_yard: Yard) -> None:
    """Whose file has another name keeps its records; of what was recalled they are made anew."""
    yard = _cleaned(sqlite_yard, exact_duplicates={"action": "hold", **_TEXT})
    batches = [yard.admit(name, _own(blobs(30, seed=5, prefix=name), name)).batch for name in "abc"]
    catch_up(yard.workspace, yard.policy)

    def indexed() -> dict[str, int]:
        with yard.workspace.catalog.read() as connection:
            rows = connection.execute(sa.select(tables.indexed_file)).all()
        return {row.path: row.id for row in rows}

    before = indexed()
    compact(yard.workspace, "blobs")
    assert catch_up(yard.workspace, yard.policy) is not None
    after = indexed()
    assert sorted(after.values()) == sorted(before.values())
    assert not before.keys() & after.keys()
    with yard.workspace.catalog.read() as connection:
        files = version_files(connection, "blobs", 4)
    assert after.keys() == {file.key for file in files}
    recall(yard.workspace, "blobs", ids=[f"{batches[0]}#a7"], reason="it was wrong")
    copies = _texts(
        _own(blobs(30, seed=8, prefix="d"), "d"), d1="a a7 sent this", d2="b b9 sent this"
    )
    judged = yard.judge("four", copies)
    assert [r.record_id for r in review.held_records(yard.workspace, str(judged.case))] == ["d2"]
    assert _count(yard, tables.indexed_record) == 89
