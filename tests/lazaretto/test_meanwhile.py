"""What was checked before the writer lock is checked again inside it where the ledger moved."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from yard import Yard, blobs, make_policy

from lazaretto import incidents, stages
from lazaretto.authority.judgements import set_aside
from lazaretto.authority.policies import register_policy
from lazaretto.errors import LazarettoError
from lazaretto.ledger import chain
from lazaretto.ledger.events import subject_field
from lazaretto.ledger.meanwhile import STAGES_AND_ADMISSIONS
from lazaretto.ledger.verify import verify
from lazaretto.sources.registry import revoke_source
from lazaretto.values import HoldKind, Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection


def _hold(what: HoldKind, name: str) -> Callable[[Yard, str], object]:
    asked = Question("source", "vendor-a")
    return lambda yard, _: incidents.open_incident(
        yard.workspace, asked, reason="stolen key", holds=((what, name),)
    )


def _other_policy(yard: Yard, _batch: str) -> None:
    register_policy(yard.workspace, make_policy(limits={"max_rows": 50}), reason="smaller")


MEANWHILE: dict[str, Callable[[Yard, str], object]] = {
    "source on hold": _hold(HoldKind.SOURCE, "vendor-a"),
    "dataset on hold": _hold(HoldKind.PUBLISHING, "blobs"),
    "source revoked": lambda yard, _: revoke_source(yard.workspace, "vendor-a", reason="gone"),
    "another policy": _other_policy,
    "set aside": lambda yard, batch: set_aside(yard.workspace, batch, "blobs", reason="again"),
}


def _behind_the_look(
    monkeypatch: pytest.MonkeyPatch, module: str, do: Callable[[], object]
) -> None:
    """Somebody else acts between what is read before the lock and the lock, once."""
    waiting = [do]

    def head(connection: Connection) -> int:
        seen = chain.head(connection)
        while waiting:
            waiting.pop()()
        return seen

    monkeypatch.setattr(sys.modules[f"lazaretto.{module}"], "head", head)


@pytest.mark.parametrize("what", MEANWHILE)
def test_what_happens_between_look_and_lock_stops_an_admission(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    yard, batch = sqlite_yard, sqlite_yard.judge("clean", blobs(60, seed=5)).batch
    _behind_the_look(monkeypatch, "dataset.admission", lambda: MEANWHILE[what](yard, batch))
    with pytest.raises(LazarettoError):
        stages.admit(yard.workspace, batch)
    with yard.workspace.catalog.read() as connection:
        assert not list(chain.entries(connection, kinds=["batch_admitted"]))


@pytest.mark.parametrize("what", ["source on hold", "another policy"])
def test_and_a_judgement(sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    yard = sqlite_yard
    yard.judge("first", blobs(60, seed=4, prefix="f"))
    batch = yard.receive("clean", blobs(60, seed=5)).id
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, yard.policy)
    _behind_the_look(monkeypatch, "stages.gate", lambda: MEANWHILE[what](yard, batch))
    if what == "another policy":
        assert stages.gate(yard.workspace, batch, yard.policy).shadow
    else:
        with pytest.raises(LazarettoError, match="put on hold while"):
            stages.gate(yard.workspace, batch, yard.policy)
    with yard.workspace.catalog.read() as connection:
        judged = chain.entries(connection, kinds=["batch_judged"], subject=f"batch:{batch}")
        assert not list(judged)


def test_another_process_that_does_the_same_is_faster(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard, batch = sqlite_yard, sqlite_yard.judge("clean", blobs(60, seed=5)).batch
    found = []
    _behind_the_look(
        monkeypatch, "dataset.admission", lambda: found.append(stages.admit(yard.workspace, batch))
    )
    assert stages.admit(yard.workspace, batch) == found[0]
    assert len(yard.ids()) == 60
    assert verify(yard.workspace).ok


def test_what_others_deliver_meanwhile_stops_nothing(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard, batch = sqlite_yard, sqlite_yard.judge("clean", blobs(60, seed=5)).batch
    other = blobs(60, seed=6, prefix="o")
    _behind_the_look(monkeypatch, "dataset.admission", lambda: yard.admit("other", other))
    assert stages.admit(yard.workspace, batch).version == 2
    assert len(yard.ids()) == 120


def test_only_what_is_about_one_batch_is_passed_over() -> None:
    assert {subject_field(kind) for kind in STAGES_AND_ADMISSIONS} == {"batch"}
