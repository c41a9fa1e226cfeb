"""A hold of an incident really stops: at the gate, at admission, at publication."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from fsspec.implementations.local import LocalFileSystem
from yard import ANN, blobs

import lazaretto as lz
from lazaretto import incidents, stages
from lazaretto.authority.holds import holds_on, require_no_hold
from lazaretto.errors import AdmissionRefusedError, OnHoldError, SystemFaultError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import AdmissionRefused
from lazaretto.quarantine import review
from lazaretto.quarantine.publish import publish
from lazaretto.stages.alias_model import alias_model
from lazaretto.values import Action, HoldKind, Question, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from yard import Yard

    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

SOURCE = (HoldKind.SOURCE, "vendor-a")
BLOBS = (HoldKind.PUBLISHING, "blobs")


def freeze(yard: Yard, *holds: tuple[HoldKind, str]) -> str:
    """An incident with these holds."""
    asked = Question("source", "vendor-a")
    return incidents.open_incident(yard.workspace, asked, reason="stolen key", holds=holds).id


def lift(yard: Yard, incident: str, what: HoldKind, name: str) -> None:
    assert incidents.lift_hold(yard.workspace, incident, what, name, reason="a new key")


def clean(yard: Yard, name: str, source: str = "vendor-a") -> Any:
    return yard.judge(name, blobs(60, seed=len(name), prefix=name), source)


def suspicious(yard: Yard, name: str) -> str:
    """A case with records that are released."""
    judged = yard.judge(name, blobs(90, seed=6, prefix=name, flips=9))
    case = str(judged.case)
    review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="looked at")
    return case


def refused(call: Callable[[], object], code: str, incident: str) -> None:
    with pytest.raises(AdmissionRefusedError) as error:
        call()
    assert error.value.code == code
    assert f"on hold for incident {incident}" in str(error.value)
    assert f"by {ANN.id} (stolen key)" in str(error.value)


@contextmanager
def meanwhile(do: Callable[[], object]) -> Iterator[None]:
    """Somebody else acts when a file is moved to its place: behind the look, before the commit."""
    real, waiting = LocalFileSystem.mv, [do]

    def moved(*args: Any, **kwargs: Any) -> Any:
        while waiting:
            waiting.pop()()
        return real(*args, **kwargs)

    with patch.object(LocalFileSystem, "mv", moved):
        yield
    assert not waiting


def test_a_batch_of_a_source_on_hold_is_held_as_a_whole_until_somebody_reviews_it(
    yard: Yard,
) -> None:
    incident = freeze(yard, SOURCE)
    judged = clean(yard, "monday")
    assert (judged.verdict, judged.held, judged.cleared) == (Verdict.HOLD_BATCH, 60, 0)
    assert f"on hold for incident {incident}" in judged.notes[0]
    assert stages.admit(yard.workspace, judged.batch).rows == 0
    review.decide(yard.workspace, judged.case, Action.RELEASE, all=True, reason="looked at")
    refused(lambda: publish(yard.workspace, judged.case), "source_on_hold", incident)
    lift(yard, incident, *SOURCE)
    published = publish(yard.workspace, judged.case)
    assert published is not None
    assert published.rows == 60
    assert clean(yard, "tuesday").verdict is Verdict.PASS


def test_another_source_goes_on(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    freeze(yard, SOURCE)
    assert stages.admit(yard.workspace, clean(yard, "monday", "vendor-b").batch).rows == 60


def test_what_passed_before_does_not_enter_while_its_source_is_on_hold(yard: Yard) -> None:
    judged = clean(yard, "monday")
    incident = freeze(yard, SOURCE)
    refused(lambda: stages.admit(yard.workspace, judged.batch), "source_on_hold", incident)
    with yard.workspace.catalog.read() as connection:
        (entry,) = entries(connection, kinds=[AdmissionRefused.kind])
    assert isinstance(entry.event, AdmissionRefused)
    assert (entry.event.code, entry.event.batch) == ("source_on_hold", judged.batch)
    lift(yard, incident, *SOURCE)
    assert stages.admit(yard.workspace, judged.batch).rows == 60


def test_nothing_enters_a_dataset_on_hold_and_batches_are_judged_as_ever(yard: Yard) -> None:
    case = suspicious(yard, "monday")
    incident = freeze(yard, BLOBS)
    judged = clean(yard, "tuesday", "vendor-b")
    assert judged.verdict is Verdict.PASS
    refused(lambda: stages.admit(yard.workspace, judged.batch), "publishing_on_hold", incident)
    refused(lambda: publish(yard.workspace, case), "publishing_on_hold", incident)
    lift(yard, incident, *BLOBS)
    assert stages.admit(yard.workspace, judged.batch).rows == 60
    published = publish(yard.workspace, case)
    assert published is not None
    assert published.rows > 0


@pytest.mark.parametrize(
    ("hold", "code"), [(SOURCE, "source_on_hold"), (BLOBS, "publishing_on_hold")]
)
def test_a_hold_that_is_placed_while_records_are_written_counts(
    yard: Yard, hold: tuple[HoldKind, str], code: str
) -> None:
    judged, found = clean(yard, "monday"), []
    with (
        meanwhile(lambda: found.append(freeze(yard, hold))),
        pytest.raises(AdmissionRefusedError) as error,
    ):
        stages.admit(yard.workspace, judged.batch)
    assert error.value.code == f"{hold[0].value.lower()}_on_hold"
    assert found[0] in str(error.value)
    lift(yard, found[0], *hold)
    assert stages.admit(yard.workspace, judged.batch).rows == 60


def test_a_batch_that_is_judged_meanwhile_is_judged_again(yard: Yard) -> None:
    batch = yard.receive("monday", blobs(90, seed=6, prefix="m", flips=9)).id
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, yard.policy)
    with meanwhile(lambda: freeze(yard, SOURCE)), pytest.raises(SystemFaultError, match="on hold"):
        stages.gate(yard.workspace, batch, yard.policy)
    assert stages.gate(yard.workspace, batch, yard.policy).verdict is Verdict.HOLD_BATCH


def test_what_two_incidents_hold_stays_on_hold_until_both_are_lifted(yard: Yard) -> None:
    judged = clean(yard, "monday")
    first, second = freeze(yard, SOURCE), freeze(yard, SOURCE)
    lift(yard, first, *SOURCE)
    refused(lambda: stages.admit(yard.workspace, judged.batch), "source_on_hold", second)
    assert not incidents.lift_hold(yard.workspace, first, *SOURCE, reason="again")
    assert incidents.place_hold(yard.workspace, first, *SOURCE, reason="stolen key")
    assert not incidents.place_hold(yard.workspace, first, *SOURCE, reason="stolen key")
    with yard.workspace.catalog.read() as connection:
        assert [hold.incident for hold in holds_on(connection, *SOURCE)] == [second, first]
    for incident in (first, second):
        lift(yard, incident, *SOURCE)
    assert stages.admit(yard.workspace, judged.batch).rows == 60


def test_a_model_on_hold_is_refused_whatever_promotes_it(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    stages.admit(yard.workspace, clean(yard, "monday").batch)
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", "1", "blobs", taken.version)
    incident = freeze(yard, (HoldKind.PROMOTION, "net"))
    with yard.workspace.catalog.transaction() as connection:
        require_no_hold(connection, HoldKind.PROMOTION, "other")
        with pytest.raises(OnHoldError) as error:
            require_no_hold(connection, HoldKind.PROMOTION, "net")
    assert error.value.code == "promotion_on_hold"
    assert f"model 'net' is on hold for incident {incident}" in str(error.value)


def test_a_model_on_hold_gets_no_newer_version_and_may_go_back(workspace: Workspace) -> None:
    """The one thing that somebody must be able to do in an incident is to serve what was before."""
    for version in ("1", "2", "3"):
        table = f"s3://lake features@{version}"
        lz.register_model("churn", version, tables=[table], workspace=workspace)
    alias_model(workspace, "churn", "2", "live")
    asked = Question("model", "churn@2")
    stopped = (HoldKind.PROMOTION, "churn")
    opened = incidents.open_incident(workspace, asked, reason="odd answers", holds=[stopped])
    with pytest.raises(OnHoldError, match=opened.id):
        alias_model(workspace, "churn", "3", "live")
    assert alias_model(workspace, "churn", "1", "live")
