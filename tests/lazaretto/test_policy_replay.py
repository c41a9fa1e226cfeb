"""A replay is what a re-run in truth would be, and changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from catalogs import copy_sqlite
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from many import in_full
from typer.testing import CliRunner
from yard import Yard, blobs, make_policy, make_yard

from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.cli.app import app
from lazaretto.errors import AdmissionRefusedError, DeliveryError, NotFoundError, UsageError
from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import BatchJudged
from lazaretto.policy import Policy
from lazaretto.quarantine.review import decide, held_records
from lazaretto.sources.keys import keygen
from lazaretto.sources.manifest import sign_manifest
from lazaretto.sources.registry import add_key
from lazaretto.stages.policy_replay import replay_policy, replay_schema
from lazaretto.stages.rate_replay import replay_rate
from lazaretto.stages.receive import receive
from lazaretto.stages.replayed import HeldRecords
from lazaretto.storage.workspace import Workspace, open_workspace
from lazaretto.values import Action, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping


START = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
_CONTRACT = """
import pandera.polars as pa
class Record(pa.DataFrameModel):
    text: str = pa.Field(str_matches="[02468] <")
"""


def screen(**more: object) -> dict[str, Any]:
    section: dict[str, Any] = make_policy().model_dump(mode="json")["screen"]
    return section | more


CANDIDATES: dict[str, Mapping[str, object]] = {
    "same": {},
    "rate": {"screen": screen(false_quarantine_rate=0.2, hold="rate")},
    "pool": {"screen": screen(min_poison_share=0.05)},
    "drift": {"screen": screen(drift={"mode": "enforce", "alpha": 0.9})},
    "tests": {"screen": screen(batch={"alpha": 0.5, "hold_when_held_fraction": 0.05})},
    "one": {"screen": screen(detectors={"mahalanobis": {}}, calibrate_by="class")},
    "signed": {"sources": {"require_signature": True}},
    "short": {"limits": {"max_rows": 60}},
    "contract": {"contract": "contract.py:Record"},
    "width": {"columns": {"record_id": "id", "label": "label", "embedding": "no_such"}},
}


@dataclass(frozen=True)
class Delivery:
    """One of a generated history."""

    source: str
    kind: str
    rows: int
    seed: int

    def table(self, earlier: list[pa.Table]) -> pa.Table:
        flips = self.rows // 5 if self.kind == "flipped" else 0
        rows = blobs(self.rows, self.seed, prefix=f"{self.source[-1]}{self.seed}-", flips=flips)
        ids, kind = rows["id"].to_pylist(), rows.schema.field("vector").type
        if self.kind == "doubled":
            return rows.set_column(0, "id", pa.array([ids[1], *ids[1:]]))
        if self.kind == "broken":
            return rows.drop_columns(["label"])
        if self.kind == "drifted":
            vectors = np.stack(rows["vector"].to_numpy(zero_copy_only=False)) + np.float32(0.4)
            return rows.set_column(2, "vector", pa.array(list(vectors), kind))
        if self.kind == "again" and earlier:
            return earlier[0]
        if self.kind == "wider":
            return rows.append_column("more", pa.array(range(self.rows)))
        return rows


deliveries = st.builds(
    Delivery,
    st.sampled_from(["vendor-a", "vendor-b"]),
    st.sampled_from(["clean", "flipped", "doubled", "broken", "drifted", "again", "wider"]),
    st.sampled_from([24, 25, 26, 90]),
    st.integers(20, 29),
)


def fresh(made: Path, folder: Path, reference: str) -> Yard:
    workspace = open_workspace(
        catalog_url=copy_sqlite(made, folder / "catalog.db"), store=folder / "store"
    )
    return make_yard(workspace, reference, folder)


def run(yard: Yard, path: Path, source: str, at: datetime, manifest: bytes | None = None) -> Any:
    """A delivery's whole way, in truth: what was said, and what is held with which reasons."""
    workspace, policy = yard.workspace, yard.policy
    try:
        batch = receive(workspace, path, source, policy=policy, now=at, manifest=manifest).id
    except DeliveryError as error:
        return "REFUSED", [f"{error.code}: {error}"], None
    try:
        for stage in (stages.validate, stages.embed, stages.screen):
            stage(workspace, batch, policy)
        judged = stages.gate(workspace, batch, policy)
    except UsageError as error:
        return "FAILED", [str(error)], None
    notes = list(judged.notes)
    if not judged.verdict.holds_batch:
        try:
            stages.admit(workspace, batch, policy=policy)
        except DeliveryError as error:
            notes.append(f"it could not be admitted ({error.code}): {error}")
    with workspace.catalog.read() as connection:
        event = entry(connection, judged.seq).event
    assert isinstance(event, BatchJudged)
    held = HeldRecords.read(workspace.store, event.held_records)
    return judged.verdict.value, notes, list(zip(held.positions, held.reasons, strict=True))


def decide_some(yard: Yard, case: str | None, batch: str) -> dict[int, str]:
    """Rejects every other held record, and releases the third if it can enter; the rest waits."""
    if case is None:
        return {}
    held = held_records(yard.workspace, case)
    reject, release = [one.record_id for one in held[::2]], [one.record_id for one in held[1:2]]
    decide(yard.workspace, case, Action.REJECT, ids=reject, reason="no")
    try:
        if release:
            decide(yard.workspace, case, Action.RELEASE, ids=release, reason="yes")
    except AdmissionRefusedError:
        release = []
    return {
        one.position: "RELEASE" if one.record_id in release else "REJECT"
        for one in held
        if one.record_id in [*reject, *release]
    }


@given(
    history=st.lists(deliveries, min_size=3, max_size=4, unique_by=lambda d: (d.source, d.seed)),
    name=st.sampled_from(sorted(CANDIDATES)),
)
@settings(
    max_examples=40 if in_full() else 3,
    deadline=None,
    phases=[Phase.generate],  # an example takes seconds, so it is not made smaller
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_replay_is_what_a_run_in_truth_is(
    made_catalog: Path,
    fitted_reference: str,
    tmp_path_factory: pytest.TempPathFactory,
    history: list[Delivery],
    name: str,
) -> None:
    folder = tmp_path_factory.mktemp("history")
    yard = fresh(made_catalog, folder / "past", fitted_reference)
    (folder / "contract.py").write_text(_CONTRACT)
    policy = make_policy(**CANDIDATES[name]).loaded_from(str(folder / "c.yaml"), "0" * 64)
    came: list[tuple[Path, str, datetime, str]] = []
    held_before: dict[str, dict[int, str]] = {}
    tables: list[pa.Table] = []
    for number, one in enumerate(history):
        tables.append(one.table(tables))
        path, at = yard.deliver(f"d{number}", tables[-1]), START + timedelta(days=number)
        try:
            received = receive(yard.workspace, path, one.source, policy=yard.policy, now=at)
        except DeliveryError:
            continue  # the same records again: they never came in, here or in truth
        run(yard, path, one.source, at)
        judged = stages.gate(yard.workspace, received.id, yard.policy)
        actions = decide_some(yard, judged.case, received.id)
        records = [] if judged.case is None else held_records(yard.workspace, judged.case)
        held_before[received.id] = {
            one.position: actions.get(one.position, "UNDECIDED") for one in records
        }
        came.append((path, one.source, at, received.id))
    truth = replace(fresh(made_catalog, folder / "truth", fitted_reference), policy=policy)
    replayed = replay_policy(yard.workspace, policy)
    assert [one.batch for one in replayed.batches] == [batch for *_, batch in came]
    total: Counter[str] = Counter()
    for (path, source, at, batch), one in zip(came, replayed.batches, strict=True):
        verdict, notes, held = run(truth, path, source, at)
        assert (one.after.verdict, one.after.notes) == (verdict, notes)
        if held is None:
            held = [(at, "refused") for at in range(one.rows)]
        assert one.after.reasons == Counter(reason for _, reason in held)
        now, before = {at for at, _ in held}, held_before[batch]
        assert one.change.would_hold == len(now - before.keys())
        released = Counter(action for at, action in before.items() if at not in now)
        assert one.change.would_release == released
        kept = Counter(action for at, action in before.items() if at in now)
        assert one.change.still_held == kept
        assert one.missed == released["REJECT"] == sum(r.missed for r in one.reasons)
        total += released
    assert replayed.total.would_release == total
    assert replayed.left_out == []
    jsonschema.validate(to_json(replayed), replay_schema())
    for used in (yard, truth):
        used.workspace.catalog.engine.dispose()


def digests(workspace: Workspace) -> tuple[str, str]:
    """Of every row of the catalog, and of every file of the store."""
    rows, files = hashlib.sha256(), hashlib.sha256()
    with workspace.catalog.read() as connection:
        for name in sorted(sa.inspect(connection).get_table_names()):
            found = connection.exec_driver_sql(f'SELECT * FROM "{name}"').all()
            rows.update(repr((name, sorted(map(repr, found)))).encode())
    root = Path(workspace.store.root)
    for path in sorted(root.rglob("*")):
        files.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
    return rows.hexdigest(), files.hexdigest()


@pytest.fixture
def watched(yard: Yard) -> Yard:
    """A yard with two batches: one in review, and a clean one."""
    return watch(yard)


def watch(yard: Yard) -> Yard:
    judged = yard.judge("monday", blobs(90, 5, prefix="m", flips=9))
    decide_some(yard, judged.case, judged.batch)
    stages.admit(yard.workspace, judged.batch)
    yard.admit("tuesday", blobs(60, 6, prefix="t"))
    return yard


def test_replaying_twice_changes_nothing_and_says_the_same(
    watched: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(working))
    before = digests(watched.workspace)
    told: list[tuple[str, int, int]] = []
    lax = make_policy(screen=screen(detectors={"mahalanobis": {"mode": "shadow"}}))
    first = replay_policy(watched.workspace, lax, tell=lambda *step: told.append(step))
    assert replay_policy(watched.workspace, lax) == first
    assert digests(watched.workspace) == before
    assert list(working.iterdir()) == []
    assert told == [("batches", done, 2) for done in range(3)]
    monday, tuesday = first.batches
    assert (monday.missed, monday.same, tuesday.same) == (5, False, True)
    assert first.missed == first.total.would_release["REJECT"] == 5
    assert (first.same, first.verdicts, first.records) == (False, 1, 150)
    same = replay_policy(watched.workspace, watched.policy)
    assert (same.same, same.total.would_hold, same.missed) == (True, 0, 0)
    assert sum(same.total.still_held.values()) == monday.before.held


def test_what_is_gone_or_changed_is_named(sqlite_yard: Yard) -> None:
    from lazaretto.health import prune

    yard, now = sqlite_yard, datetime.now(UTC)
    yard = replace(yard, policy=make_policy(retention={"delivered_days": 100}))
    yard.admit("old", blobs(60, 5, prefix="o"))
    stages.snapshot(yard.workspace, "blobs")
    prune(yard.workspace, apply=True, now=now + timedelta(days=101))
    kept = [yard.judge(name, blobs(60, 6 + n, prefix=name)) for n, name in enumerate("abc")]
    root = Path(yard.workspace.store.root)
    for judged, name in zip(kept, ("data-*.arrow", "delivered-*.parquet"), strict=False):
        (path,) = root.glob(f"batches/{judged.batch}/{name}")
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    before = digests(yard.workspace)
    found = replay_policy(yard.workspace, yard.policy)
    assert [one.batch for one in found.batches] == [kept[2].batch]
    assert "deleted by retention" in found.left_out[0].why
    assert [one.batch for one in found.left_out[1:]] == [judged.batch for judged in kept[:2]]
    assert all("changed" in one.why or "sha256" in one.why for one in found.left_out[1:])
    assert not any(one.judged for one in found.left_out)
    assert digests(yard.workspace) == before


def test_signatures_count_as_of_today_and_at_the_time_of_receipt(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    private, public = keygen()
    add_key(yard.workspace, "vendor-a", public, valid_from=START, valid_to=START + DAY)
    path = yard.deliver("monday", blobs(60, 5))
    moments = {"collected_from": START, "collected_to": START, "issued_at": START}
    manifest = sign_manifest(path, source="vendor-a", private_key=private, **moments)
    run(yard, path, "vendor-a", START + DAY / 2, manifest)
    run(yard, yard.deliver("bare", blobs(60, 6, prefix="b")), "vendor-a", START + DAY / 2)
    strict = make_policy(sources={"require_signature": True})
    signed, bare = replay_policy(yard.workspace, strict).batches
    assert (signed.same, signed.after.verdict) == (True, "PASS")
    assert (bare.after.verdict, bare.after.reasons) == ("REFUSED", {"refused": 60})
    assert bare.after.notes[0].startswith("unsigned: ")
    assert bare.change.would_hold == 60
    path.unlink()  # only what was kept is read
    assert replay_policy(yard.workspace, strict).batches == [signed, bare]
    assert replay_policy(yard.workspace, strict, since=START + DAY).batches == []


def test_only_batches_of_the_dataset_are_judged_again(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    monday = yard.judge("monday", blobs(60, 5))
    other = replace(yard, policy=make_policy(dataset="other", screen=screen(reference="blobs")))
    tuesday = other.judge("tuesday", blobs(60, 6, prefix="t"))
    mine = make_policy(dataset="third", screen=screen(reference="blobs"))
    with pytest.raises(NotFoundError, match="no reference 'third'"):
        replay_policy(yard.workspace, make_policy(dataset="third"), dataset="blobs")
    found = replay_policy(yard.workspace, mine, dataset="blobs")
    assert [one.batch for one in found.batches] == [monday.batch]
    assert found.dataset == "blobs"
    found = replay_policy(yard.workspace, mine, dataset="other")
    assert [one.batch for one in found.batches] == [tuesday.batch]


def test_the_command_says_what_would_be_different(sqlite_yard: Yard) -> None:
    watched = watch(sqlite_yard)
    workspace = watched.workspace
    register_policy(workspace, watched.policy, reason="we begin")
    file = watched.folder / "candidate.yaml"
    url = workspace.catalog.engine.url.render_as_string(hide_password=False)

    def ask(*words: str, code: int, policy: Policy = watched.policy) -> str:
        file.write_text(json.dumps(policy.model_dump(mode="json")))
        environment = {"LAZARETTO_CATALOG_URL": url, "LAZARETTO_STORE": workspace.store.root}
        command = ["policy", "replay", str(file), "--since", "2020-01-01", *words]
        result = CliRunner().invoke(app, command, env=environment | {"COLUMNS": "300"})
        assert result.exit_code == code, result.output
        return result.stdout if code != 2 else result.output

    assert "Nothing would be different" in ask("--reference", "blobs/1", code=0)
    lax = make_policy(screen=screen(detectors={"mahalanobis": {"mode": "shadow"}}))
    words = ask(code=1, policy=lax)
    assert "What would be different" in words
    assert "5 that reviewers rejected" in words
    told = json.loads(ask("--json", code=1, policy=lax))
    jsonschema.Draft202012Validator(replay_schema()).validate(told)
    assert told["missed"] == 5
    assert "Cannot say" in ask("--since", "2999-01-01", code=4)
    assert "no reference 'blobs/9'" in ask("--reference", "blobs/9", code=2)
    assert "no file" in ask("--contract", "none.py:Record", code=2)


def test_every_entry_of_a_replay_is_described() -> None:
    def walk(schema: Any) -> None:
        for section in [schema, *schema["$defs"].values()]:
            for name, value in section.get("properties", {}).items():
                assert value["description"], name

    walk(replay_schema())
    shipped = Path(__file__).parents[2] / "docs/reference/policy-replay.schema.json"
    assert json.loads(shipped.read_text("utf-8")) == replay_schema()


def test_a_rate_on_the_page_gives_what_a_replay_of_that_policy_gives(sqlite_yard: Yard) -> None:
    yard = watch(sqlite_yard)
    yard.judge("small", blobs(24, 9, prefix="s", flips=4))
    before = digests(yard.workspace)
    bounds = {"batches": 9, "most_records": 1000, "seconds": 600.0}
    found = replay_rate(yard.workspace, "blobs", 0.2, **bounds)
    section = screen(false_quarantine_rate=0.2)
    whole = replay_policy(yard.workspace, make_policy(screen=section))
    assert found.batches == whole.batches
    assert (found.total, found.candidate) == (whole.total, whole.candidate)
    few = replay_rate(yard.workspace, "blobs", 0.2, **(bounds | {"most_records": 90}))
    assert [one.rows for one in few.batches] == [60, 24]
    late = replay_rate(yard.workspace, "blobs", 0.2, **(bounds | {"seconds": -1.0}))
    assert (late.batches, len(late.left_out)) == ([], 3)
    assert digests(yard.workspace) == before


def test_another_rate_is_tried_without_loading_the_contract(
    sqlite_yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page does it, in Airflow's API server: no code of the policy's owner runs there."""
    loaded = tmp_path / "loaded"
    (tmp_path / "rules.py").write_text(
        f"from pathlib import Path\nPath({str(loaded)!r}).open('a').write('x')\n"
        "import pandera.polars as pa\n"
        "class Record(pa.DataFrameModel):\n    id: str = pa.Field()\n"
    )
    file = tmp_path / "policy.yaml"
    says = sqlite_yard.policy.model_dump(mode="json") | {"contract": "rules.py:Record"}
    file.write_text(json.dumps(says))
    policy, workspace = Policy.load(file), sqlite_yard.workspace
    day = sqlite_yard.deliver("monday", blobs(60, 5))
    done = stages.ingest(workspace, day, "vendor-a", policy).judgement
    monkeypatch.chdir("/")
    before = loaded.read_text()
    found = replay_rate(workspace, "blobs", 0.01, batches=20, most_records=1000, seconds=60)
    (one,) = found.batches
    assert (one.after.verdict, one.same) == (done.verdict.value, True)
    assert loaded.read_text() == before
