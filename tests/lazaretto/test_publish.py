"""Publishing goes by the ledger: an edited table is named, and two people are two authenticated."""

from __future__ import annotations

import contextlib
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples
from yard import ANN, Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.errors import (
    AdmissionRefusedError,
    ChangedStateError,
    NotFoundError,
    SystemFaultError,
    UsageError,
)
from lazaretto.health import check
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import AdmissionRefused, BatchAdmitted
from lazaretto.quarantine import review
from lazaretto.quarantine.two_people import require_two_people
from lazaretto.storage import tables
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.events import Event

BOB = Actor(ActorType.HUMAN, "user:bob")
TASK = Actor(ActorType.SERVICE, "airflow:ingest.admit")
SHELL = Actor(ActorType.OS_USER, "os:ann@gate")
_COUNT = count()


def told(yard: Yard, kind: type[Event]) -> list[Entry]:
    with yard.workspace.catalog.read() as connection:
        return list(entries(connection, kinds=[kind.kind]))


def execute(yard: Yard, statement: str) -> int:
    with yard.workspace.catalog.transaction() as connection:
        return connection.execute(sa.text(statement)).rowcount


@pytest.fixture
def case(sqlite_yard: Yard) -> str:
    """Six mislabelled records: two are released, one relabelled, the others rejected."""
    judged = sqlite_yard.judge("mixed", blobs(90, seed=5, flips=6))
    case, workspace = str(judged.case), sqlite_yard.workspace
    review.decide(workspace, case, Action.REJECT, all=True, reason="no")
    review.decide(workspace, case, Action.RELEASE, ids=["r0", "r1"], reason="fine")
    review.decide(workspace, case, Action.RELABEL, ids=["r2"], label="2", reason="is a 2")
    return case


_EDITS = {
    "an action": "UPDATE held_record SET action = 'RELEASE' WHERE record_id = 'r5'",
    "a decision": "UPDATE held_record SET decision = (SELECT decision FROM held_record "
    "WHERE record_id = 'r0'), action = 'RELEASE' WHERE record_id = 'r5'",
    "a rejection": "UPDATE held_record SET action = 'REJECT' WHERE record_id = 'r0'",
    "a publication": "UPDATE held_record SET part = 'publication-0' WHERE record_id = 'r0'",
    "an id": "UPDATE held_record SET record_id = 'r99' WHERE record_id = 'r5'",
    "a label": "UPDATE held_record SET label = '9' WHERE record_id = 'r5'",
    "a score": "UPDATE held_record SET score = 0 WHERE record_id = 'r5'",
    "a reason": "UPDATE held_record SET reason = 'contract:x' WHERE record_id = 'r5'",
    "a row less": "DELETE FROM held_record WHERE record_id = 'r5'",
    "a label of a decision": "UPDATE decision SET label = '0' WHERE action = 'RELABEL'",
    "the action of a decision": "UPDATE decision SET action = 'RELEASE' WHERE action = 'REJECT'",
    "who decided": "UPDATE decision SET actor_id = 'user:bob' WHERE action = 'RELEASE'",
    "an undoing": "UPDATE decision SET undone_by = 'decision-0' WHERE action = 'RELEASE'",
    "the judgement": "UPDATE review_case SET two_people = 1",
    "the dataset": "UPDATE review_case SET dataset = 'others'",
    "the policy": "UPDATE dataset_policy SET meaning = sha256",
    "a source": "UPDATE source SET trust_tier = 'TRUSTED'",
    "the batch": "UPDATE batch SET uri = 'elsewhere'",
}


@pytest.mark.parametrize("edit", _EDITS.values(), ids=list(_EDITS))
def test_an_edited_row_is_named_and_nothing_is_published(
    sqlite_yard: Yard, case: str, edit: str
) -> None:
    assert execute(sqlite_yard, edit)
    with pytest.raises(ChangedStateError) as named:
        review.publish(sqlite_yard.workspace, case)
    words = edit.replace("DELETE FROM", "UPDATE").split()
    assert named.value.table == words[1]
    assert told(sqlite_yard, BatchAdmitted) == []


def test_a_row_more_is_named(sqlite_yard: Yard, case: str) -> None:
    row = "(SELECT max(position) + 1 FROM held_record)"
    columns = "case_id, position, record_id, reason"
    execute(
        sqlite_yard,
        f"INSERT INTO held_record ({columns}) VALUES ('{case}', {row}, 'evil', 'batch')",
    )
    with pytest.raises(ChangedStateError, match="held_record"):
        review.publish(sqlite_yard.workspace, case)


def test_a_decision_is_not_made_by_an_edited_index(sqlite_yard: Yard, case: str) -> None:
    """A bulk decision takes what the reviewer was shown, or nothing."""
    execute(sqlite_yard, "UPDATE held_record SET label = '9' WHERE record_id = 'r5'")
    for chosen in ({"filter": {"label": "9"}}, {"all": True}, {"ids": ["r5"]}):
        with pytest.raises(ChangedStateError, match=f"{case} at position 5"):
            review.decide(sqlite_yard.workspace, case, Action.RELEASE, reason="x", **chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE held_record SET part = NULL",
        "UPDATE held_record SET part = NULL WHERE record_id = 'r0'",
        "UPDATE held_record SET part = (SELECT part FROM held_record WHERE record_id = 'r0') "
        "WHERE record_id = 'r5'",
    ],
)
def test_what_was_published_cannot_be_published_again(
    sqlite_yard: Yard, case: str, edit: str
) -> None:
    first = review.publish(sqlite_yard.workspace, case)
    assert first is not None
    execute(sqlite_yard, edit)
    with pytest.raises(ChangedStateError, match="held_record"):
        review.publish(sqlite_yard.workspace, case)
    assert sqlite_yard.ids() == ["r0", "r1", "r2"]


def test_a_superseded_case_stays_so_whatever_its_row_says(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    first = yard.judge("mixed", blobs(90, seed=5, flips=6))
    policy = make_policy(review={"expire_days": 5})
    register_policy(yard.workspace, policy, reason="faster")
    stages.rejudge(yard.workspace, first.batch, policy, reason="faster")
    execute(yard, "UPDATE review_case SET state = 'OPEN'")
    case = str(first.case)
    for act in (
        lambda: review.decide(yard.workspace, case, Action.RELEASE, all=True, reason="x"),
        lambda: review.publish(yard.workspace, case),
    ):
        with pytest.raises(UsageError, match="superseded"):
            act()


_COLUMNS = {
    "held_record": ("record_id", "label", "score", "reason", "decision", "action", "part"),
    "decision": ("action", "label", "weight", "actor_id", "undone_by", "records", "reason"),
    "review_case": ("dataset", "batch", "two_people", "held", "verdict"),
}
_PLACES = [(table, column) for table, columns in _COLUMNS.items() for column in columns]


@settings(
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    published=st.booleans(),
    place=st.sampled_from(_PLACES),
    row=st.integers(0, 99),
    value=st.integers(0, 99),
)
def test_whatever_row_is_edited_only_what_was_released_is_published(
    sqlite_yard: Yard, published: bool, place: tuple[str, str], row: int, value: int
) -> None:
    """Any column of any row of a case, any other value of that column: named, or harmless."""
    yard, prefix = sqlite_yard, f"p{next(_COUNT)}-"
    case = str(yard.judge(prefix, blobs(40, seed=5, prefix=prefix, flips=4)).case)
    review.decide(yard.workspace, case, Action.REJECT, all=True, reason="no")
    released = {f"{prefix}0", f"{prefix}1"}
    review.decide(yard.workspace, case, Action.RELEASE, ids=released, reason="fine")
    if published:
        review.publish(yard.workspace, case)
    table = tables.case.metadata.tables[place[0]]
    of_case = table.c.id if place[0] == "review_case" else table.c.case_id
    keys = list(table.primary_key.columns)
    column = table.c[place[1]]
    with yard.workspace.catalog.transaction() as connection:
        rows = connection.execute(sa.select(*keys).where(of_case == case).order_by(*keys)).all()
        found = connection.scalars(sa.select(column).distinct()).all()
        values = [None, *sorted((v for v in found if v is not None), key=repr)]
        chosen = rows[row % len(rows)]
        where = [key == chosen[n] for n, key in enumerate(keys)]
        try:
            with connection.begin_nested():
                new = {column: values[value % len(values)]}
                connection.execute(sa.update(table).where(*where).values(new))
        except sa.exc.IntegrityError:
            return
    with contextlib.suppress(ChangedStateError):
        review.publish(yard.workspace, case)
    with contextlib.suppress(NotFoundError):
        ids = [name for name in yard.ids() if name.startswith(prefix)]
        assert len(ids) == len(set(ids))
        assert set(ids) <= released


# Two people


@pytest.mark.parametrize("asked_by", ["the judgement", "the policy in force"])
@pytest.mark.parametrize(
    ("decides", "publishes", "told_why"),
    [
        (ANN, BOB, None),
        (ANN, ANN, "user:ann decided, so somebody else publishes"),
        (SHELL, BOB, "os:ann@gate decided, which does not count"),
        (ANN, SHELL, "os:ann@gate cannot publish it"),
        (SHELL, SHELL, "os:ann@gate cannot publish it"),
        (TASK, BOB, "airflow:ingest.admit decided, which does not count"),
        (ANN, TASK, "airflow:ingest.admit cannot publish it"),
    ],
)
def test_two_people_are_two_that_something_authenticated(
    sqlite_yard: Yard, asked_by: str, decides: Actor, publishes: Actor, told_why: str | None
) -> None:
    strict = make_policy(review={"require_two_people": True})
    by_judgement = asked_by == "the judgement"
    yard = Yard(
        sqlite_yard.workspace, strict if by_judgement else make_policy(), sqlite_yard.folder
    )
    case = str(yard.judge("mixed", blobs(90, seed=5, flips=6)).case)
    lax = make_policy(review={"require_two_people": False, "expire_days": 5})
    register_policy(yard.workspace, lax if by_judgement else strict, reason="the other way round")
    one, two = yard.workspace.acting(decides), yard.workspace.acting(publishes)
    review.decide(one, case, Action.RELEASE, ids=["r0"], reason="fine")
    # Who decided on what is not released has no part in it.
    review.decide(two, case, Action.REJECT, ids=["r1"], reason="no")
    if told_why is None:
        assert review.publish(two, case) is not None
        (entry,) = told(yard, BatchAdmitted)
        (published,) = review.list_publications(yard.workspace, case)
        assert entry.actor == published.by == publishes
        return
    with pytest.raises(AdmissionRefusedError, match=told_why) as refused:
        review.publish(two, case)
    assert refused.value.code == "two_people"
    assert told(yard, BatchAdmitted) == []
    (entry,) = told(yard, AdmissionRefused)
    assert (entry.actor, entry.seq) == (publishes, refused.value.seq)


def test_the_rule_says_where_it_cannot_be_met() -> None:
    with pytest.raises(AdmissionRefusedError, match="command line and tasks authenticate nobody"):
        require_two_people("case-1", "blobs", SHELL, [], [])


def test_the_publisher_of_an_unfinished_publication_is_who_finishes_it(
    sqlite_yard: Yard, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lazaretto.dataset import admission

    def killed(*_: Any, **__: Any) -> Any:
        raise SystemFaultError("killed")

    monkeypatch.setattr(admission, "write_rows", killed)
    with pytest.raises(SystemFaultError):
        review.publish(sqlite_yard.workspace, case)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="published already"):
        review.decide(sqlite_yard.workspace, case, Action.REJECT, ids=["r0"], reason="late")
    assert review.publish(sqlite_yard.workspace.acting(BOB), case) is not None
    (entry,) = told(sqlite_yard, BatchAdmitted)
    assert entry.actor == BOB
    assert isinstance(entry.event, BatchAdmitted)
    assert entry.event.case == case


def _cut_off(yard: Yard, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publication that was begun and did not go on record."""
    from lazaretto.dataset import admission

    def killed(*_: Any, **__: Any) -> Any:
        raise SystemFaultError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(admission, "write_rows", killed)
        with pytest.raises(SystemFaultError):
            review.publish(yard.workspace, case)


def test_what_was_begun_and_is_refused_can_be_decided_anew(
    sqlite_yard: Yard, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else records would wait for ever that nobody may publish and nobody can take back."""
    yard = sqlite_yard
    _cut_off(yard, case, monkeypatch)
    register_policy(yard.workspace, make_policy(review={"require_two_people": True}), reason="two")
    with pytest.raises(AdmissionRefusedError, match="somebody else publishes"):
        review.publish(yard.workspace, case)
    review.decide(yard.workspace, case, Action.REJECT, ids=["r0"], reason="look again")
    assert review.publish(yard.workspace.acting(BOB), case) is not None
    assert yard.ids() == ["r1", "r2"]
    assert check(yard.workspace, deep=True).sound


def test_a_publication_that_was_given_up_meanwhile_does_not_enter(
    sqlite_yard: Yard, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who may not publish ends it while somebody else is on the way."""
    from lazaretto.dataset import admission

    yard, real, refused = sqlite_yard, admission.write_rows, []
    strict = make_policy(review={"require_two_people": True})

    def write(*args: Any, **kwargs: Any) -> Any:
        if not refused:
            refused.append(True)
            register_policy(yard.workspace, strict, reason="two")
            with pytest.raises(AdmissionRefusedError):
                review.publish(yard.workspace.acting(SHELL), case)
        return real(*args, **kwargs)

    monkeypatch.setattr(admission, "write_rows", write)
    with pytest.raises(SystemFaultError, match="refused to somebody else meanwhile"):
        review.publish(yard.workspace.acting(BOB), case)
    assert told(yard, BatchAdmitted) == []
    assert review.publish(yard.workspace.acting(BOB), case) is not None
    assert yard.ids() == ["r0", "r1", "r2"]


def test_what_does_not_fit_the_dataset_can_be_decided_anew(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    yard.admit("numbers", blobs(60, seed=6, prefix="n"))
    rows = blobs(90, seed=5, flips=6)
    texts = rows.set_column(rows.schema.get_field_index("text"), "text", rows["label"])
    case = str(yard.judge("texts", texts).case)
    with pytest.raises(AdmissionRefusedError) as refused:
        review.decide(yard.workspace, case, Action.RELEASE, ids=["r0"], reason="fine")
    assert refused.value.code == "does_not_fit"
    review.decide(yard.workspace, case, Action.REJECT, ids=["r0"], reason="another form")
    assert check(yard.workspace, deep=True).sound
