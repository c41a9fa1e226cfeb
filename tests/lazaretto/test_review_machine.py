"""People review at will, killed anywhere: every row has one decision and one publisher behind it.

A state machine of hypothesis. Some decide, undo, approve and publish, others recall; cases expire
and batches are judged again; the two-person rule is on in some runs and comes and goes. The oracle
in `review_oracle` says what must be true, and reads ledger and files without the library.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from interrupting import Killed, killed_at
from review_oracle import CaseFacts, Oracle, Step, Taken
from tampering import intruder, rows_of
from yard import ANN, Yard, blobs, fresh_yard, make_policy

from lazaretto import lineage, stages
from lazaretto.authority.policies import policy_ref, register_policy
from lazaretto.dataset.recall import recall
from lazaretto.errors import AdmissionRefusedError, NotFoundError, OvertakenError, UsageError
from lazaretto.health import check, rebuild
from lazaretto.health.fold import STATE
from lazaretto.ledger.verify import verify
from lazaretto.quarantine import review
from lazaretto.storage import tables
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

_ASKED = os.environ.get("LAZARETTO_REVIEW_EXAMPLES")
EXAMPLES, STEPS = (int(_ASKED), 40) if _ASKED else (2, 25)
ROWS, HELD = 40, 9
BOB = Actor(ActorType.HUMAN, "user:bob")
CAT = Actor(ActorType.HUMAN, "user:cat")
SHELL = Actor(ActorType.OS_USER, "os:ann@gate")
TASK = Actor(ActorType.SERVICE, "airflow:ingest.admit")
_MADE_BY_REVIEWS = (
    tables.held_record, tables.decision_record, tables.decision, tables.case_count,
)  # fmt: skip
CLOCK = Actor(ActorType.POLICY, "policy:blobs")
REASON = "looked at it"


@dataclass(frozen=True)
class Wish:
    """What somebody wants to do next, and where they are killed meanwhile.

    Attributes:
        do: the name of it.
        who: wants it.
        pick: which case, batch or record, by number.
        kill: how many write points pass before it is killed; None: it is not.
        again: whether they try again after they were killed.
        action: to decide.
        how: to choose records.
        some: which records, label, and whether they say how many.
        which: decision to undo, by number.
        weight: to give.
        seen: what they have seen: the ``newest`` decision or one ``before``; None: they don't say.
        wrong: by how much they err about the number of records.
        late: whether cases are overdue.
    """

    do: str
    who: Actor
    pick: int
    kill: int | None
    again: bool
    action: Action
    how: str
    some: int
    which: int
    weight: float
    seen: str | None
    wrong: int
    late: bool


_OFTEN = {
    "decide": 7, "publish": 6, "approve": 3, "undo": 2, "recall": 2, "admit": 2,
    "expire": 1, "rejudge": 1, "other_rule": 1,
}  # fmt: skip
wishes = st.builds(
    Wish,
    do=st.sampled_from([name for name, often in _OFTEN.items() for _ in range(often)]),
    who=st.sampled_from([ANN, BOB, CAT, ANN, BOB, CAT, SHELL, TASK]),
    pick=st.integers(0, 23),
    # An operation has five to thirty write points.
    kill=st.sampled_from([None] * 8 + [*range(12), 15, 19, 24]),
    again=st.booleans(),
    action=st.sampled_from([*Action, Action.RELEASE]),
    how=st.sampled_from(["ids", "ids", "positions", "filter", "label", "all"]),
    some=st.integers(0, 2**HELD - 1),
    which=st.integers(0, 20),
    weight=st.sampled_from([0.25, 0.5, 1.0, 1.5]),
    seen=st.sampled_from([None, "newest", "newest", "newest", "before"]),
    wrong=st.sampled_from([0] * 9 + [1]),
    late=st.booleans(),
)


class Review(RuleBasedStateMachine):
    """A yard, people and the oracle."""

    fresh: ClassVar[Callable[[], Yard]]

    def __init__(self) -> None:
        super().__init__()
        self.yard = type(self).fresh()
        self.oracle = Oracle(self.yard.workspace)
        self.meanings: dict[str, str] = {}
        self.steps = 0

    # Helpers

    def by(self, actor: Actor) -> Any:
        return self.yard.workspace.acting(actor)

    def case(self, pick: int, like: Callable[[CaseFacts], Any] | None = None) -> CaseFacts:
        """One of the cases; those that are alike come first, and most often."""
        cases = list(self.oracle.cases.values())
        first = [case for case in cases if like is not None and like(case)]
        first = first or [case for case in cases if not case.superseded]
        return (first * 4 + cases)[pick % (len(cases) + 4 * len(first))]

    def some_case(self, like: Callable[[CaseFacts], Any]) -> bool:
        return any(like(case) for case in self.oracle.cases.values())

    def untouched(self, case: CaseFacts) -> bool:
        return not (case.superseded or case.taken or case.batch in self.oracle.admitted)

    def killed(self, kill: int | None, act: Callable[[], Any]) -> bool:
        """Whether it was killed before its end."""
        try:
            with killed_at(self.yard.workspace.catalog.engine, 10_000 if kill is None else kill):
                act()
        except Killed:
            return True
        return False

    def refused(self, error: type[Exception], act: Callable[[], Any], *steps: Step) -> None:
        with pytest.raises(error):
            act()
        self.oracle.came(steps)

    @property
    def two(self) -> bool:
        return self.yard.policy.review.require_two_people

    # What people do

    @initialize(two=st.booleans())
    def start(self, two: bool) -> None:
        self.use(two)
        for name, seed in (("a", 5), ("b", 6)):
            rows = blobs(ROWS, seed=seed, prefix=name, flips=HELD)
            self.judged(self.yard.judge(name, rows), rows)

    def use(self, two: bool) -> None:
        policy = make_policy(review={"require_two_people": two})
        self.yard = Yard(self.yard.workspace, policy, self.yard.folder)

    def judged(self, judgement: Any, rows: pa.Table | None = None) -> None:
        batch, case = judgement.batch, str(judgement.case)
        held = [r.record_id for r in review.held_records(self.yard.workspace, case)]
        if rows is not None:
            labels = dict(zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True))
        else:
            old = next(c for c in self.oracle.cases.values() if c.batch == batch)
            labels = old.labels | self.oracle.cleared[batch]
        for known in self.oracle.cases.values():
            known.superseded |= known.batch == batch
        mine = {record: labels.pop(record) for record in held}
        assert mine
        self.oracle.cases[case] = CaseFacts(case, batch, mine, self.two)
        self.oracle.cleared[batch] = labels
        self.meanings[batch] = policy_ref(self.yard.policy).meaning
        self.oracle.skip()

    @rule(wish=wishes)
    def step(self, wish: Wish) -> None:
        """Somebody does something; what cannot be done yet is a decision instead."""
        possible = {
            "publish": self.some_case(lambda case: case.waiting() or case.begun)
            or (self.some_case(lambda case: case.taken) and wish.pick % 3 == 0),
            "approve": self.some_case(CaseFacts.waiting),
            "undo": self.some_case(lambda case: case.taken),
            "recall": self.oracle.rows(),
            "rejudge": self.some_case(self.untouched) or wish.pick % 4 == 0,
        }
        getattr(self, wish.do if possible.get(wish.do, True) else "decide")(wish)

    def decide(self, wish: Wish) -> None:
        who, action, some = wish.who, wish.action, wish.some
        case = self.case(wish.pick)
        order = sorted(case.labels)
        bits = [record for n, record in enumerate(order) if some >> n & 1]
        if wish.pick % 4:  # who looks at a case sees what is published, and leaves it out
            bits = [record for record in bits if not case.final(frozenset({record}))]
        state = ["UNDECIDED", *(a.value for a in Action)][some % 5]
        mark = str(case.labels[order[some % len(order)]])
        ways: dict[str, tuple[dict[str, Any], frozenset[str]]] = {
            "ids": ({"ids": bits}, frozenset(bits)),
            "positions": ({"positions": self.positions(case, bits)}, frozenset(bits)),
            "filter": ({"filter": {"action": state}}, case.chosen(state)),
            "label": (
                {"filter": {"label": mark}},
                frozenset(r for r in order if str(case.labels[r]) == mark),
            ),
            "all": ({"all": True}, frozenset(order)),
        }
        asked, chosen = ways[wish.how]
        now = self.decided(case)
        asked |= {"seen": max(now - (wish.seen == "before"), 0)} if wish.seen else {}
        asked |= {"expected": len(chosen) + wish.wrong} if wish.wrong or some % 2 else {}
        label, weight = None, None
        if action is Action.RELABEL:
            label = asked["label"] = str(some % 3)
        if action is Action.REWEIGHT:
            weight = asked["weight"] = wish.weight

        def act() -> Any:
            return review.decide(self.by(who), case.id, action, reason=REASON, **asked)

        if case.superseded or (weight or 0) > 1:
            self.refused(UsageError, act)
        elif wish.wrong or (chosen and wish.seen == "before" and now):
            self.refused(OvertakenError, act)
        elif not chosen or case.final(chosen):
            self.refused(UsageError, act)
        else:
            taken = Taken("", who, action.value, chosen, label, weight)
            cut = self.killed(wish.kill, act)
            done = self.oracle.came([self.oracle.decision(case, taken, REASON)], cut=cut)
            if cut and wish.again and not done:
                act()
                self.oracle.came([self.oracle.decision(case, taken, REASON)])
            elif cut and wish.again and wish.seen:
                self.refused(OvertakenError, act)

    def positions(self, case: CaseFacts, records: list[str]) -> list[int]:
        found = review.held_records(self.yard.workspace, case.id)
        return [one.position for one in found if one.record_id in records]

    def decided(self, case: CaseFacts) -> int:
        return review.show_case(self.yard.workspace, case.id).decided

    def undo(self, wish: Wish) -> None:
        who = wish.who
        case = self.case(wish.pick, lambda case: case.taken)
        if not case.taken:
            return
        still = [taken for taken in case.taken if taken.counts and not case.final(taken.records)]
        choice = case.taken if wish.pick % 4 == 0 else still or case.taken
        old = choice[wish.which % len(choice)]

        def act() -> Any:
            return review.undo(self.by(who), old.id, reason=REASON)

        if case.superseded or not old.counts or case.final(old.records):
            self.refused(UsageError, act)
            return
        back = Taken("", who, old.action, old.records, old.label, old.weight, undoes=old.id)
        cut = self.killed(wish.kill, act)
        done = self.oracle.came([self.oracle.decision(case, back, REASON)], cut=cut)
        if cut and wish.again and done:
            self.refused(UsageError, act)
        elif cut and wish.again:
            act()
            self.oracle.came([self.oracle.decision(case, back, REASON)])

    def approve(self, wish: Wish) -> None:
        who, stale = wish.who, wish.seen == "before"
        case = self.case(wish.pick, CaseFacts.waiting)
        seen, waiting = self.decided(case) - stale, case.waiting()

        def act() -> Any:
            return review.approve(self.by(who), case.id, seen=seen)

        if case.superseded:
            self.refused(UsageError, act)
        elif stale:
            self.refused(OvertakenError, act)
        elif (
            who.type is not ActorType.HUMAN
            or not waiting
            or all(taken.by == who for taken in waiting.values())
        ):
            self.refused(UsageError, act)
        elif who in case.agreeing(waiting, begun=False):
            act()
            self.oracle.came([])
        else:
            says = {"case": case.id, "records": len(waiting), "decided": seen}
            step = Step("publication_approved", who, says, lambda _: case.agree(who))
            if not self.oracle.came([step], cut=self.killed(wish.kill, act)):
                act()
                self.oracle.came([step])
            named = review.show_case(self.yard.workspace, case.id).approved_by
            assert who.id in named

    def publish(self, wish: Wish) -> None:
        who = wish.who
        case = self.case(wish.pick, lambda case: case.waiting() or case.begun)

        def act() -> Any:
            return review.publish(self.by(who), case.id)

        if case.superseded:
            self.refused(UsageError, act)
            return
        steps, refused = self.coming(case, who)
        try:
            cut = self.killed(wish.kill, act)
        except AdmissionRefusedError:
            assert refused
            self.oracle.came(steps)
            return
        assert cut or not refused
        self.oracle.came(steps, cut=cut)
        if cut:
            self.begun(case)
            if wish.again:
                self.publish_again(case, who)

    def publish_again(self, case: CaseFacts, who: Actor) -> None:
        steps, refused = self.coming(case, who)
        with suppress(AdmissionRefusedError):
            review.publish(self.by(who), case.id)
            assert not refused
        self.oracle.came(steps)

    def coming(self, case: CaseFacts, who: Actor) -> tuple[list[Step], bool]:
        """What a publication must put on the ledger, and whether it ends with a refusal."""
        two = self.two or case.two_people
        steps: list[Step] = []
        for part, begun in ((case.begun, True), (case.waiting(), False)):
            if not part:
                continue
            if not case.allowed(part, who, two=two, begun=begun):
                says = {"case": case.id, "code": "two_people"}
                steps.append(Step("admission_refused", who, says, lambda _: case.begun.clear()))
                return steps, True
            steps.append(self.oracle.publication(case, dict(part), who, two=two, begun=begun))
        if not case.chosen("UNDECIDED") and not case.closed:

            def closed(_: Any) -> None:
                case.closed = True

            steps.append(Step("case_closed", who, {"case": case.id}, closed))
        return steps, False

    def begun(self, case: CaseFacts) -> None:
        """What was killed between its intent and its entry: all of it is on its way, or nothing."""
        held = tables.held_record.c
        query = tables.held_record.select().where(held.case_id == case.id, held.part.is_not(None))
        with self.yard.workspace.catalog.engine.connect() as connection:
            marked = {row.record_id for row in connection.execute(query)} - case.entered.keys()
        before, waiting = case.begun, case.waiting()
        assert marked in (set(before), set(waiting)) or not marked
        case.begun = before if marked == set(before) else {r: waiting[r] for r in marked}

    def expire(self, wish: Wish) -> None:
        late = wish.late
        policy = self.yard.policy
        then = datetime.now(UTC) + timedelta(days=91 if late else 1)

        def act() -> Any:
            return review.expire(self.yard.workspace, policy, then)

        reason = "not decided within 90 days"
        cut = self.killed(wish.kill, act)
        self.oracle.came(self.overdue(late, reason), cut=cut)
        if cut:
            act()
            self.oracle.came(self.overdue(late, reason))

    def overdue(self, late: bool, reason: str) -> list[Step]:
        return [
            self.oracle.decision(case, Taken("", CLOCK, "REJECT", case.chosen("UNDECIDED")), reason)
            for case in self.oracle.cases.values()
            if late and not case.superseded and case.chosen("UNDECIDED")
        ]

    def admit(self, wish: Wish) -> None:
        batch = sorted(self.oracle.cleared)[wish.pick % len(self.oracle.cleared)]
        workspace, oracle = self.by(TASK), self.oracle

        def act() -> Any:
            return stages.admit(workspace, batch)

        admitted = batch in oracle.admitted
        if not admitted and self.meanings[batch] != policy_ref(self.yard.policy).meaning:
            says = {"batch": batch, "code": "other_policy"}
            step = Step("admission_refused", TASK, says, lambda _: None)
            self.refused(AdmissionRefusedError, act, step)
            return
        says = {"batch": batch, "part": "cleared", "rows": len(oracle.cleared[batch])}
        entry = Step("batch_admitted", TASK, says, lambda _: oracle.admitted.add(batch))
        cut = self.killed(wish.kill, act)
        done = oracle.came([] if admitted else [entry], cut=cut)
        if cut:
            act()
            oracle.came([] if admitted or done else [entry])

    def recall(self, wish: Wish) -> None:
        pick, who = wish.pick, wish.who
        names = sorted(self.oracle.rows())
        some = {names[pick % len(names)], names[pick * 7 % len(names)]}

        def act() -> Any:
            return recall(self.by(who), "blobs", ids=sorted(some), reason=REASON)

        def gone(_: Any) -> None:
            self.oracle.recalled |= some

        says = {"dataset": "blobs", "records": len(some)}
        step = Step("records_recalled", who, says, gone)
        cut = self.killed(wish.kill, act)
        done = self.oracle.came([step], cut=cut)
        if cut:
            act()
            self.oracle.came([] if done else [step])

    def rejudge(self, wish: Wish) -> None:
        """Only what nobody acted on; its case ends, and there is a new one."""
        batch = sorted(self.oracle.cleared)[wish.pick % len(self.oracle.cleared)]
        standing = next(
            c for c in self.oracle.cases.values() if c.batch == batch and not c.superseded
        )

        def act() -> Any:
            return stages.rejudge(self.by(wish.who), batch, self.yard.policy, reason=REASON)

        if batch in self.oracle.admitted or standing.taken:
            self.refused(UsageError, act)
            return
        self.killed(wish.kill, act)
        self.judged(act())

    def other_rule(self, wish: Wish) -> None:
        """The two-person rule comes into force, or ends."""
        self.use(not self.two)
        register_policy(self.by(wish.who), self.yard.policy, reason="as it is decided")
        self.oracle.skip()

    # What must be true

    @invariant()
    def books_agree(self) -> None:
        if not self.oracle.cases:
            return
        self.oracle.check_decisions()
        self.oracle.check_admissions()
        assert verify(self.yard.workspace).ok
        for case in self.oracle.cases.values():
            shown = review.held_records(self.yard.workspace, case.id)
            assert {r.record_id: r.action for r in shown} == {
                record: taken.action if (taken := case.in_force(record)) else None
                for record in case.labels
            }
            state = "SUPERSEDED" if case.superseded else "CLOSED" if case.closed else "OPEN"
            assert review.show_case(self.yard.workspace, case.id).state == state
        assert self.dataset() == self.oracle.rows()
        self.steps += 1
        if self.steps % 6 == 0:
            self.sound()

    def dataset(self) -> dict[str, tuple[str, float]]:
        """Label and weight by ``batch#record``, as any reader of the Delta table sees them."""
        try:
            rows = self.yard.dataset()
        except NotFoundError:
            return {}
        found = {
            f"{row['_lazaretto_batch']}#{row['id']}": (str(row["label"]), row["sample_weight"])
            for row in rows.to_pylist()
        }
        assert len(found) == rows.num_rows
        return found

    def sound(self) -> None:
        workspace = self.yard.workspace
        health = check(workspace, deep=True)
        unfinished = sum(bool(case.begun) for case in self.oracle.cases.values())
        told = {one.kind: one.count for one in health.findings}
        if not self.oracle.used:  # the first admission was killed behind the making of its table
            told.pop("unknown_datasets", None)
        assert told == ({"unfinished_publication": unfinished} if unfinished else {})
        assert not health.differences
        assert not rebuild(workspace, write=False).needed

    def teardown(self) -> None:
        """The tables are made of the ledger alone, and the trace names everybody."""
        try:
            if self.oracle.cases:
                self.sound()
                self.traced()
                self.made_anew()
        finally:
            self.yard.workspace.catalog.engine.dispose()

    def traced(self) -> None:
        lineage.catch_up(self.yard.workspace)
        for case in self.oracle.cases.values():
            for record, fact in list(case.entered.items())[:2]:
                found = lineage.trace_record(self.yard.workspace, f"{case.batch}#{record}")
                state = found.record
                assert state is not None
                assert (state.case, state.decision) == (case.id, fact.by.id)
                assert state.decided_by == fact.by.by.id
                assert state.published_by == fact.publisher.id
                assert state.approved_by == list(fact.approved_by)
                shown = {name for one in found.releases for name in one.decided_by}
                assert fact.by.by.id in shown
                assert fact.publisher.id in {one.published_by for one in found.releases}

    def made_anew(self) -> None:
        if any(case.begun for case in self.oracle.cases.values()):
            return  # the ledger does not tell yet which records are on their way
        before = self.all_rows()
        with intruder(self.yard.workspace, stay=True) as connection:
            for table in _MADE_BY_REVIEWS:
                connection.execute(table.delete())
            connection.execute(tables.case.update().values(state="OPEN", two_people=False))
        rebuild(self.yard.workspace, write=True)
        assert self.all_rows() == before

    def all_rows(self) -> dict[str, list[Any]]:
        with self.yard.workspace.catalog.read() as connection:
            return {table.name: rows_of(connection, table) for table in STATE}


def test_whatever_people_decide_in_whatever_order_the_books_agree(
    catalog_url: str, fitted_reference: str, tmp_path: Path
) -> None:
    """With LAZARETTO_REVIEW_EXAMPLES=300 in the environment it takes half an hour."""
    number = count()

    class OnThisDatabase(Review):
        @staticmethod
        def fresh() -> Yard:
            return fresh_yard(catalog_url, tmp_path / str(next(number)), fitted_reference)

    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes many minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
