"""Models: inputs add up, registries differ, roles count, and what to do comes in order."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from foreign_events import LAKE, META, REGISTRY, dataset, event, model
from foreign_site import Said, Site, may_be
from ledger_history import History

from lazaretto import lineage
from lazaretto.errors import UsageError
from lazaretto.ledger import events
from lazaretto.values import InputKind, InputRole, ModelInput

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

NET = model("net", 1)


@pytest.fixture
def site(workspace: Workspace, tmp_path: Path) -> Site:
    """Two vendors' batches, in versions 1 and 2 of the admitted table."""
    site = Site(workspace, tmp_path)
    site.deliver("vendor")
    site.deliver("other")
    return site


def _register(site: Site, name: str, *inputs: ModelInput, **fields: Any) -> None:
    """Registers a model of what is named, and of nothing else unless `fields` say so."""
    given = {"registry": REGISTRY, "dataset": None, "snapshot": None, "rows": 0, "purpose": "train"}
    model, _, version = name.partition("@")
    site.history.write(
        events.ModelRegistered(model, version, inputs=list(inputs), **given | fields)
    )


def _snapshot(version: int, role: InputRole = InputRole.TRAIN) -> ModelInput:
    return ModelInput(InputKind.SNAPSHOT, "", "digits", str(version), role, 90)


def test_what_events_told_counts_after_a_model_is_registered(site: Site) -> None:
    site.deliver("third")
    features = dataset("features", 1)
    site.feed(event([site.batch("third")], [features]), event([site.table(1), features], [NET]))
    assert site.source("third") == Said(["net@1"])
    site.history.register("net", "1", snapshot=1)
    assert site.source("third") == site.source("vendor") == Said(["net@1"])
    assert set(site.model("net@1").batch_ids) == {site.batches["vendor"], site.batches["third"]}


def test_a_model_may_learn_from_two_snapshots(site: Site) -> None:
    version = site.recall("vendor")
    _register(site, "net@1", _snapshot(1), _snapshot(version))
    assert site.source("vendor") == site.source("other") == Said(["net@1"])
    assert {batch.id: batch.used_rows for batch in site.model("net@1").batches} == {
        site.batches["vendor"]: 90,
        site.batches["other"]: 90,
    }


def test_a_registration_may_name_tables_and_models_of_others(site: Site) -> None:
    site.feed(event([site.batch("vendor")], [dataset("features", 1)]))
    site.history.register("base", "1", snapshot=site.recall("vendor"))
    _register(
        site,
        "net@1",
        ModelInput(InputKind.TABLE, LAKE, "features", "1"),
        ModelInput(InputKind.MODEL, REGISTRY, "base", "1", InputRole.FINETUNE),
    )
    assert site.source("vendor") == Said(["net@1"])
    assert site.source("other") == Said(["base@1", "net@1"])


def test_a_registration_that_names_a_version_of_a_failed_run_leaves_open_what_it_holds(
    site: Site,
) -> None:
    site.feed(
        event([site.batch("vendor")], [dataset("features", 1)], at=0),
        event([site.batch("other")], [dataset("features", 2)], at=60, state="FAIL"),
    )
    _register(site, "net@1", ModelInput(InputKind.TABLE, LAKE, "features", "2"))
    assert site.source("vendor") == site.source("other") == may_be("net@1")


def test_two_registries_have_a_model_of_the_same_name(site: Site) -> None:
    for registry, version in (("mlflow://eu", 1), ("mlflow://us", 2)):
        _register(site, "churn@1", registry=registry, dataset="digits", snapshot=version)
    trace = lineage.trace_source(site.workspace, "vendor")
    assert sorted(found.registry for found in trace.models) == ["mlflow://eu", "mlflow://us"]
    [second] = lineage.trace_source(site.workspace, "other").models
    assert second.registry == "mlflow://us"
    assert sorted(step.registry for step in trace.retrain) == ["mlflow://eu", "mlflow://us"]
    with pytest.raises(UsageError, match="more than one registry"):
        lineage.trace_model(site.workspace, "churn", "1")
    own = lineage.trace_model(site.workspace, "churn", "1", registry="MLFLOW://eu/")
    assert own.batch_ids == [site.batches["vendor"]]


def test_what_only_measured_is_told_apart_and_its_children_are_not_accused(site: Site) -> None:
    site.history.register("judge", "1", snapshot=1, purpose="eval")
    site.history.register("net", "1", snapshot=1)
    site.feed(
        event([model("judge", 1)], [model("child", 1)]),
        event([site.batch("other")], [model("critic", 1)]),
        event([site.table(1)], [model("critic", 1)], lazaretto_training={"purpose": "EVAL"}),
    )
    trace = lineage.trace_source(site.workspace, "vendor")
    assert trace.model_ids == ["net@1"]
    assert sorted(found.id for found in trace.evaluated) == ["critic@1", "judge@1"]
    assert [step.model for step in trace.retrain] == ["net"]
    assert trace.complete
    # What is measured and never trained, as far as events tell, comes from anywhere.
    training = {"purpose": "EVAL"}
    site.feed(event([site.table(1)], [model("found", 1)], lazaretto_training=training))
    assert site.source("vendor") == may_be("found@1", affected=("net@1",))


@pytest.mark.parametrize(
    ("role", "learned"),
    [("TRAIN", True), ("FINETUNE", True), ("VALIDATION", True), ("TEST", False), ("EVAL", False)],
)
def test_each_input_has_a_role_of_its_own(site: Site, role: str, learned: bool) -> None:
    """Of an event of others, and of a registration."""
    second = dataset("holdout", 1)
    site.feed(event([site.batch("other")], [second]))
    consumed = [
        {"namespace": "file", "name": site.history.dataset_uri, "version": "1", "role": "TRAIN"},
        {"namespace": LAKE, "name": "holdout", "version": "1", "role": role},
    ]
    training = {"purpose": "TRAIN", "consumed": consumed}
    site.feed(event([site.table(1), second], [NET], lazaretto_training=training))
    version = site.recall("vendor")
    _register(site, "own@1", _snapshot(1), _snapshot(version, InputRole(role)))
    assert site.source("vendor") == Said(["net@1", "own@1"])
    trace = lineage.trace_source(site.workspace, "other")
    assert sorted(trace.model_ids) == (["net@1", "own@1"] if learned else [])
    assert sorted(m.id for m in trace.evaluated) == ([] if learned else ["net@1", "own@1"])


def test_the_plan_trains_a_teacher_before_its_student(site: Site) -> None:
    """An older student was registered before the teacher; the newest learned from it."""
    site.history.register("student", "1", snapshot=1)
    site.history.register("teacher", "1", snapshot=1)
    predictions = dataset("predictions", 1)
    site.feed(
        event([model("teacher", 1)], [predictions]), event([predictions], [model("student", 2)])
    )
    trace = lineage.trace_source(site.workspace, "vendor")
    assert sorted(trace.model_ids) == ["student@1", "student@2", "teacher@1"]
    assert [step.model for step in trace.retrain] == ["teacher", "student"]


def test_models_that_learned_from_each_other_in_turns_have_a_plan_all_the_same(site: Site) -> None:
    site.feed(
        event([site.table(1)], [model("a", 1)]),
        event([model("a", 1)], [model("b", 1)]),
        event([model("b", 1)], [model("a", 1)]),
    )
    assert site.source("vendor") == Said(["a@1", "b@1"])
    plan = lineage.trace_source(site.workspace, "vendor").retrain
    assert sorted(step.model for step in plan) == ["a", "b"]


def test_the_plan_never_rolls_back_to_what_is_unknown(site: Site) -> None:
    """2 is clean, as far as anybody knows; 3 is of a table that nobody wrote; 4 is affected."""
    clean = event([site.table(site.recall("vendor"))], [model("net", 2)])
    site.feed(
        clean,
        event([dataset("never-seen")], [model("net", 3)], at=10),
        event([site.table(1)], [model("net", 4)], at=20),
    )
    [step] = lineage.trace_source(site.workspace, "vendor").retrain
    assert (step.affected, step.newest, step.last_clean) == (["4"], "4", "2")


def test_a_run_that_is_named_at_registration_adds_what_it_read(site: Site) -> None:
    """An experiment tracker's run id is that of the run which the training tool reports."""
    run = str(uuid.uuid4())
    features = dataset("features", 1)
    site.feed(event([site.batch("other")], [features]), event([features], [], run=run))
    _register(site, "net@1", dataset="digits", snapshot=1, external_run_id=run)
    assert site.source("vendor") == site.source("other") == Said(["net@1"])


def test_a_foreign_model_is_found_by_what_it_inherits(site: Site) -> None:
    """Through predictions, a distilled student and a fine-tuned child of it."""
    site.history.register("teacher", "1", snapshot=1)
    predictions = dataset("predictions", 1)
    site.feed(
        event([model("teacher", 1), dataset("unlabelled", 1)], [predictions]),
        event([predictions], [model("student", 1)]),
        event([model("student", 1)], [model("child", 1)]),
    )
    assert site.source("vendor") == Said(["child@1", "student@1", "teacher@1"])
    assert site.source("other") == may_be("child@1", "student@1")
    own = site.model("child@1")
    assert own.batch_ids == [site.batches["vendor"]]
    assert not own.complete  # nobody told where the unlabelled data came from


def test_who_learned_from_predictions_alone_inherited_what_they_hold(site: Site) -> None:
    """Whatever the table is called, and whatever was made of it since."""
    site.history.register("teacher", "1", snapshot=1)
    site.history.register("judged", "1", snapshot=1, purpose="eval")
    predictions, cleaned = dataset("predictions", 1), dataset("cleaned")
    learned = [predictions, site.table(1)]
    site.feed(
        event([model("teacher", 1)], [predictions]),
        event([predictions], [cleaned], at=1),
        event([cleaned], [model("student", 1)], at=20),
        event([predictions], [model("judged", 1)], at=20),
        event([model("student", 1)], [dataset("answers", 1)], at=30),
        event([dataset("answers", 1)], [model("grandchild", 1)], at=40),
        event(learned, [model("both", 1)], at=20),
        event([site.table(1)], [dataset("copied", 1)]),
        event([dataset("copied", 1)], [model("plain", 1)]),
    )
    trace = lineage.trace_source(site.workspace, "vendor")
    inherited = {each.id: each.inherited for each in trace.models}
    assert inherited == {
        "teacher@1": False,
        "student@1": True,
        "judged@1": True,
        "grandchild@1": True,
        "both@1": False,
        "plain@1": False,
    }
    roles = {each.id: each.roles for each in trace.models}
    assert (roles["student@1"], roles["judged@1"]) == ([], ["EVAL"])
    for name, is_inherited in inherited.items():
        made = {each.id: each.inherited for each in site.model(name).models}
        assert made.pop(name) is is_inherited, name
        assert made.items() <= inherited.items()


def test_a_history_of_another_dataset_is_not_accused(site: Site, workspace: Workspace) -> None:
    other = History(workspace, dataset="letters", count=50)
    batch = other.receive("vendor")
    other.admit(batch)
    other.register("ocr", "1")
    site.history.register("net", "1", snapshot=1)
    assert site.source("vendor") == Said(["net@1", "ocr@1"])
    assert lineage.trace_batch(workspace, batch).model_ids == ["ocr@1"]
    assert lineage.trace_dataset(workspace, "digits", 1).model_ids == ["net@1"]


def test_who_takes_a_model_without_a_version_takes_the_last_that_anybody_saw(site: Site) -> None:
    """Version 2 was read, and nobody told who made it: version 1 is not accused for it."""
    site.feed(event([site.table(1)], [NET]))
    site.feed(event([model("net", 2)], [model("copy", 1)], at=3600))
    site.feed(event([model("net", None)], [model("head", 1)], at=7200))
    said = site.source("vendor")
    assert said.affected == ["net@1"]
    assert {"copy@1", "head@1"} <= set(said.unknown)


OPEN = str(uuid.UUID(int=77))
BEFORE = -10 * 86_400  # seconds: before anything was registered


def _training(read: dict[str, Any], at: float) -> dict[str, Any]:
    """A training has begun; what it made is not told yet."""
    begun = event([read], [], state="START", run=OPEN, job="fit", at=at)
    begun["run"]["facets"] = {"lazaretto_training": META | {"purpose": "TRAIN"}}
    return begun


def test_an_open_run_that_does_not_train_made_no_model(site: Site) -> None:
    """Some job of a site is always under way."""
    site.feed(event([site.batch("other")], [], state="START", run=OPEN, at=BEFORE))
    site.history.register("net", "1", snapshot=1)
    assert site.model("net@1").complete


def test_an_open_run_may_have_made_what_was_only_registered(site: Site) -> None:
    """It trained on more than the registration says, and its end, with its output, was lost."""
    site.feed(_training(site.batch("other"), at=BEFORE))
    site.history.register("net", "1", snapshot=1)
    trace = site.model("net@1")
    assert set(trace.batch_ids) == {site.batches["vendor"]}
    assert not trace.complete
    [why] = trace.completeness.origins
    assert why.startswith(f"run fit ({OPEN})")
    # Its end is known now, and that it made something else.
    site.feed(event([], [model("mine", 1)], run=OPEN, job="fit"))
    assert site.model("net@1").complete


def test_an_open_run_did_not_make_what_another_run_made(site: Site) -> None:
    site.feed(_training(site.batch("other"), at=BEFORE))
    made = event([site.table(1)], [NET], at=100)
    site.feed(made)
    site.history.register("net", "1", snapshot=1)
    _register(site, "mine@1", _snapshot(1), external_run_id=made["run"]["runId"])
    assert site.model("net@1").complete
    assert site.model("mine@1").complete


def test_what_was_registered_before_an_open_run_began_is_not_of_it(site: Site) -> None:
    site.history.register("net", "1", snapshot=1)
    site.feed(_training(site.batch("other"), at=0))
    assert site.model("net@1").complete
