"""Incidents about all that a trace can be asked about: their answers, their holds, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner
from yard import blobs

from lazaretto import incidents, stages
from lazaretto.cli.app import app
from lazaretto.cli.asked_about import AskedAbout
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchScreened
from lazaretto.lineage import ask, resolved_question
from lazaretto.lineage.trace.ask import KINDS
from lazaretto.quarantine import review
from lazaretto.sources.keys import keygen
from lazaretto.sources.manifest import sign_manifest
from lazaretto.sources.registry import add_key
from lazaretto.stages.alias_model import alias_model
from lazaretto.values import Action, HoldKind, Question

if TYPE_CHECKING:
    from yard import Yard

    from lazaretto.incidents import Incident
    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """What was delivered, decided and trained, by name."""

    yard: Yard
    monday: str
    tuesday: str
    other: str
    key: str
    case: str
    decision: str
    policy: str
    reference: str

    @property
    def workspace(self) -> Workspace:
        return self.yard.workspace


def signed(yard: Yard, name: str, private: bytes, **rows: int) -> str:
    """A batch of vendor-a, signed and judged."""
    made = blobs(60, prefix=name[0], **rows)
    file, now = yard.deliver(name, made), datetime.now(UTC)
    manifest = sign_manifest(
        file,
        source="vendor-a",
        private_key=private,
        issued_at=now,
        collected_from=now - timedelta(hours=2),
        collected_to=now - timedelta(hours=1),
    )
    delivered = stages.receive(
        yard.workspace, file, "vendor-a", policy=yard.policy, manifest=manifest
    )
    for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
        stage(yard.workspace, delivered.id, yard.policy)
    return delivered.id


@pytest.fixture
def world(sqlite_yard: Yard) -> World:
    return make_world(sqlite_yard)


def make_world(yard: Yard) -> World:
    """Two signed batches and one of another source; the second has records that Ann let in."""
    workspace = yard.workspace
    private, public = keygen()
    key = add_key(workspace, "vendor-a", public).key_id
    monday = signed(yard, "monday", private, seed=5)
    stages.admit(workspace, monday)
    train(yard, "1")
    tuesday = signed(yard, "tuesday", private, seed=6, flips=6)
    (case,) = review.list_cases(workspace)
    names = ["t0", "t1", "t2"]
    decision = review.decide(workspace, case.id, Action.RELEASE, ids=names, reason="looked at")
    review.publish(workspace, case.id)
    train(yard, "2")
    other = yard.admit("wednesday", blobs(60, seed=7, prefix="w"), "vendor-b").batch
    train(yard, "3")
    policy = ask(workspace, Question("batch", monday)).decisions[0].policy_sha256
    with workspace.catalog.read() as connection:
        (first, *_) = entries(connection, kinds=[BatchScreened.kind])
    assert isinstance(first.event, BatchScreened)
    return World(
        yard=yard,
        monday=monday,
        tuesday=tuesday,
        other=other,
        key=key,
        case=case.id,
        decision=decision.id,
        policy=f"blobs@{policy}",
        reference=f"{first.event.reference}@{first.event.reference_version}",
    )


def train(yard: Yard, version: str) -> None:
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", version, "blobs", taken.version)


def about(world: World) -> dict[str, Question]:
    """A question of each kind."""
    return {
        "source": Question("source", "vendor-a"),
        "batch": Question("batch", world.monday),
        "record": Question("record", f"{world.tuesday}#t0"),
        "key": Question("key", world.key, LONG_AGO),
        "policy": Question("policy", world.policy),
        "reference": Question("reference", world.reference),
        "decision": Question("decision", world.decision),
        "dataset": Question("dataset", "blobs@1"),
        "model": Question("model", "net@1"),
    }


def opened(world: World, question: Question, **more: object) -> Incident:
    given = {"reason": "it is said to be wrong"} | more
    return incidents.open_incident(world.workspace, question, **given)  # type: ignore[arg-type]


def steps(world: World, found: Incident) -> list[str]:
    shown = incidents.show_incident(world.workspace, found.id)
    return [step.command for step in shown.steps if step.command is not None]


def test_every_question_of_a_trace_can_be_an_incident(yard: Yard) -> None:
    world = make_world(yard)
    first, second, third = ("net@1", "net@2", "net@3")
    reached = {
        "source": [first, second, third],
        "batch": [first, second, third],
        "record": [second, third],
        "key": [first, second, third],
        "policy": [first, second, third],
        "reference": [first, second, third],
        "decision": [second, third],
        "dataset": [first],
        "model": [first],
    }
    asked = about(world)
    assert list(asked) == list(KINDS) == list(reached)
    found = {kind: opened(world, question) for kind, question in asked.items()}
    for kind, one in found.items():
        assert one.answer.models == reached[kind], kind
        # It is what a trace answers, and nothing has changed since.
        assert one.answer.batches == sorted(ask(world.workspace, one.question).batch_ids), kind
        assert not incidents.refresh(world.workspace, one.id).changed.anything, kind
        assert incidents.find_open(world.workspace, one.question) == one
        assert bool(one.answer.report) == (kind != "model")
    # One more model on the newest version: whatever is in that version reached it.
    train(world.yard, "4")
    for kind, one in found.items():
        changed = incidents.refresh(world.workspace, one.id).changed
        more = [] if kind in ("dataset", "model") else ["net@4"]
        assert changed.models.new == more, kind


def test_what_to_do_first_fits_the_question(world: World) -> None:
    found = {kind: opened(world, question) for kind, question in about(world).items()}
    told = {kind: steps(world, one) for kind, one in found.items()}
    ids = {kind: one.id for kind, one in found.items()}
    for kind in ("source", "batch", "record", "key"):
        hold = f"lazaretto incident freeze {ids[kind]} --source vendor-a --why TEXT"
        assert told[kind][0] == hold
    for kind in ("policy", "reference", "decision", "dataset"):
        hold = f"lazaretto incident freeze {ids[kind]} --dataset blobs --why TEXT"
        assert told[kind][0] == hold
    for kind in KINDS:
        assert f"lazaretto incident freeze {ids[kind]} --model net --why TEXT" in told[kind]
    at = f"--at {LONG_AGO.isoformat()} --reason TEXT"
    assert f"lazaretto source revoke vendor-a {world.key[:16]} {at}" in told["key"]
    for kind in ("key", "policy", "reference", "decision"):
        line = f"lazaretto dataset recall blobs --incident {ids[kind]} --reason {ids[kind]}"
        assert line in told[kind], kind
    assert not any(" recall " in line for line in (*told["dataset"], *told["model"]))
    shown = incidents.show_incident(world.workspace, ids["decision"])
    assert shown.evidence.records == 3
    assert [(one.admitted, one.left) for one in shown.evidence.datasets] == [(3, 3)]


def test_what_is_in_question_is_taken_back_whatever_it_is(world: World) -> None:
    yard, workspace = world.yard, world.workspace
    asked = about(world)
    released = opened(world, asked["decision"])
    gone = incidents.take_back(workspace, released.id, "blobs")
    assert [(one.batch, one.rows) for one in gone.members] == [(world.tuesday, 3)]
    assert not {"t0", "t1", "t2"} & set(yard.ids())
    shown = incidents.show_incident(workspace, released.id)
    assert [one.left for one in shown.evidence.datasets] == [0]
    stolen = opened(world, asked["key"])
    incidents.take_back(workspace, stolen.id, "blobs", reason="stolen")
    assert {name[0] for name in yard.ids()} == {"w"}
    for kind in ("dataset", "model"):
        with pytest.raises(UsageError, match="recall the batch or the source"):
            incidents.take_back(workspace, opened(world, asked[kind]).id, "blobs")


def test_a_hold_that_does_not_fit_is_refused_and_says_which_does(world: World) -> None:
    asked = about(world)
    for kind in ("source", "batch", "record", "key"):
        found = opened(world, asked[kind], hold_source=True)
        (hold,) = incidents.show_incident(world.workspace, found.id).holds
        assert (hold.what, hold.name) == (HoldKind.SOURCE, "vendor-a")
    before = len(incidents.list_incidents(world.workspace))
    for kind in ("policy", "reference", "decision", "dataset", "model"):
        with pytest.raises(UsageError, match=r"no source can be put on hold: .* on hold instead"):
            opened(world, asked[kind], hold_source=True)
        holds = [(HoldKind.PUBLISHING, "blobs"), (HoldKind.PROMOTION, "net")]
        found = opened(world, asked[kind], holds=holds)
        assert len(incidents.show_incident(world.workspace, found.id).holds) == 2
    assert len(incidents.list_incidents(world.workspace)) == before + 5


def test_people_name_a_thing_as_screens_show_it(world: World) -> None:
    workspace = world.workspace
    name, digest = world.policy.split("@")
    alias_model(workspace, "net", "2", "candidate")
    for short, whole in (
        (Question("key", world.key[:16]), world.key),
        (Question("policy", f"{name}@{digest[:8]}"), world.policy),
        (Question("model", "net@candidate"), "net@2"),
    ):
        assert resolved_question(workspace, short).subject == whole
        found = opened(world, short)
        assert found.question.subject == whole
        assert ask(workspace, short).model_ids == ask(workspace, found.question).model_ids
    alias_model(workspace, "net", "3", "candidate")
    # The question stays about the version that misbehaved.
    assert incidents.get_incident(workspace, found.id).question.subject == "net@2"


@pytest.mark.parametrize(
    ("question", "error"),
    [
        (Question("key", "0123456789"), NotFoundError),
        (Question("key", "KEY", LONG_AGO, LONG_AGO + timedelta(days=1)), UsageError),
        (Question("policy", "blobs"), UsageError),
        (Question("policy", "blobs@0123456789"), NotFoundError),
        (Question("reference", "blobs@99"), NotFoundError),
        (Question("decision", "decision-0"), NotFoundError),
        (Question("dataset", "blobs@one"), UsageError),
        (Question("dataset", "blobs@99"), NotFoundError),
        (Question("model", "net@staging"), NotFoundError),
        (Question("source", "vendor-a", registry="local"), UsageError),
        (Question("batch", "vendor-a/0", by="received"), UsageError),
        (Question("source", "vendor-a", by="guessed"), UsageError),
        (Question("source", "vendor-a", LONG_AGO, LONG_AGO), UsageError),
    ],
)
def test_what_is_no_question_opens_nothing(
    sqlite_yard: Yard, question: Question, error: type[Exception]
) -> None:
    with pytest.raises(error):
        incidents.open_incident(sqlite_yard.workspace, question, reason="x")
    assert incidents.list_incidents(sqlite_yard.workspace) == []


def test_a_key_that_signed_nothing_since_is_answered(sqlite_yard: Yard) -> None:
    """When something arrives is our own observation, so that nothing since is no gap."""
    key = add_key(sqlite_yard.workspace, "vendor-a", keygen()[1]).key_id
    found = incidents.open_incident(
        sqlite_yard.workspace,
        Question("key", key, LONG_AGO),
        reason="a laptop was stolen",
        hold_source=True,
    )
    assert (found.answer.batches, found.affected, found.cannot_say) == ([], False, False)
    (hold,) = incidents.show_incident(sqlite_yard.workspace, found.id).holds
    assert hold.name == "vendor-a"


def test_the_command_has_an_option_for_each_command_of_trace() -> None:
    from lazaretto.cli.trace import app as trace

    commands = {command.name for command in trace.registered_commands}
    assert commands - {"prediction", "schema"} == set(KINDS) <= set(AskedAbout.__annotations__)


def test_the_command_line_opens_one_about_a_decision(world: World, sqlite_catalog: str) -> None:
    place = ["--catalog", sqlite_catalog, "--store", str(world.workspace.store.root)]
    line = ["incident", "open", "--decision", world.decision, "--why", "he was tired", *place]
    told = CliRunner().invoke(app, line)
    assert told.exit_code == 1, told.output
    assert "1 batch, 3 records; 3 of 3 still in blobs" in " ".join(told.output.split())
    both = CliRunner().invoke(app, [*line, "--source", "vendor-a"])
    assert both.exit_code == 2
    frozen = CliRunner().invoke(app, [*line, "--freeze-source"])
    assert frozen.exit_code == 2
    assert "put their dataset on hold instead" in " ".join(frozen.output.split())
