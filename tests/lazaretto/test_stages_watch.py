"""What screening tells beside its verdict: the source over time, drift, and triage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.authority.policies import counted_policies
from lazaretto.drift import Profile
from lazaretto.drift._golden import Golden
from lazaretto.drift.source import Question, source_steps
from lazaretto.errors import ChangedFileError, PolicyError, ReferenceMismatchError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchScreened
from lazaretto.reference import Reference
from lazaretto.registry.references import find_reference, save_reference
from lazaretto.stages.told import told
from lazaretto.storage.sidecars import read_table
from lazaretto.values import Deploy, Verdict

if TYPE_CHECKING:
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace


OFF = dict.fromkeys(("mmd", "energy", "label_shift", "near_duplicates"), "off")
BATCH = {"alpha": 0.001, "hold_when_held_fraction": 0.9, "tests": OFF}


def watching(yard: Yard, **drift: object) -> Yard:
    """The yard under a policy that watches its sources by two batch tests."""
    screen = yard.policy.screen.model_dump(exclude={"drift", "batch"})
    changed = make_policy(screen={**screen, "batch": BATCH, "drift": drift})
    return replace(yard, policy=changed)


def shifted(seed: int, by: float, count: int = 150) -> pa.Table:
    """A delivery whose vectors are all moved a little."""
    rows = blobs(count, seed)
    vectors = np.stack(rows["vector"].to_numpy()) + np.float32(by)
    column = pa.array(list(vectors.astype(np.float32)), pa.list_(pa.float32(), 8))
    return rows.set_column(2, "vector", column)


def events_of(workspace: Workspace) -> list[BatchScreened]:
    with workspace.catalog.read() as connection:
        found = [entry.event for entry in entries(connection, kinds=[BatchScreened.kind])]
    return [event for event in found if isinstance(event, BatchScreened)]


def source_test(event: BatchScreened) -> tuple[float | None, bool]:
    found = next(test for test in event.tests if test.name == "source_drift")
    return found.p_value, found.fired


def test_batches_that_drift_together_raise_though_none_does_alone(yard: Yard) -> None:
    yard = watching(yard, alpha=0.01)
    for number in range(6):
        yard.judge(f"a{number}", shifted(10 + number, 0.06), "vendor-a")
        yard.judge(f"b{number}", blobs(150, 40 + number), "vendor-b")
    found = events_of(yard.workspace)
    drifting = [e for e in found if e.batch.startswith("vendor-a")]
    clean = [e for e in found if e.batch.startswith("vendor-b")]
    assert min(e.batch_p_value or 0 for e in drifting) > 0.001
    assert source_test(drifting[-1])[1]
    assert not any(source_test(e)[1] for e in clean)
    # Only said, by default: nothing is held for it.
    assert not any("Drift evidence for this source" in (e.note or "") for e in drifting)


def test_enforced_evidence_holds_the_batch_and_says_why(sqlite_yard: Yard) -> None:
    yard = watching(sqlite_yard, mode="enforce", alpha=0.4)
    verdicts = [yard.judge(f"a{n}", shifted(10 + n, 0.06)) for n in range(4)]
    held = [judged for judged in verdicts if judged.verdict is Verdict.HOLD_BATCH]
    assert held
    assert "Drift evidence for this source" in held[0].notes[0]
    assert held[0].cleared == 0


def test_a_retry_is_no_second_bet_and_another_reference_starts_anew(sqlite_yard: Yard) -> None:
    yard = watching(sqlite_yard, alpha=0.01)
    batches = [yard.judge(f"a{n}", shifted(10 + n, 0.06)).batch for n in range(3)]
    reference = find_reference(yard.workspace, "blobs")

    def evidence() -> list[float]:
        with yard.workspace.catalog.read() as connection:
            question = Question("vendor-a", reference.digest)
            return [step.evidence for step in source_steps(connection, question)]

    before = evidence()
    assert len(before) == 3
    again = watching(sqlite_yard, alpha=0.02)  # another policy screens the same batch again
    stages.validate(again.workspace, batches[1], again.policy)
    stages.embed(again.workspace, batches[1], again.policy)
    stages.screen(again.workspace, batches[1], again.policy)
    assert evidence() == before
    with yard.workspace.catalog.read() as connection:
        assert source_steps(connection, Question("vendor-a", "0" * 64)) == []
        assert source_steps(connection, Question("vendor-b", reference.digest)) == []


def test_what_an_own_policy_finds_is_no_evidence_about_a_source(sqlite_yard: Yard) -> None:
    """Else an insider would move the evidence by which later batches are held."""
    yard = watching(sqlite_yard, alpha=0.01)
    batches = [yard.judge(f"a{n}", shifted(10 + n, 0.06)).batch for n in range(3)]
    reference = find_reference(yard.workspace, "blobs")
    lax = {**yard.policy.screen.model_dump(), "batch": {"tests": {"small_p_values": "off"}}}
    mine = make_policy(screen=lax)
    with yard.workspace.catalog.read() as connection:
        registered = counted_policies(connection, yard.policy.dataset, "none")

    def evidence(policies: frozenset[str] | None) -> list[float]:
        with yard.workspace.catalog.read() as connection:
            question = Question("vendor-a", reference.digest, policies)
            return [step.evidence for step in source_steps(connection, question)]

    before = evidence(registered)
    for batch in batches:
        for stage in (stages.validate, stages.embed, stages.screen):
            stage(yard.workspace, batch, mine)
    assert evidence(None) != before
    assert evidence(registered) == before
    late = yard.judge("late", shifted(20, 0.06)).batch
    (screened,) = [event for event in events_of(yard.workspace) if event.batch == late]
    assert source_test(screened)[0] == pytest.approx(2 / evidence(registered)[-1], rel=1e-4)


def with_profile(yard: Yard) -> Yard:
    """The yard with a reference that keeps what drift is measured by."""
    trusted = trusted_rows(900, 1)
    reference = Reference.fit(trusted, yard.policy, name="blobs", version="2")
    profile = Profile.fit(trusted, reference, yard.policy)
    save_reference(yard.workspace, reference, profile=profile, promote=True)
    return yard


def trusted_rows(count: int, seed: int) -> pa.Table:
    """Blobs with some flat columns."""
    random = np.random.default_rng([seed, 5])
    rows = blobs(count, seed)
    rows = rows.set_column(3, "text", pa.array([f"record {n:06}" for n in range(count)]))
    for name in ("age", "income", "score"):
        rows = rows.append_column(name, pa.array(random.normal(size=count)))
    return rows.append_column("city", pa.array(random.choice(["A", "B", "C"], count)))


def last(yard: Yard) -> BatchScreened:
    return events_of(yard.workspace)[-1]


def test_a_batch_like_the_reference_has_not_moved(sqlite_yard: Yard) -> None:
    yard = with_profile(sqlite_yard)
    yard.judge("clean", trusted_rows(300, 7))
    event = last(yard)
    assert event.drift is not None
    assert event.triage is not None
    assert event.drift.moved == 0
    assert event.triage.category == "NONE"
    columns = read_table(yard.workspace.store, event.drift.table)["column"].to_pylist()
    assert {"age", "city", "label", "text", "embedding[0]"} <= set(columns)
    assert "id" not in columns


def test_a_column_that_breaks_at_once_is_triaged_as_a_fault_of_the_pipeline(
    sqlite_yard: Yard,
) -> None:
    yard = with_profile(sqlite_yard)
    yard.judge("before", trusted_rows(300, 7))
    rows = trusted_rows(300, 8)
    broken = rows.set_column(rows.schema.names.index("age"), "age", pa.nulls(300, pa.float64()))
    yard.judge("after", broken.drop_columns(["city"]))
    event = last(yard)
    assert event.triage is not None
    assert event.triage.category == "PIPELINE"
    assert "'age'" in event.triage.evidence[0]
    assert "'city'" in event.triage.evidence[0]


def test_flipped_labels_of_one_class_look_like_poison(sqlite_yard: Yard) -> None:
    yard = with_profile(sqlite_yard)
    rows = trusted_rows(300, 9)
    given = rows["label"].to_numpy().copy()
    given[:90:3] = 1
    judged = yard.judge("poison", rows.set_column(1, "label", pa.array(given)))
    event = last(yard)
    assert judged.held >= 25
    assert event.triage is not None
    assert event.triage.category == "POISONING"
    assert "labelled '1'" in event.triage.evidence[0]


def test_a_population_that_moves_batch_by_batch_is_triaged_as_the_environment(
    sqlite_yard: Yard,
) -> None:
    yard = with_profile(sqlite_yard)
    for number, share in enumerate((0, 1, 2, 3)):
        rows = trusted_rows(300, 20 + number)
        for name in ("age", "income", "score")[:share]:
            moved = pa.array(rows[name].to_numpy() + 0.8)
            rows = rows.set_column(rows.schema.names.index(name), name, moved)
        yard.judge(f"day{number}", rows)
    event = last(yard)
    assert event.triage is not None
    assert event.drift is not None
    assert event.drift.moved == 3
    assert event.triage.category == "ENVIRONMENT"
    assert any("had begun to move" in text for text in event.triage.evidence)


def in_cents(rows: pa.Table) -> pa.Table:
    scaled = pa.array(rows["income"].to_numpy() * 100)
    return rows.set_column(rows.schema.names.index("income"), "income", scaled)


def test_the_signature_of_a_fault_is_reported_and_enforced_it_holds_the_batch(
    sqlite_yard: Yard,
) -> None:
    yard = with_profile(sqlite_yard)
    judged = yard.judge("shadow", in_cents(trusted_rows(300, 7)))
    assert judged.verdict is not Verdict.HOLD_BATCH
    told_of = next(test for test in last(yard).tests if test.name == "pipeline_fault")
    assert told_of.fired
    assert "reported only" in told_of.detail
    screen = {**yard.policy.screen.model_dump(), "drift": {"faults": "enforce"}}
    strict = replace(yard, policy=make_policy(screen=screen))
    clean = strict.judge("clean", trusted_rows(300, 8))
    assert clean.verdict is not Verdict.HOLD_BATCH
    held = strict.judge("enforced", in_cents(trusted_rows(300, 9)))
    assert held.verdict is Verdict.HOLD_BATCH
    assert "'income' is about 100 times what it was" in held.notes[0]
    screen["drift"] = {"faults": "off"}
    blind = replace(yard, policy=make_policy(screen=screen))
    blind.judge("blind", in_cents(trusted_rows(300, 10)))
    assert all(test.name != "pipeline_fault" for test in last(yard).tests)


def test_a_deploy_between_two_batches_is_named_beside_a_fault(sqlite_yard: Yard) -> None:
    yard = with_profile(sqlite_yard)

    def deployed(version: str) -> Yard:
        deploy = Deploy("ingest", version, "ab" * 32)
        return replace(yard, workspace=replace(yard.workspace, deploy=deploy))

    deployed("1").judge("before", trusted_rows(300, 7))
    deployed("1").judge("same", trusted_rows(300, 11))
    assert last(yard).triage.category == "NONE"  # type: ignore[union-attr]
    deployed("2").judge("after", in_cents(trusted_rows(300, 8)))
    event = last(yard)
    assert event.deploy == Deploy("ingest", "2", "ab" * 32)
    assert event.triage is not None
    assert event.triage.category == "PIPELINE"
    assert "'ingest' was deployed since: version 1 became 2" in " ".join(event.triage.evidence)


REPLAYED = """
import numpy as np
import pyarrow as pa

SCALE = {scale}


def vectors(rows: pa.Table) -> np.ndarray:
    numbers = [[len(text), n % 7 + 1] for n, text in enumerate(rows["text"].to_pylist())]
    return SCALE * np.asarray(numbers, dtype=np.float32)
"""


def test_vectors_that_came_along_are_made_again_by_the_users_function(
    sqlite_yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, scale in (("maker_now", 1.0), ("maker_later", 1.1)):
        (tmp_path / f"{name}.py").write_text(REPLAYED.format(scale=scale))

    def policy(function: str) -> Policy:
        return make_policy(embed={"options": {"replay": f"{function}:vectors"}})

    rows = trusted_rows(200, 3)
    numbers = [[len(t), n % 7 + 1] for n, t in enumerate(rows["text"].to_pylist())]
    vectors = pa.array(np.asarray(numbers, np.float32).tolist(), pa.list_(pa.float32()))
    rows = rows.set_column(2, "vector", vectors)
    golden = Golden.take(rows, policy("maker_now"))
    assert golden is not None
    assert golden.replay(policy("maker_now")) == 0.0
    assert golden.replay(policy("maker_later")) == 1.0
    assert golden.replay(make_policy()) is None
    with pytest.raises(
        PolicyError, match=r"embed\.options\.replay: cannot import 'nowhere:vectors'"
    ):
        golden.replay(policy("nowhere"))


def test_hostile_names_and_kinds_of_columns_are_bounded(sqlite_yard: Yard) -> None:
    yard = with_profile(sqlite_yard)
    rows = trusted_rows(200, 7)
    rows = rows.set_column(rows.schema.names.index("age"), "age", pa.array(["1e999", "x"] * 100))
    for number in range(300):
        rows = rows.append_column(f"<script>{'A' * 200}{number}", pa.nulls(200, pa.int8()))
    yard.judge("hostile", rows)
    event = last(yard)
    assert event.drift is not None
    assert event.drift.unknown == 300
    assert "<script>" not in str(event.drift)
    assert len(event.drift.worst) <= 10
    age = next(c for c in event.drift.worst if c.column == "age")
    assert age.nulls == pytest.approx(1.0)


def test_a_reference_saved_without_figures_says_so(sqlite_yard: Yard) -> None:
    batch = sqlite_yard.receive("clean", blobs(150, 3)).id
    stages.validate(sqlite_yard.workspace, batch, sqlite_yard.policy)
    result = stages.screen(sqlite_yard.workspace, batch, sqlite_yard.policy)
    assert "Fit a new version" in told(result)["drift"]
    assert last(sqlite_yard).drift is None


def test_a_profile_that_was_changed_in_the_store_is_refused(sqlite_yard: Yard) -> None:
    yard = with_profile(sqlite_yard)
    path = Path(yard.workspace.store.uri("references/blobs/2/profile.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ChangedFileError, match=r"references/blobs/2/profile\.parquet"):
        yard.judge("clean", trusted_rows(150, 7))


WORDS = ["the train is late again today", "goals and cups won by the team", "stocks fell on fears"]


def texts(count: int, prefix: str) -> pa.Table:
    return pa.table(
        {
            "id": [f"{prefix}{number}" for number in range(count)],
            "label": [number % 3 for number in range(count)],
            "text": [f"{WORDS[number % 3]} {number % 7}" for number in range(count)],
        }
    )


def text_policy(yard: Yard, buckets: int = 64) -> Policy:
    return make_policy(
        columns={"record_id": "id", "label": "label"},
        embed={"encoder": "hashing", "columns": ["text"], "options": {"buckets": buckets}},
        screen={**yard.policy.screen.model_dump(), "reference": "texts"},
    )


def test_golden_rows_that_no_longer_give_their_vectors_look_like_a_fault(
    sqlite_yard: Yard,
) -> None:
    yard = replace(sqlite_yard, policy=text_policy(sqlite_yard))
    trusted = texts(900, "r")
    reference = Reference.fit(trusted, yard.policy, name="texts")
    profile = Profile.fit(trusted, reference, yard.policy)
    assert profile.golden is not None
    assert profile.golden.rows.num_rows == 32
    assert profile.golden.replay(yard.policy) == 0.0
    # As if the encoder had changed under the same digest: half of the stored vectors are others.
    column = profile.golden.rows["_lazaretto_vector"].to_pylist()
    other = [[x + 1 for x in v] if i % 2 else v for i, v in enumerate(column)]
    moved = profile.golden.rows.drop_columns(["_lazaretto_vector"]).append_column(
        "_lazaretto_vector", pa.array(other, pa.list_(pa.float32()))
    )
    broken = replace(profile, golden=replace(profile.golden, rows=moved))
    save_reference(yard.workspace, reference, profile=broken)
    yard.judge("texts", texts(120, "t"))
    event = last(yard)
    assert event.drift is not None
    assert event.triage is not None
    assert event.drift.golden_mismatch == 0.5
    assert event.triage.category == "PIPELINE"
    assert "golden set" in event.triage.evidence[0]


def test_vectors_of_another_encoder_are_refused_by_name(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that a policy names by path may be others when the batch is embedded."""
    import lazaretto.embed

    yard = replace(sqlite_yard, policy=text_policy(sqlite_yard))
    save_reference(yard.workspace, Reference.fit(texts(900, "r"), yard.policy, name="texts"))
    batch = yard.receive("texts", texts(120, "t")).id
    stages.validate(yard.workspace, batch, yard.policy)
    load = lazaretto.embed.load_encoder
    other = text_policy(yard, buckets=32)
    with monkeypatch.context() as patch:
        patch.setattr(lazaretto.embed, "load_encoder", lambda _policy, _state: load(other))
        stages.embed(yard.workspace, batch, yard.policy)
    with pytest.raises(ReferenceMismatchError, match=r"of another encoder .* weights or"):
        stages.screen(yard.workspace, batch, yard.policy)
    stages.embed(yard.workspace, batch, yard.policy)
    assert stages.screen(yard.workspace, batch, yard.policy).said.verdict
