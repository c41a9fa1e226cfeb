"""Authority: one policy in force per dataset; what admission asks for is asked again, as of now."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples
from yard import ANN, Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.authority.conditions import objections
from lazaretto.authority.policies import (
    differences,
    policy_history,
    policy_in_force,
    policy_ref,
    register_policy,
)
from lazaretto.contract import contract_digest
from lazaretto.dataset import admission
from lazaretto.errors import (
    AdmissionRefusedError,
    ChangedStateError,
    LazarettoError,
    SystemFaultError,
    UsageError,
)
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import (
    AdmissionRefused,
    BatchAdmitted,
    BatchJudged,
    PolicyRegistered,
    ShadowJudged,
)
from lazaretto.policy import Policy
from lazaretto.quarantine import review
from lazaretto.received import Received, load_batch
from lazaretto.sources.manifest import keygen, sign_manifest
from lazaretto.sources.registry import add_key, add_source, revoke_key
from lazaretto.storage import tables
from lazaretto.values import Action, TrustTier, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.events import Event
    from lazaretto.stages import Judgement

pytestmark = pytest.mark.alike

DAY = timedelta(days=1)


def judge(yard: Yard, batch: str, policy: Policy) -> Judgement:
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, policy)
    return stages.gate(yard.workspace, batch, policy)


def told(yard: Yard, kind: type[Event]) -> list[Entry]:
    with yard.workspace.catalog.read() as connection:
        return list(entries(connection, kinds=[kind.kind]))


def said(yard: Yard, kind: type[Event]) -> list[Any]:
    return [entry.event for entry in told(yard, kind)]


def execute(yard: Yard, statement: str) -> None:
    with yard.workspace.catalog.transaction() as connection:
        connection.exec_driver_sql(statement)


def other(days: int = 5) -> Policy:
    return make_policy(review={"expire_days": days})


# The policy in force


def test_the_first_use_registers_a_policy_and_says_who_and_why(yard: Yard) -> None:
    judged = yard.judge("monday", blobs(60, seed=5))
    (entry,) = told(yard, PolicyRegistered)
    event = entry.event
    assert isinstance(event, PolicyRegistered)
    assert (entry.actor, event.previous) == (ANN, None)
    assert judged.batch in event.reason
    assert entry.seq < judged.seq
    with yard.workspace.catalog.read() as connection:
        found = policy_in_force(connection, "blobs")
    assert found is not None
    assert (found.seq, found.meaning) == (entry.seq, policy_ref(yard.policy).meaning)
    assert found.rules.says == yard.policy.says
    yard.judge("tuesday", blobs(60, seed=6, prefix="t"))
    assert len(told(yard, PolicyRegistered)) == 1


def test_registering_is_one_entry_and_the_same_again_is_none(yard: Yard) -> None:
    first, before = register_policy(yard.workspace, yard.policy, reason="we begin")
    assert before is None
    second, before = register_policy(yard.workspace, other(), reason="faster")
    assert (second.event.previous, before) == (first.meaning, first)
    again, before = register_policy(yard.workspace, other(), reason="once more")
    assert again == second == before
    with yard.workspace.catalog.read() as connection:
        assert policy_history(connection, "blobs") == [first, second]
    assert differences(first.event, other(), None) == [
        "review.expire_days: 90 in force, 5 here",
    ]
    with pytest.raises(UsageError, match="say why"):
        register_policy(yard.workspace, make_policy(), reason=" ")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE dataset_policy SET meaning = '{other}'",
        "UPDATE dataset_policy SET sha256 = '{other}'",
        "UPDATE dataset_policy SET seq = 1",
        "UPDATE dataset_policy SET entry = '{other}'",
        "UPDATE dataset_policy SET dataset = 'others'",
        "DELETE FROM dataset_policy",
    ],
)
def test_an_edited_row_of_the_policy_in_force_is_named(sqlite_yard: Yard, statement: str) -> None:
    yard = sqlite_yard
    batch = yard.judge("monday", blobs(60, seed=5)).batch
    execute(yard, statement.format(other="0" * 64))
    with pytest.raises(ChangedStateError, match="dataset_policy"):
        stages.admit(yard.workspace, batch)
    assert said(yard, BatchAdmitted) == []


def test_a_policy_that_nobody_registered_is_not_in_force(sqlite_yard: Yard) -> None:
    zeros = "0" * 64
    execute(sqlite_yard, f"INSERT INTO dataset_policy VALUES ('x', '{zeros}', '{zeros}', 1, 'e')")
    with (
        sqlite_yard.workspace.catalog.read() as connection,
        pytest.raises(ChangedStateError, match="the ledger does not have it"),
    ):
        policy_in_force(connection, "x")


_SECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "review": st.fixed_dictionaries(
            {}, optional={"expire_days": st.integers(1, 9), "require_two_people": st.booleans()}
        ),
        "sources": st.fixed_dictionaries({"require_signature": st.booleans()}),
        "screen": st.fixed_dictionaries(
            {},
            optional={
                "false_quarantine_rate": st.floats(0.001, 0.5),
                "detectors": st.dictionaries(
                    st.sampled_from(["mahalanobis", "knn_label"]),
                    st.fixed_dictionaries({"mode": st.sampled_from(["enforce", "shadow"])}),
                    min_size=1,
                ),
            },
        ),
        "sanitize": st.fixed_dictionaries({"alpha": st.floats(0.001, 0.5)}),
    },
)


@given(sections=_SECTIONS, comment=st.text("abc: #", max_size=9), data=st.data())
def test_what_a_policy_says_survives_layout_and_the_ledger(
    tmp_path_factory: pytest.TempPathFactory, sections: Any, comment: str, data: st.DataObject
) -> None:
    import yaml

    content = {"version": 1, "dataset": "d", "columns": {"record_id": "id"}, **sections}
    order = data.draw(st.permutations(list(content)))
    file = tmp_path_factory.mktemp("policy") / "policy.yaml"
    body = yaml.safe_dump({key: content[key] for key in order}, sort_keys=False)
    file.write_text(f"# {comment}\n{body}")
    loaded, made = Policy.load(file), Policy.model_validate(content)
    assert loaded.ref(None).meaning == made.ref(None).meaning
    assert Policy.model_validate_json(made.says).says == made.says
    # What leaves a dataset is not what enters it.
    without = Policy.model_validate({k: v for k, v in content.items() if k != "sanitize"})
    assert without.ref(None).meaning == made.ref(None).meaning
    assert made.ref("0" * 64).meaning != made.ref(None).meaning


CONTRACT = """import pandera.polars as pa
from pandera.typing.polars import Series

class Record(pa.DataFrameModel):
    id: Series[str] = pa.Field(unique=True)
"""


@pytest.mark.parametrize("spec", ["terms.py:Record", "{name}:Record"], ids=["file", "module"])
def test_an_edited_contract_is_another_policy(sqlite_yard: Yard, tmp_path: Path, spec: str) -> None:
    name = "terms" if "py" in spec else f"terms_{tmp_path.name.replace('-', '_')}"
    terms, file = tmp_path / f"{name}.py", tmp_path / "policy.yaml"
    terms.write_text(CONTRACT)
    made = make_policy().model_dump(mode="json") | {"contract": spec.format(name=name)}
    file.write_text(json.dumps(made))
    policy = Policy.load(file)
    batch = sqlite_yard.receive("monday", blobs(60, seed=5)).id
    assert judge(sqlite_yard, batch, policy).shadow is None
    terms.write_text(CONTRACT + "    text: Series[str] = pa.Field(str_startswith='x')\n")
    changed = policy_ref(policy)
    with sqlite_yard.workspace.catalog.read() as connection:
        registered = policy_in_force(connection, "blobs")
    assert registered is not None
    assert changed.meaning != registered.meaning
    (difference,) = differences(registered.event, policy, contract_digest(policy))
    assert difference.startswith("contract: ")
    with pytest.raises(UsageError, match="run `validate` first"):
        stages.gate(sqlite_yard.workspace, batch, policy)
    with pytest.raises(AdmissionRefusedError, match="policy register"):
        stages.admit(sqlite_yard.workspace, batch, policy=policy)
    assert said(sqlite_yard, BatchAdmitted) == []


# In shadow


def _state(yard: Yard) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the catalog that a shadow judgement may not touch."""
    free = ("ledger", "ledger_head", "stage")
    found = {}
    with yard.workspace.catalog.read() as connection:
        for table in tables.ledger.metadata.sorted_tables:
            if table.name not in free:
                rows = connection.execute(sa.select(table)).all()
                found[table.name] = sorted((tuple(row) for row in rows), key=repr)
    return found


def test_another_policy_judges_in_shadow_and_changes_nothing(yard: Yard) -> None:
    first = yard.judge("mixed", blobs(90, seed=5, flips=6))
    held, state = yard.workspace.store.list("held"), _state(yard)
    lax = make_policy(
        screen={**yard.policy.screen.model_dump(), "false_quarantine_rate": 1e-6},
        review={"require_two_people": False, "expire_days": 1},
    )
    found = judge(yard, first.batch, lax)
    assert found.shadow is not None
    assert "lazaretto policy register" in found.shadow
    assert (found.case, found.cleared) == (None, 0)
    assert (_state(yard), yard.workspace.store.list("held")) == (state, held)
    (event,) = said(yard, ShadowJudged)
    assert (event.policy.meaning, event.held) == (policy_ref(lax).meaning, found.held)
    assert judge(yard, first.batch, lax) == found
    assert len(said(yard, ShadowJudged)) == 1
    assert len(said(yard, BatchJudged)) == 1
    with pytest.raises(AdmissionRefusedError, match="not in force") as refused:
        stages.admit(yard.workspace, first.batch, policy=lax)
    assert refused.value.code == "other_policy"
    # What its own policy cleared still enters.
    assert stages.admit(yard.workspace, first.batch).rows == first.cleared


def test_judged_in_shadow_alone_admits_nothing(yard: Yard) -> None:
    register_policy(yard.workspace, yard.policy, reason="we begin")
    batch = yard.receive("monday", blobs(60, seed=5)).id
    assert judge(yard, batch, other()).shadow is not None
    with pytest.raises(AdmissionRefusedError, match="in shadow alone") as refused:
        stages.admit(yard.workspace, batch, "blobs")
    assert refused.value.code == "shadow"
    register_policy(yard.workspace, other(), reason="tried it long enough")
    assert judge(yard, batch, other()).shadow is None
    assert stages.admit(yard.workspace, batch).rows == 60


def test_a_judgement_for_one_dataset_admits_to_no_other(yard: Yard) -> None:
    judged = yard.judge("mixed", blobs(90, seed=5, flips=6))
    scratch = make_policy(
        dataset="scratch",
        screen={**yard.policy.screen.model_dump(), "reference": "blobs"},
        review={"require_two_people": False},
    )
    own = judge(yard, judged.batch, scratch)
    assert (own.shadow, own.dataset) == (None, "scratch")
    assert review.show_case(yard.workspace, str(judged.case)).state == "OPEN"
    with pytest.raises(UsageError, match=r"judged for blobs, scratch: say which, with --dataset"):
        stages.admit(yard.workspace, judged.batch)
    for dataset, policy in (("blobs", scratch), ("third", None), ("third", scratch)):
        with pytest.raises(AdmissionRefusedError) as refused:
            stages.admit(yard.workspace, judged.batch, dataset, policy=policy)
        assert (refused.value.code, refused.value.dataset) == ("other_dataset", dataset)
    admitted = stages.admit(yard.workspace, judged.batch, "blobs")
    assert admitted.rows == judged.cleared
    assert not {f"r{n}" for n in range(6)} & set(yard.ids())
    assert [event.code for event in said(yard, AdmissionRefused)] == ["other_dataset"] * 3


# Any sequence of policies

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.integers(1, 3)),
        st.tuples(st.just("judge"), st.integers(1, 3)),
        st.tuples(st.just("admit"), st.integers(0, 3)),
    ),
    min_size=3,
    max_size=8,
)


@settings(
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=_STEPS)
def test_only_the_verdict_of_the_policy_in_force_admits(
    sqlite_yard: Yard, steps: list[tuple[str, int]]
) -> None:
    """Policies are put in force, judge and admit in any order; a dataset of its own each time."""
    yard = sqlite_yard
    dataset = f"set{len(told(yard, PolicyRegistered))}"
    screen = {**yard.policy.screen.model_dump(), "reference": "blobs"}
    policies = {
        days: make_policy(dataset=dataset, screen=screen, review={"expire_days": days})
        for days in (1, 2, 3)
    }
    batch = yard.receive(dataset, blobs(30, seed=5, prefix=f"{dataset}-")).id
    in_force: int | None = None
    judged: int | None = None
    admitted = False
    for step, number in steps:
        before = len(said(yard, BatchAdmitted))
        if step == "register":
            register_policy(yard.workspace, policies[number], reason="next")
            in_force = number
        elif step == "judge":
            in_force = in_force or number
            if admitted and number == in_force != judged:
                assert judge(yard, batch, policies[number]).decided is not None
                with pytest.raises(UsageError, match="can be recalled"):
                    stages.rejudge(yard.workspace, batch, policies[number], reason="again")
                continue
            found = judge(yard, batch, policies[number])
            assert (found.shadow is None) == (number == in_force)
            judged = number if number == in_force else judged
        else:
            policy = policies.get(number)
            right = admitted or (judged is not None and judged == in_force)
            if not admitted:
                right = right and number in (0, in_force)
            try:
                found_ = stages.admit(yard.workspace, batch, dataset, policy=policy)
            except (UsageError, AdmissionRefusedError):
                assert not right
            else:
                assert right
                assert found_.rows == 30
                admitted = True
        made = said(yard, BatchAdmitted)[before:]
        assert all(e.policy.meaning == policy_ref(policies[in_force or 0]).meaning for e in made)


# Checked again, as of now


@pytest.fixture
def signed(yard: Yard) -> tuple[Yard, bytes]:
    """A yard whose policy asks for signatures, and the vendor's private key."""
    policy = make_policy(sources={"require_signature": True})
    private, public = keygen()
    add_key(yard.workspace, "vendor-a", public, valid_from=datetime.now(UTC) - 30 * DAY)
    return Yard(yard.workspace, policy, yard.folder), private


def receive(yard: Yard, name: str, rows: Any, private: bytes | None, policy: Policy) -> str:
    path = yard.deliver(name, rows)
    now = datetime.now(UTC)
    manifest = private and sign_manifest(
        path, source="vendor-a", private_key=private, collected_from=now - DAY, collected_to=now
    )
    return stages.receive(
        yard.workspace, path, "vendor-a", manifest=manifest or None, policy=policy
    ).id


def _revoke_key(yard: Yard, at: datetime) -> None:
    from lazaretto.sources.registry import get_source

    (key,) = get_source(yard.workspace, "vendor-a").keys
    revoke_key(yard.workspace, "vendor-a", key.key_id, at=at, reason="stolen")


def _revoke_source(yard: Yard) -> None:
    add_source(yard.workspace, "vendor-a", trust_tier=TrustTier.REVOKED)


_EVENTS: list[tuple[str, Any]] = [
    ("revoked_key", lambda yard: _revoke_key(yard, datetime.now(UTC) - 20 * DAY)),
    ("revoked_source", _revoke_source),
]


@pytest.mark.parametrize(("code", "happens"), _EVENTS, ids=[code for code, _ in _EVENTS])
def test_what_turns_out_after_the_gate_stops_admission_and_publication(
    signed: tuple[Yard, bytes], code: str, happens: Any
) -> None:
    yard, private = signed
    batch = receive(yard, "mixed", blobs(90, seed=5, flips=6), private, yard.policy)
    case = str(judge(yard, batch, yard.policy).case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="fine")
    happens(yard)
    for act in (
        lambda: stages.admit(yard.workspace, batch),
        lambda: review.publish(yard.workspace, case),
    ):
        with pytest.raises(AdmissionRefusedError) as refused:
            act()
        assert refused.value.code == code
    assert said(yard, BatchAdmitted) == []
    assert [(e.code, e.case) for e in said(yard, AdmissionRefused)] == [(code, None), (code, case)]
    assert review.show_case(yard.workspace, case).state == "OPEN"


@pytest.mark.parametrize(("code", "happens"), _EVENTS, ids=[code for code, _ in _EVENTS])
def test_what_turns_out_before_the_gate_holds_the_batch(
    signed: tuple[Yard, bytes], code: str, happens: Any
) -> None:
    yard, private = signed
    batch = receive(yard, "monday", blobs(60, seed=5), private, yard.policy)
    happens(yard)
    judged = judge(yard, batch, yard.policy)
    assert (judged.verdict, judged.cleared, judged.held) == (Verdict.HOLD_BATCH, 0, 60)
    assert code.split("_")[1] in judged.notes[0]
    assert stages.admit(yard.workspace, batch).rows == 0


def test_a_key_that_was_lost_after_the_delivery_was_good_when_it_signed(
    signed: tuple[Yard, bytes],
) -> None:
    yard, private = signed
    batch = receive(yard, "monday", blobs(60, seed=5), private, yard.policy)
    _revoke_key(yard, datetime.now(UTC))
    assert judge(yard, batch, yard.policy).verdict is Verdict.PASS
    assert stages.admit(yard.workspace, batch).rows == 60


def test_a_source_that_is_trusted_again_is_admitted_again(yard: Yard) -> None:
    batch = yard.receive("monday", blobs(60, seed=5)).id
    _revoke_source(yard)
    assert judge(yard, batch, yard.policy).verdict is Verdict.HOLD_BATCH
    add_source(yard.workspace, "vendor-a", trust_tier=TrustTier.REVIEWED)
    assert judge(yard, batch, yard.policy).verdict is Verdict.HOLD_BATCH
    again = stages.rejudge(yard.workspace, batch, yard.policy, reason="they are honest")
    assert again.verdict is Verdict.PASS
    assert stages.admit(yard.workspace, batch).rows == 60


@pytest.mark.parametrize(
    ("strict", "code"),
    [
        ({"sources": {"require_signature": True}}, "unsigned"),
        ({"sources": {"require_signature": False, "places": ["/srv/drop"]}}, "outside_places"),
        ({"limits": {"max_rows": 59}}, "too_large"),
        ({"limits": {"max_bytes": 100}}, "too_large"),
        ({"limits": {"max_columns": 3}}, "too_many_columns"),
    ],
)
def test_received_under_a_lax_policy_is_held_under_the_strict_one(
    sqlite_yard: Yard, strict: dict[str, Any], code: str
) -> None:
    yard = sqlite_yard
    policy = make_policy(**strict)
    batch = yard.receive("monday", blobs(60, seed=5)).id
    judged = judge(yard, batch, policy)
    assert (judged.verdict, judged.cleared) == (Verdict.HOLD_BATCH, 0)
    case = str(judged.case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="I know them")
    with pytest.raises(AdmissionRefusedError) as refused:
        review.publish(yard.workspace, case)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("place", "held"),
    [
        ("{folder}", False),
        (".", False),
        ("{folder}/elsewhere", True),
        ("elsewhere", True),
        ("s3://bucket/drop", True),
    ],
)
def test_a_delivery_from_where_the_policy_takes_nothing_is_held(
    sqlite_yard: Yard, place: str, held: bool
) -> None:
    """Received under a policy without places, judged under one that names them."""
    yard = sqlite_yard
    places = [place.format(folder=yard.folder)]
    says = make_policy(sources={"require_signature": False, "places": places})
    file = yard.folder / "policy.yaml"
    file.write_text(json.dumps(says.model_dump(mode="json")))
    batch = yard.receive("monday", blobs(60, seed=5)).id
    judged = judge(yard, batch, Policy.load(file))
    assert (judged.verdict is Verdict.HOLD_BATCH) == held
    assert any("lies in none of the places" in note for note in judged.notes) == held
    # By what the ledger keeps of the policy, too, which knows no folder to start from.
    assert stages.admit(yard.workspace, batch).rows == (0 if held else 60)


def test_a_place_that_names_a_user_is_known_again(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    received = load_batch(yard.workspace, yard.receive("monday", blobs(60, seed=5)).id)
    places = {"require_signature": False, "places": ["sftp://me@files.example/drop"]}
    policy = make_policy(sources=places)
    for uri, codes in (
        ("sftp://files.example/drop/a.csv", []),
        ("sftp://files.example/other/a.csv", ["outside_places"]),
        ("sftp://other.example/drop/a.csv", ["outside_places"]),
    ):
        event = replace(received.event, uri=uri)
        with yard.workspace.catalog.read() as connection:
            found = objections(connection, Received(received.seq, event), None, policy)
        assert [objection.code for objection in found] == codes


def test_a_case_of_an_earlier_policy_is_published_by_the_conditions_of_the_one_in_force(
    sqlite_yard: Yard,
) -> None:
    yard = sqlite_yard
    case = str(yard.judge("mixed", blobs(90, seed=5, flips=6)).case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="fine")
    strict = make_policy(sources={"require_signature": True})
    register_policy(yard.workspace, strict, reason="after the incident")
    with pytest.raises(AdmissionRefusedError, match="signed manifest"):
        review.publish(yard.workspace, case)
    register_policy(yard.workspace, yard.policy, reason="the vendor cannot sign yet")
    assert review.publish(yard.workspace, case) is not None


def test_what_is_on_record_as_admitted_stays_so(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the entry and the table's commit: a revocation since then is for a recall."""
    judged = yard.judge("mixed", blobs(90, seed=5, flips=6))
    case = str(judged.case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="fine")

    def killed(*_: Any) -> None:
        raise SystemFaultError("killed")

    for act in (
        lambda: stages.admit(yard.workspace, judged.batch),
        lambda: review.publish(yard.workspace, case),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(admission, "commit_recorded", killed)
            with pytest.raises(SystemFaultError, match="killed"):
                act()
    _revoke_source(yard)
    assert stages.admit(yard.workspace, judged.batch).rows == judged.cleared
    published = review.publish(yard.workspace, case)
    assert published is not None
    assert published.rows == judged.held
    assert sorted(e.rows for e in said(yard, BatchAdmitted)) == [judged.held, judged.cleared]
    assert len(yard.ids()) == 90


def test_a_changed_manifest_is_named(signed: tuple[Yard, bytes]) -> None:
    from lazaretto.errors import ChangedFileError

    yard, private = signed
    batch = receive(yard, "monday", blobs(60, seed=5), private, yard.policy)
    judge(yard, batch, yard.policy)
    (path,) = [p for p in yard.workspace.store.list("batches") if "/manifest-" in p]
    from pathlib import Path

    Path(yard.workspace.store.uri(path)).write_bytes(b"{}")
    with pytest.raises(ChangedFileError, match="manifest-"):
        stages.admit(yard.workspace, batch)
    assert said(yard, BatchAdmitted) == []


def test_every_refusal_names_a_command_or_the_reason(sqlite_yard: Yard) -> None:
    batch = sqlite_yard.receive("monday", blobs(60, seed=5)).id
    with pytest.raises(LazarettoError, match="run `gate` first"):
        stages.admit(sqlite_yard.workspace, batch, policy=sqlite_yard.policy)
