"""The operations that `crash` kills: how to get there, what to call, what must hold afterwards."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deltalake import DeltaTable, write_deltalake
from yard import ANN, Yard, blobs, make_policy, make_yard

from lazaretto import health, models, stages
from lazaretto.authority.policies import register_policy
from lazaretto.dataset.recall import recall
from lazaretto.errors import NotFoundError
from lazaretto.health import reconcile
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import DatasetSetBack
from lazaretto.ledger.verify import verify
from lazaretto.quarantine import review
from lazaretto.reference import Reference
from lazaretto.registry.references import save_reference
from lazaretto.storage.workspace import open_workspace
from lazaretto.values import Action

_ROWS = blobs(60, seed=5, prefix="m", flips=4)


def _yard(url: str, folder: Path) -> Yard:
    workspace = open_workspace(catalog_url=url, store=folder / "store", actor=ANN)
    return Yard(workspace, make_policy(), folder)


def _fresh(url: str, folder: Path) -> Yard:
    workspace = open_workspace(catalog_url=url, store=folder / "store")
    return make_yard(workspace, str(folder / "reference" / "blobs" / "1"), folder)


def _batch(yard: Yard) -> str:
    from lazaretto.storage import tables

    with yard.workspace.catalog.read() as connection:
        return str(connection.execute(tables.batch.select()).first().id)  # type: ignore[union-attr]


def _case(yard: Yard) -> str:
    return review.list_cases(yard.workspace, state=None)[0].id


def _rows(yard: Yard) -> list[str]:
    try:
        return yard.ids()
    except NotFoundError:
        return []


def _entries(yard: Yard) -> list[ledger.Entry]:
    with yard.workspace.catalog.read() as connection:
        return list(ledger.entries(connection))


def _kinds(yard: Yard) -> list[str]:
    return [entry.kind for entry in _entries(yard)]


def _sound(yard: Yard) -> None:
    """What must hold at any moment, half-way or not."""
    assert verify(yard.workspace).ok
    rows = _rows(yard)
    assert len(rows) == len(set(rows)), "a record was admitted twice"
    held = {"m0", "m1", "m2", "m3"}
    cases = review.list_cases(yard.workspace, state=None)
    assert not rows or cases, "admitted before the quarantine was written"
    decided = {
        record.record_id
        for case in cases
        for record in review.held_records(yard.workspace, case.id, {"action": "RELEASE"})
    }
    assert not held & set(rows) - decided, "a held record was admitted"


def screened(url: str, folder: Path) -> None:
    """Where all start: one batch is received and screened, another one is at the door."""
    yard = _fresh(url, folder)
    batch = yard.receive("monday", _ROWS).id
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, yard.policy)
    yard.deliver("tuesday", blobs(60, seed=6, prefix="t"))


def nothing(url: str, folder: Path) -> None:
    """No more is needed."""


def receive(url: str, folder: Path) -> None:
    yard = _yard(url, folder)
    stages.receive(yard.workspace, folder / "tuesday.parquet", "vendor-a", policy=yard.policy)


def check_receive(url: str, folder: Path, *, done: bool) -> None:
    yard = _yard(url, folder)
    _sound(yard)
    files = [path for path in yard.workspace.store.list("batches") if "/delivered-" in path]
    whole = {path for path in files if path.endswith(".parquet")}
    wanted = [(folder / f"{name}.parquet").read_bytes() for name in ("monday", "tuesday")]
    kept = [Path(yard.workspace.store.uri(path)).read_bytes() for path in whole]
    assert all(content in wanted for content in kept), "half a file"
    if done:
        assert len(whole) == _kinds(yard).count("batch_received") == 2


def gate(url: str, folder: Path) -> None:
    yard = _yard(url, folder)
    stages.gate(yard.workspace, _batch(yard), yard.policy)


def check_gate(url: str, folder: Path, *, done: bool) -> None:
    yard = _yard(url, folder)
    _sound(yard)
    cases = review.list_cases(yard.workspace, state=None)
    assert len(cases) == _kinds(yard).count("batch_judged")
    for case in cases:
        assert review.count_records(yard.workspace, case.id) == case.held == 4
        assert review.held_rows(yard.workspace, case.id, [0, 1, 2, 3]).num_rows == 4
    assert not done or len(cases) == 1


def judged(url: str, folder: Path) -> None:
    gate(url, folder)


def admit(url: str, folder: Path) -> None:
    yard = _yard(url, folder)
    stages.admit(yard.workspace, _batch(yard))


def check_admit(url: str, folder: Path, *, done: bool) -> None:
    yard = _yard(url, folder)
    _sound(yard)
    assert len(_rows(yard)) in (0, 56)
    assert _kinds(yard).count("batch_admitted") == bool(_rows(yard))
    if done:
        assert len(_rows(yard)) == 56
        assert _kinds(yard).count("batch_admitted") == 1
        again = stages.admit(yard.workspace, _batch(yard))
        assert yard.dataset(again.version).num_rows == 56
        assert again.version is not None
        assert yard.dataset(again.version - 1).num_rows == 0


def _with_window(url: str, folder: Path) -> Yard:
    window = {"window": {"seconds": 3600, "batches": 5}}
    return replace(_yard(url, folder), policy=make_policy(admit=window))


def ready(url: str, folder: Path) -> None:
    """A dataset with a batch, and two that wait for their admission."""
    yard = _with_window(url, folder)
    yard.judge("monday", _ROWS)
    yard.judge("tuesday", blobs(60, seed=6, prefix="t"))
    yard.admit("sunday", blobs(60, seed=8, prefix="s"))  # the first, which goes alone


def _named(yard: Yard, name: str) -> str:
    from lazaretto.storage import tables

    with yard.workspace.catalog.read() as connection:
        query = tables.batch.select().where(tables.batch.c.uri.like(f"%{name}.parquet"))
        return str(connection.execute(query).one().id)


def admit_both(url: str, folder: Path) -> None:
    yard = _with_window(url, folder)
    stages.admit(yard.workspace, _named(yard, "monday"))


def check_admit_both(url: str, folder: Path, *, done: bool) -> None:
    """All enter, or none: for whoever opens the dataset, and for any reader of the table."""
    yard = _with_window(url, folder)
    table = DeltaTable(yard.workspace.store.uri("datasets/blobs"))
    assert table.to_pyarrow_table().num_rows in (60, 60 + 56 + 60)
    _sound(yard)
    entered = len(_rows(yard)) == 60 + 56 + 60
    assert entered or len(_rows(yard)) == 60
    assert _kinds(yard).count("batch_admitted") == (3 if entered else 1)
    if done:
        both = [stages.admit(yard.workspace, _named(yard, name)) for name in ("tuesday", "monday")]
        assert [one.version for one in both] == [2, 2]
        assert yard.dataset(1).num_rows == 60
        assert health.check(yard.workspace).findings == []


def decided(url: str, folder: Path) -> None:
    judged(url, folder)
    yard = _yard(url, folder)
    ids = ["m0", "m1"]
    review.decide(yard.workspace, _case(yard), Action.RELEASE, ids=ids, reason="fine")


def publish(url: str, folder: Path) -> None:
    yard = _yard(url, folder)
    review.publish(yard.workspace, _case(yard))


def check_publish(url: str, folder: Path, *, done: bool) -> None:
    yard = _yard(url, folder)
    _sound(yard)
    assert _rows(yard) == ["m0", "m1"] * _kinds(yard).count("batch_admitted")
    if done:
        assert _rows(yard) == ["m0", "m1"]
        assert _kinds(yard).count("batch_admitted") == 1


def admitted(url: str, folder: Path) -> None:
    judged(url, folder)
    admit(url, folder)
    yard = _yard(url, folder)
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", "1", "blobs", taken.version)


def take_out(url: str, folder: Path) -> None:
    yard = _yard(url, folder)
    ids = [f"{_batch(yard)}#m{number}" for number in (10, 11)]
    found = recall(yard.workspace, "blobs", ids=ids, reason="trigger")
    assert found.models == ["net@1"]


def check_recall(url: str, folder: Path, *, done: bool) -> None:
    yard = _yard(url, folder)
    _sound(yard)
    assert len(_rows(yard)) == 56 - 2 * _kinds(yard).count("records_recalled")
    if done:
        assert len(_rows(yard)) == 54
        assert not {"m10", "m11"} & set(_rows(yard))
        assert _kinds(yard).count("records_recalled") == 1


def in_small_files(url: str, folder: Path) -> None:
    admitted(url, folder)
    yard = _yard(url, folder)
    tuesday = yard.judge("tuesday", blobs(60, seed=6, prefix="t")).batch
    stages.admit(yard.workspace, tuesday)
    stages.admit(yard.workspace, yard.judge("friday", blobs(60, seed=7, prefix="f")).batch)
    register_policy(yard.workspace, make_policy(retention={"replaced_days": 30}), reason="less")


def maintain(url: str, folder: Path) -> None:
    later = datetime.now(UTC) + timedelta(days=31)
    health.maintain(_yard(url, folder).workspace, "blobs", apply=True, now=later)


def check_maintain(url: str, folder: Path, *, done: bool) -> None:
    yard = _yard(url, folder)
    _sound(yard)
    rows = _rows(yard)
    assert len(rows) == 56 + 60 + 60
    taken = stages.snapshot(yard.workspace, "blobs", version=1)
    assert taken.table().num_rows == 56
    if done:
        assert _kinds(yard).count("dataset_compacted") == 1
        assert _kinds(yard).count("dataset_pruned") == 1
        store = yard.workspace.store
        files = [n for n in store.list("datasets/blobs") if n.endswith(".parquet")]
        assert sum("_delta_log" not in name for name in files) == 2
        assert health.check(yard.workspace, deep=True).findings == []


def poisoned(url: str, folder: Path) -> None:
    """A dataset into which a reviewer let mislabelled records, and its newest version's number."""
    yard = _yard(url, folder)
    batch = yard.judge("many", blobs(240, seed=5, prefix="p", flips=18))
    stages.admit(yard.workspace, batch.batch)
    case = str(batch.case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="looks fine")
    review.publish(yard.workspace, case)


def sanitize(url: str, folder: Path) -> None:
    import torch

    yard = _yard(url, folder)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3))
    stages.sanitize_training(yard.workspace, "blobs", net, yard.policy, name="net@1", version=2)


def check_sanitize(url: str, folder: Path, *, done: bool) -> None:
    """What was found is on record together with its removal, or neither is."""
    yard = _yard(url, folder)
    assert verify(yard.workspace).ok
    kinds, rows = _kinds(yard), _rows(yard)
    found = kinds.count("training_sanitized")
    assert found == kinds.count("records_recalled") <= 1
    cases = [c for c in review.list_cases(yard.workspace, state=None) if c.origin == "sanitize"]
    assert len(cases) == found
    assert len(rows) == len(set(rows)) == 240 - sum(case.held for case in cases)
    assert bool({f"p{number}" for number in range(18)} & set(rows)) == (not found)
    assert not done or found == 1


def reworded(url: str, folder: Path) -> None:
    """A judged batch, and another reference promoted since."""
    judged(url, folder)
    yard = _yard(url, folder)
    other = Reference.fit(blobs(900, seed=3), yard.policy, name="blobs", version="other")
    save_reference(yard.workspace, other, promote=True)


def rejudge(url: str, folder: Path) -> None:
    yard = _yard(url, folder)
    stages.rejudge(yard.workspace, _batch(yard), yard.policy, reason="by the new reference")


def check_rejudge(url: str, folder: Path, *, done: bool) -> None:
    yard = _yard(url, folder)
    assert verify(yard.workspace).ok
    kinds = _kinds(yard)
    open_ = review.list_cases(yard.workspace)
    assert len(open_) == kinds.count("batch_judged") - kinds.count("judgement_set_aside") <= 1
    assert kinds.count("batch_judged") in (1, 2, 3)
    if done:
        assert kinds.count("batch_judged") >= 2
        assert [case.held for case in open_] == [review.count_records(yard.workspace, open_[0].id)]


def disagreeing(url: str, folder: Path) -> None:
    """Of three versions the table lacks two; in their place are three that are on no record."""
    admitted(url, folder)
    take_out(url, folder)
    yard = _yard(url, folder)
    lost = yard.admit("tuesday", blobs(60, seed=6, prefix="t"))
    home = Path(lost.uri)
    for file in stages.snapshot(yard.workspace, "blobs").files:
        if file.batch == lost.batch:
            Path(yard.workspace.store.uri(file.file.path)).unlink()
    for version in (2, 3):
        (home / "_delta_log" / f"{version:020}.json").unlink()
    for _ in range(3):
        write_deltalake(home, DeltaTable(home).to_pyarrow_table().slice(0, 2), mode="append")


def settle(url: str, folder: Path) -> None:
    reconcile(_yard(url, folder).workspace, apply=True, accept_loss=True)


def check_settle(url: str, folder: Path, *, done: bool) -> None:
    yard = _yard(url, folder)
    assert verify(yard.workspace).ok
    kinds = _kinds(yard)
    assert kinds.count("rows_lost") <= 1
    if done:
        assert kinds.count("rows_lost") == kinds.count("records_recalled") == 1
        assert len(_rows(yard)) == 54
        assert health.check(yard.workspace, deep=True).findings == []
        events = [e.event for e in _entries(yard) if isinstance(e.event, DatasetSetBack)]
        assert {len(event.set_aside) for event in events} <= {1, 2, 3}
        assert max(len(event.set_aside) for event in events) == 3


def promote(url: str, folder: Path) -> None:
    models.promote(_yard(url, folder).workspace, "net", "1", reason="it passed")


def check_promote(url: str, folder: Path, *, done: bool) -> None:
    """The name stands for what the ledger says, and was moved once."""
    yard = _yard(url, folder)
    _sound(yard)
    moves = _kinds(yard).count("model_aliased")
    names = stages.list_aliases(yard.workspace, "local", "net")
    assert [one.version for one in names] == ["1"] * moves
    assert moves <= 1
    assert not done or moves == 1


def in_use(url: str, folder: Path) -> None:
    """Two versions, the second one in use after the first."""
    admitted(url, folder)
    yard = _yard(url, folder)
    models.promote(yard.workspace, "net", "1")
    version = stages.snapshot(yard.workspace, "blobs").version
    stages.register_model(yard.workspace, "net", "2", "blobs", version)
    models.promote(yard.workspace, "net", "2")


def demote(url: str, folder: Path) -> None:
    # What was done before the kill is done: a name that stands for nothing is not taken away again.
    with suppress(NotFoundError):
        models.demote(_yard(url, folder).workspace, "net", reason="complaints")


def go_back(url: str, folder: Path) -> None:
    with suppress(NotFoundError):
        models.rollback(_yard(url, folder).workspace, "net", reason="complaints")


def check_demote(url: str, folder: Path, *, done: bool) -> None:
    _check_moved(_yard(url, folder), after=[], done=done)


def check_go_back(url: str, folder: Path, *, done: bool) -> None:
    _check_moved(_yard(url, folder), after=["1"], done=done)


def _check_moved(yard: Yard, *, after: list[str], done: bool) -> None:
    """The name was moved a third time, or was not; alias and ledger agree on which."""
    _sound(yard)
    moves = _kinds(yard).count("model_aliased")
    names = stages.list_aliases(yard.workspace, "local", "net")
    assert [one.version for one in names] == (after if moves == 3 else ["2"])
    assert moves == 3 or (moves == 2 and not done)
    assert health.check(yard.workspace).sound


FEW_WRITES = ("promote", "go_back")
OPERATIONS = {
    "promote": (admitted, promote, check_promote),
    "demote": (in_use, demote, check_demote),
    "go_back": (in_use, go_back, check_go_back),
    "sanitize": (poisoned, sanitize, check_sanitize),
    "rejudge": (reworded, rejudge, check_rejudge),
    "receive": (nothing, receive, check_receive),
    "gate": (nothing, gate, check_gate),
    "admit": (judged, admit, check_admit),
    "admit_both": (ready, admit_both, check_admit_both),
    "publish": (decided, publish, check_publish),
    "recall": (admitted, take_out, check_recall),
    "maintain": (in_small_files, maintain, check_maintain),
    "reconcile": (disagreeing, settle, check_settle),
}
