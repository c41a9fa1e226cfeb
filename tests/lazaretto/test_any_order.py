"""Whatever happens in whatever order, killed anywhere: an oracle of plain sets agrees."""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from interrupting import Killed, killed_at
from yard import Yard, blobs, fresh_yard, make_policy

from lazaretto import stages
from lazaretto.authority.policies import policy_ref, register_policy
from lazaretto.dataset.announce import record_announced, unannounced
from lazaretto.dataset.recall import recall
from lazaretto.errors import AdmissionRefusedError, NotFoundError, UsageError
from lazaretto.health import backup, check, reconcile, restore
from lazaretto.ledger.verify import verify
from lazaretto.quarantine import review
from lazaretto.reference import Reference
from lazaretto.registry.references import save_reference
from lazaretto.values import Action

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lazaretto.policy import Policy

ROWS = 40
EXAMPLES = int(os.environ.get("LAZARETTO_ANY_ORDER_EXAMPLES", "4"))


@cache
def _references(policy_json: str) -> dict[int, Reference]:
    from lazaretto.policy import Policy

    policy = Policy.model_validate_json(policy_json)
    fit = Reference.fit
    return {n: fit(blobs(900, seed=n), policy, name="blobs", version=f"r{n}") for n in (1, 3)}


@dataclass(slots=True)
class _Batch:
    """What must be true of a delivery, whatever the program says."""

    number: int
    id: str = ""
    meaning: str = ""
    held: set[str] = field(default_factory=set)
    case: str | None = None
    admitted: bool = False
    decided: bool = False
    published: set[str] = field(default_factory=set)
    recalled: set[str] = field(default_factory=set)

    @property
    def all_ids(self) -> set[str]:
        return {f"b{self.number}-{row}" for row in range(ROWS)}

    @property
    def there(self) -> set[str]:
        """Its records in the dataset."""
        cleared = self.all_ids - self.held if self.admitted else set()
        return (cleared | self.published) - self.recalled


@dataclass(slots=True)
class _Known:
    """All that is true at one moment."""

    batches: list[_Batch]
    versions: int
    announced: list[int]
    yard: Yard
    file: Path


@dataclass(slots=True)
class _Oracle:
    yard: Yard
    prefix: int
    batches: list[_Batch] = field(default_factory=list)
    versions: int = 0
    announced: list[int] = field(default_factory=list)
    kept: _Known | None = None
    copies: int = 0
    forgotten: set[str] = field(default_factory=set)

    @property
    def policy(self) -> Policy:
        return self.yard.policy

    def rows(self, batch: _Batch) -> object:
        return blobs(ROWS, seed=batch.number, prefix=f"b{batch.number}-", flips=3)

    def deliver(self, _pick: int) -> None:
        batch = _Batch(self.prefix + len(self.batches))
        self.redo(batch)
        self.batches.append(batch)

    def again(self, pick: int) -> None:
        """The same delivery, done again from receipt on, as a cleared run would."""
        if self.batches:
            self.redo(self.batches[pick % len(self.batches)])

    def redo(self, batch: _Batch) -> None:
        meaning = policy_ref(self.policy).meaning
        judged = self.yard.judge(f"b{batch.number}", self.rows(batch))  # type: ignore[arg-type]
        settled = batch.meaning == meaning or batch.case or batch.admitted or batch.decided
        if batch.id and settled:
            assert (judged.batch, judged.case, judged.held) == (
                batch.id,
                batch.case,
                len(batch.held),
            )
            return
        self._judged(batch, judged, meaning)

    def rejudge(self, pick: int) -> None:
        if not self.batches:
            return
        batch, meaning = self.batches[pick % len(self.batches)], policy_ref(self.policy).meaning
        try:
            judged = stages.rejudge(self.yard.workspace, batch.id, self.policy, reason="why not")
        except UsageError:
            assert batch.admitted or batch.decided
            return
        assert not batch.admitted
        assert not batch.decided
        self._judged(batch, judged, meaning)

    def _judged(self, batch: _Batch, judged: stages.Judgement, meaning: str) -> None:
        held = review.held_records(self.yard.workspace, judged.case) if judged.case else []
        batch.id, batch.case, batch.meaning = judged.batch, judged.case, meaning
        batch.held = {str(record.record_id) for record in held}
        assert batch.held <= batch.all_ids

    def admit(self, pick: int) -> None:
        if not self.batches:
            return
        batch = self.batches[pick % len(self.batches)]
        cleared = len(batch.all_ids - batch.held)
        try:
            done = stages.admit(self.yard.workspace, batch.id)
        except AdmissionRefusedError:
            assert not batch.admitted
            assert batch.meaning != policy_ref(self.policy).meaning
            return
        assert batch.admitted or not cleared or batch.meaning == policy_ref(self.policy).meaning
        assert done.rows == len(batch.all_ids - batch.held - batch.recalled)
        self.versions += not batch.admitted and cleared > 0
        batch.admitted |= cleared > 0

    def release(self, pick: int) -> None:
        self._decide(pick, Action.RELEASE)

    def reject(self, pick: int) -> None:
        self._decide(pick, Action.REJECT)

    def _decide(self, pick: int, action: Action) -> None:
        """The first record of a case that waits, and what follows from it."""
        cases = [batch for batch in self.batches if batch.case]
        if not cases:
            return
        batch = cases[pick % len(cases)]
        case = str(batch.case)
        waiting = review.held_records(self.yard.workspace, case, {"action": "UNDECIDED"})
        if waiting:
            batch.decided = True
            some = str(waiting[0].record_id)
            review.decide(self.yard.workspace, case, action, ids=[some], reason="looked at it")
        released = review.held_records(self.yard.workspace, case, {"action": "RELEASE"})
        mine = {str(record.record_id) for record in released}
        published = review.publish(self.yard.workspace, case)
        assert (published is None) == (not mine)
        self.versions += mine != batch.published
        batch.published = mine

    def recall(self, pick: int) -> None:
        if not self.batches:
            return
        batch = self.batches[pick % len(self.batches)]
        ids = sorted(batch.there)[: 1 + pick % 3]
        names = [f"{batch.id}#{record}" for record in ids] or [f"{batch.id}#none"]
        try:
            found = recall(self.yard.workspace, "blobs", ids=names, reason="found late")
        except NotFoundError:
            assert not ids
            return
        assert found.records == len(ids)
        batch.recalled |= set(ids)
        self.versions += 1

    def register(self, pick: int) -> None:
        policy = make_policy(review={"expire_days": 1 + pick % 3})
        register_policy(self.yard.workspace, policy, reason="next")
        self.yard = replace(self.yard, policy=policy)

    def promote(self, pick: int) -> None:
        references = _references(make_policy().model_dump_json())
        save_reference(self.yard.workspace, references[(1, 3)[pick % 2]], promote=True)

    def announce(self, _pick: int) -> None:
        """What the triggerer does at each look."""
        for news in unannounced(self.yard.workspace, "blobs"):
            if record_announced(self.yard.workspace, "blobs", news.version, news.made):
                self.announced.append(news.version)

    def keep(self, _pick: int) -> None:
        """A copy of the catalog; the store goes on."""
        self.copies += 1
        file = self.yard.folder / f"copy-{self.copies}"
        backup(self.yard.workspace.catalog, file)
        facts = deepcopy(self.batches), self.versions, list(self.announced)
        self.kept = _Known(*facts, self.yard, file)

    def restore(self, _pick: int) -> None:
        """Back to that copy, with a store that is newer; nothing that came later ever was."""
        if self.kept is None:
            return
        workspace, known = self.yard.workspace, self.kept
        url = workspace.catalog.engine.url.render_as_string(hide_password=False)
        restore(known.file, catalog_url=url, store=workspace.store.root)
        workspace.catalog.engine.dispose()
        assert reconcile(workspace, apply=True).settled
        self.forgotten |= {batch.id for batch in self.batches}
        self.batches, self.announced = deepcopy(known.batches), list(known.announced)
        self.versions, self.yard = known.versions, known.yard

    def agrees(self) -> None:
        workspace = self.yard.workspace
        assert verify(workspace).ok
        wanted = sorted(record for batch in self.batches for record in batch.there)
        try:
            assert self.yard.ids() == wanted
        except NotFoundError:
            assert not wanted
        found = check(workspace, deep=True)
        beside = self.forgotten - {batch.id for batch in self.batches}
        told = {one.kind: set(one.first) for one in found.findings}
        assert told.pop("unknown_batches", set()) == beside
        # Restored to before the first admission, its table is on no record.
        assert told.pop("unknown_datasets", {"blobs"}) == {"blobs"}
        assert not told
        assert not found.differences
        open_ = {case.id for case in review.list_cases(workspace, limit=1000)}
        for batch in self.batches:
            assert not batch.case or batch.case in open_ or batch.decided
        assert open_ <= {batch.case for batch in self.batches}
        self.announce(0)
        assert len(self.announced) == len(set(self.announced))
        if self.versions:
            assert max(self.announced) >= self.versions
        assert unannounced(workspace, "blobs") == []


_DO: dict[str, Callable[[_Oracle, int], None]] = {
    "deliver": _Oracle.deliver,
    "again": _Oracle.again,
    "admit": _Oracle.admit,
    "release": _Oracle.release,
    "reject": _Oracle.reject,
    "recall": _Oracle.recall,
    "register": _Oracle.register,
    "promote": _Oracle.promote,
    "rejudge": _Oracle.rejudge,
    "announce": _Oracle.announce,
    "keep": _Oracle.keep,
    "restore": _Oracle.restore,
}
_STEPS = st.lists(
    st.tuples(st.sampled_from(list(_DO)), st.integers(0, 8), st.none() | st.integers(0, 40)),
    min_size=4,
    max_size=14,
)


def _play(yard: Yard, steps: list[tuple[str, int, int | None]]) -> None:
    try:
        _do(yard, steps)
    finally:
        yard.workspace.catalog.engine.dispose()


def _do(yard: Yard, steps: list[tuple[str, int, int | None]]) -> None:
    oracle = _Oracle(yard, prefix=5)
    for name, pick, kill in steps:
        if kill is not None:
            try:
                with killed_at(yard.workspace.catalog.engine, kill):
                    _DO[name](oracle, pick)
                continue
            except Killed:
                pass
        _DO[name](oracle, pick)
    oracle.agrees()


def test_an_oracle_agrees_whatever_happens_and_whenever_it_is_killed(
    catalog_url: str, fitted_reference: str, tmp_path: Path
) -> None:
    number = count()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes many minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(steps=_STEPS)
    def play(steps: list[tuple[str, int, int | None]]) -> None:
        _play(fresh_yard(catalog_url, tmp_path / str(next(number)), fitted_reference), steps)

    play()
