"""What must be true of a review, kept by a second bookkeeper in plain lists and sets.

It is told what people ask for, says what must come of it, and reads the ledger's rows, the data
files and the lists of decided records by itself, without the library that wrote them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import sqlalchemy as sa

from lazaretto.values import Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lazaretto.storage.workspace import Workspace

RELEASING = {"RELEASE", "RELABEL", "REWEIGHT"}


@dataclass(frozen=True)
class Written:
    """One row of the ledger, as it lies in the table."""

    seq: int
    kind: str
    by: str
    says: dict[str, Any]


@dataclass
class Taken:
    """A decision that was made, or the undoing of one."""

    id: str
    by: Actor
    action: str
    records: frozenset[str]
    label: str | None = None
    weight: float | None = None
    undoes: str | None = None
    undone: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is one that stands."""
        return self.undoes is None and not self.undone


@dataclass(frozen=True)
class Agreed:
    """An approval: of which decision on which record, after how many decisions."""

    by: Actor
    of: tuple[tuple[str, str], ...]
    after: int


@dataclass(frozen=True)
class Entered:
    """A held record that entered the dataset: by whose decision, published and approved by whom."""

    by: Taken
    publisher: Actor
    approved_by: tuple[str, ...]
    two_people: bool


@dataclass
class CaseFacts:
    """What must be true of a case."""

    id: str
    batch: str
    labels: dict[str, int]
    two_people: bool
    taken: list[Taken] = field(default_factory=list)
    entered: dict[str, Entered] = field(default_factory=dict)
    begun: dict[str, Taken] = field(default_factory=dict)
    agreed: list[Agreed] = field(default_factory=list)
    closed: bool = False
    superseded: bool = False

    def in_force(self, record: str) -> Taken | None:
        """The newest standing decision on a record."""
        return next((t for t in reversed(self.taken) if t.counts and record in t.records), None)

    def chosen(self, action: str) -> frozenset[str]:
        """Records by the decision in force on them; ``UNDECIDED`` for none."""
        now = {record: self.in_force(record) for record in self.labels}
        return frozenset(r for r, t in now.items() if (t.action if t else "UNDECIDED") == action)

    def waiting(self) -> dict[str, Taken]:
        """Records that are released and neither published nor on their way."""
        now = {record: self.in_force(record) for record in self.labels}
        return {
            record: taken
            for record, taken in now.items()
            if taken is not None
            and taken.action in RELEASING
            and record not in self.entered
            and record not in self.begun
        }

    def final(self, records: frozenset[str]) -> bool:
        """Whether one of these records is published or on its way."""
        return bool(records & (self.entered.keys() | self.begun.keys()))

    def agreeing(self, part: Mapping[str, Taken], *, begun: bool) -> list[Actor]:
        """Who approved a publication of exactly these records by these decisions."""
        of = _of(part)
        return [a.by for a in self.agreed if a.of == of and (begun or a.after == len(self.taken))]

    def agree(self, by: Actor) -> None:
        """Notes an approval of what waits."""
        self.agreed.append(Agreed(by, _of(self.waiting()), len(self.taken)))

    def complete(self) -> bool:
        """Whether everything is decided, and published where it is released."""
        return not self.chosen("UNDECIDED") and not self.waiting() and not self.begun

    def allowed(
        self, part: Mapping[str, Taken], publisher: Actor, *, two: bool, begun: bool
    ) -> bool:
        """Whether two authenticated people stand behind each record, where that is asked for."""
        agreed = {by.id for by in (publisher, *self.agreeing(part, begun=begun)) if _known(by)}
        return not two or all(_known(t.by) and agreed - {t.by.id} for t in part.values())


def _of(part: Mapping[str, Taken]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((record, taken.id) for record, taken in part.items()))


def _known(actor: Actor) -> bool:
    return actor.type is ActorType.HUMAN


@dataclass(frozen=True)
class Step:
    """An entry that must come on the ledger, and what follows from it."""

    kind: str
    by: Actor
    says: dict[str, Any]
    then: Callable[[Written], None]


@dataclass
class Oracle:
    """All that is true, and how far the ledger was read.

    Attributes:
        workspace: whose ledger.
        seq: last entry that was read.
        cases: by id.
        cleared: by batch, the labels of the records that the gate let through, by record.
        admitted: batches whose cleared records entered.
        recalled: ``batch#record`` of what was taken back.
    """

    workspace: Workspace
    seq: int = 0
    cases: dict[str, CaseFacts] = field(default_factory=dict)
    cleared: dict[str, dict[str, int]] = field(default_factory=dict)
    admitted: set[str] = field(default_factory=set)
    recalled: set[str] = field(default_factory=set)

    def read(self, after: int = 0) -> list[Written]:
        """Rows of the ledger behind a number."""
        with self.workspace.catalog.engine.connect() as connection:
            query = sa.text(
                "SELECT seq, kind, actor_id, payload FROM ledger WHERE seq > :after ORDER BY seq"
            )
            rows = connection.execute(query, {"after": after}).all()
        return [Written(r.seq, r.kind, r.actor_id, json.loads(r.payload)) for r in rows]

    def came(self, steps: Sequence[Step], *, cut: bool = False) -> int:
        """Holds what is new on the ledger against what must come, in order.

        Args:
            steps: what must come.
            cut: it was killed, so that only the first of them may have come.

        Returns:
            How many came.
        """
        new = self.read(self.seq)
        told = [(one.kind, one.by) for one in new]
        wanted = [(step.kind, step.by.id) for step in steps]
        assert told == wanted[: len(told)], (told, wanted)
        assert cut or len(told) == len(wanted), (told, wanted)
        for one, step in zip(new, steps, strict=False):
            said = {name: one.says[name] for name in step.says}
            assert said == step.says, (said, step.says)
            step.then(one)
            self.seq = one.seq
        return len(new)

    def skip(self) -> None:
        """Takes what is new on the ledger as it is: it is not about reviews."""
        self.seq = max((one.seq for one in self.read(self.seq)), default=self.seq)

    def decision(self, case: CaseFacts, taken: Taken, reason: str) -> Step:
        """A decision that must come on the ledger; its id is not known yet."""

        def made(one: Written) -> None:
            taken.id = one.says["decision"]
            case.taken.append(taken)
            case.closed = False
            for old in case.taken:
                old.undone |= old.id == taken.undoes

        says = {
            "case": case.id,
            "batch": case.batch,
            "action": taken.action,
            "records": len(taken.records),
            "label": taken.label,
            "weight": taken.weight,
            "undoes": taken.undoes,
            "reason": reason,
        }
        return Step("records_decided", taken.by, says, made)

    def publication(
        self, case: CaseFacts, part: dict[str, Taken], by: Actor, *, two: bool, begun: bool
    ) -> Step:
        """A publication that must come on the ledger, with everybody who stands behind it."""
        approvers = tuple(sorted({one.id for one in case.agreeing(part, begun=begun)}))
        order = [taken for taken in case.taken if taken in part.values()]

        def made(_: Written) -> None:
            case.begun = {}
            case.entered |= {r: Entered(t, by, approvers, two) for r, t in part.items()}

        says = {
            "case": case.id,
            "batch": case.batch,
            "rows": len(part),
            "published_by": by.id,
            "approved_by": list(approvers),
            "releases": [
                {
                    "decision": taken.id,
                    "by": taken.by.id,
                    "records": sum(one is taken for one in part.values()),
                }
                for taken in order
            ],
        }
        return Step("batch_admitted", by, says, made)

    @property
    def used(self) -> bool:
        """Whether anything ever entered the dataset."""
        return bool(self.admitted) or any(case.entered for case in self.cases.values())

    def rows(self) -> dict[str, tuple[str, float]]:
        """Label and weight of each record that the dataset must have, by ``batch#record``."""
        found = {
            f"{batch}#{record}": (str(label), 1.0)
            for batch in self.admitted
            for record, label in self.cleared[batch].items()
        }
        for case in self.cases.values():
            for record, entered in case.entered.items():
                label, weight = entered.by.label, entered.by.weight
                found[f"{case.batch}#{record}"] = (
                    str(case.labels[record]) if label is None else label,
                    1.0 if weight is None else weight,
                )
        return {name: row for name, row in found.items() if name not in self.recalled}

    def check_decisions(self) -> None:
        """No decision is lost, and each is about the records that were chosen."""
        told: dict[str, list[Written]] = {}
        for one in self.read():
            if one.kind == "records_decided":
                told.setdefault(one.says["case"], []).append(one)
        assert told.keys() == {case.id for case in self.cases.values() if case.taken}
        for case in self.cases.values():
            for one, taken in zip(told.get(case.id, []), case.taken, strict=True):
                assert (one.says["decision"], one.by) == (taken.id, taken.by.id)
                ids = pq.read_table(self._file(one.says["ids"]["path"]))["record_id"].to_pylist()
                assert (len(ids), set(ids)) == (len(taken.records), taken.records)

    def check_admissions(self) -> None:
        """Every record entered once: from the gate, or by one decision and one publisher."""
        entered: dict[str, Written] = {}
        for one in self.read():
            if one.kind != "batch_admitted":
                continue
            for record in self._ids(one.says["files"]):
                name = f"{one.says['batch']}#{record}"
                assert name not in entered, f"{name} entered twice"
                entered[name] = one
        facts = {
            f"{case.batch}#{record}": fact
            for case in self.cases.values()
            for record, fact in case.entered.items()
        }
        cleared = {f"{b}#{r}" for b in self.admitted for r in self.cleared[b]}
        assert entered.keys() == facts.keys() | cleared
        for name in cleared:
            says = entered[name].says
            assert (says["case"], says["releases"], says["published_by"]) == (None, [], None)
        for name, fact in facts.items():
            one = entered[name]
            assert one.by == one.says["published_by"] == fact.publisher.id
            assert (fact.by.id, fact.by.by.id) in {
                (release["decision"], release["by"]) for release in one.says["releases"]
            }
            people = {fact.by.by.id, one.by, *one.says["approved_by"]}
            assert not fact.two_people or sum(p.startswith("user:") for p in people) >= 2
            assert not fact.two_people or fact.by.by.type is ActorType.HUMAN
            assert fact.by.action in RELEASING
            assert fact.by.by.type is not ActorType.POLICY

    def _ids(self, files: Sequence[dict[str, Any]]) -> Iterator[str]:
        for file in files:
            table = pq.read_table(self._file(file["file"]["path"]))
            yield from table["_lazaretto_record"].to_pylist()

    def _file(self, path: str) -> Path:
        return Path(self.workspace.store.uri(path))
