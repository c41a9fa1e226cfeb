"""Proofs that need no catalog: they hold for every entry and checkpoint, altered ones do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import new_key, rewrite, take, write
from many import examples

from lazaretto.errors import LedgerError, NotFoundError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.proof import ProofReport, check_proof, read_proof
from lazaretto.ledger.proving import newest_checkpoint, prove_entry, prove_extension
from lazaretto.ledger.report import SignatureCheck

if TYPE_CHECKING:
    from lazaretto.ledger.signing import TakenCheckpoint
    from lazaretto.storage.workspace import Workspace

PRIVATE, PUBLIC = new_key()


def file(taken: TakenCheckpoint) -> tuple[str, bytes]:
    return f"{taken.size}.txt", taken.note.encode()


def again(document: dict[str, Any], **more: Any) -> ProofReport:
    """Checks a proof as an auditor would: from its JSON."""
    return check_proof(read_proof(json.dumps(document).encode()), **more)


@pytest.fixture
def taken(sqlite_workspace: Workspace) -> list[TakenCheckpoint]:
    """Checkpoints of 3, 8 and 10 entries."""
    found = []
    for number, count in enumerate((3, 4, 1)):
        write(sqlite_workspace, count, name=f"round-{number}")
        found.append(take(sqlite_workspace, PRIVATE))
    assert [one.size for one in found] == [3, 8, 10]
    return found


def test_every_entry_is_proved_by_every_checkpoint_that_covers_it(
    sqlite_workspace: Workspace, taken: list[TakenCheckpoint]
) -> None:
    with sqlite_workspace.catalog.read() as connection:
        hashes = {entry.seq: entry.hash for entry in entries(connection)}
    for one in taken:
        for seq in range(1, one.size + 1):
            made = prove_entry(sqlite_workspace, seq, *file(one)).model_dump()
            report = again(made, keys=[PUBLIC])
            assert (report.ok, report.problem, report.size) == (True, None, one.size)
            assert report.entry is not None
            assert (report.entry["seq"], report.entry["hash"]) == (seq, hashes[seq])
            assert again(made, kept=dict([file(one)])).ok, "a checkpoint of one's own is enough"
            assert not again(made, kept=dict([file(taken[one is taken[0]])])).ok
        with pytest.raises(UsageError, match=rf"covers {one.size} entries"):
            prove_entry(sqlite_workspace, one.size + 1, *file(one))


def test_every_checkpoint_is_proved_to_extend_the_older_ones(
    sqlite_workspace: Workspace, taken: list[TakenCheckpoint]
) -> None:
    for position, newer in enumerate(taken):
        for older in taken[: position + 1]:
            proof = prove_extension(sqlite_workspace, file(older), file(newer))
            report = again(proof.model_dump(), keys=[PUBLIC], kept=dict([file(older)]))
            assert (report.ok, report.signature) == (True, SignatureCheck.VERIFIED)
            assert report.what == f"the first {older.size} of {newer.size} entries are the same"
    with pytest.raises(UsageError, match="an older checkpoint covers fewer"):
        prove_extension(sqlite_workspace, file(taken[2]), file(taken[0]))


def test_without_anybody_who_vouches_nothing_is_said(
    sqlite_workspace: Workspace, taken: list[TakenCheckpoint]
) -> None:
    report = again(prove_entry(sqlite_workspace, 2, *file(taken[1])).model_dump())
    assert (report.ok, report.undecided, report.problem) == (False, True, None)
    stranger = again(
        prove_entry(sqlite_workspace, 2, *file(taken[1])).model_dump(), keys=[new_key()[1]]
    )
    assert (stranger.ok, stranger.undecided) == (False, False)
    assert "none of the given keys" in str(stranger.problem)


@given(data=st.data())
@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_an_altered_proof_does_not_pass(
    sqlite_workspace: Workspace, taken: list[TakenCheckpoint], data: st.DataObject
) -> None:
    if data.draw(st.booleans()):
        seq = data.draw(st.integers(1, 8))
        made = prove_entry(sqlite_workspace, seq, *file(taken[1])).model_dump()
        part = data.draw(st.sampled_from(["entry", "hashes", "checkpoint"]))
    else:
        made = prove_extension(sqlite_workspace, file(taken[0]), file(taken[2])).model_dump()
        part = data.draw(st.sampled_from(["older", "hashes", "checkpoint"]))
    if part == "hashes":
        hashes = made["hashes"]
        position = data.draw(st.integers(0, len(hashes) - 1))
        change = data.draw(st.sampled_from(["edit", "drop", "swap", "double"]))
        if change == "edit":
            hashes[position] = edited(data, hashes[position])
        elif change == "drop":
            del hashes[position]
        elif change == "double":
            hashes.insert(position, hashes[position])
        else:
            hashes.reverse()
            if hashes == hashes[::-1]:
                hashes.append(hashes[0])
    elif part == "entry":
        name = data.draw(st.sampled_from(sorted(made["entry"])))
        made["entry"][name] = data.draw(st.sampled_from([1, 2, None, "x", {}, [], True, 1.5]))
        if made["entry"]["seq"] == seq and name == "seq":
            made["entry"]["extra"] = 1
    else:
        made[part] = edited(data, made[part])
    try:
        report = again(made, keys=[PUBLIC], kept=dict([file(taken[0])] if "older" in made else {}))
    except (UsageError, LedgerError):
        return
    assert not report.ok
    assert report.problem


def edited(data: st.DataObject, text: str) -> str:
    position = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(
        st.sampled_from("AaZz09+/=\n \u2014x").filter(lambda new: new != text[position])
    )
    return text[:position] + letter + text[position + 1 :]


def test_two_ledgers_are_not_joined(
    sqlite_workspace: Workspace, taken: list[TakenCheckpoint]
) -> None:
    made = prove_extension(sqlite_workspace, file(taken[0]), file(taken[1])).model_dump()
    rewrite(sqlite_workspace, 0, 12)
    forged = take(sqlite_workspace, new_key()[0])
    made["checkpoint"] = forged.note
    assert not again(made).undecided


def test_of_a_changed_ledger_nothing_is_proved(
    sqlite_workspace: Workspace, taken: list[TakenCheckpoint]
) -> None:
    with sqlite_workspace.catalog.transaction() as connection:
        connection.execute(sa.text("UPDATE ledger SET payload = '{}' WHERE seq = 2"))
    with pytest.raises(LedgerError, match="entry 2 was edited"):
        prove_entry(sqlite_workspace, 2, *file(taken[0]))
    rewrite(sqlite_workspace, 1, 9)
    for seq in (1, 2):
        with pytest.raises(LedgerError, match="not taken of this ledger as it is"):
            prove_entry(sqlite_workspace, seq, *file(taken[0]))
    with pytest.raises(LedgerError, match="not taken of this ledger as it is"):
        prove_extension(sqlite_workspace, file(taken[0]), file(taken[1]))
    rewrite(sqlite_workspace, 1, 0)
    with pytest.raises(LedgerError, match="not taken of this ledger as it is"):
        prove_entry(sqlite_workspace, 1, *file(taken[0]))
    with pytest.raises(NotFoundError, match="no entry 2"):
        prove_entry(sqlite_workspace, 2, *file(taken[0]))


def test_the_newest_checkpoint_is_the_one_that_covers_most(
    sqlite_workspace: Workspace, taken: list[TakenCheckpoint]
) -> None:
    where, data = newest_checkpoint(sqlite_workspace.store)
    assert (where, data.decode()) == (taken[2].path, taken[2].note)


def test_without_a_checkpoint_there_is_nothing_to_prove_by(sqlite_workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="lazaretto ledger checkpoint"):
        newest_checkpoint(sqlite_workspace.store)


_FORM = (
    b'{"type": "urn:lazaretto:ledger-inclusion:%d", "entry": {}, "hashes": %s, "checkpoint": %s}'
)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type": "urn:lazaretto:ledger-inclusion:1"}',
        _FORM % (2, b"[]", b'""'),
        _FORM % (1, b"[1]", b'""'),
        _FORM % (1, b"[]", b'"\\ud800"'),
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_proof_is_an_error(data: bytes) -> None:
    with pytest.raises(UsageError, match="no proof"):
        read_proof(data)


@pytest.mark.parametrize("seq", [None, "1", 0, -1, 2**70, 1.0])
def test_a_proof_of_an_entry_without_a_number_shows_nothing(
    sqlite_workspace: Workspace, taken: list[TakenCheckpoint], seq: object
) -> None:
    made = prove_entry(sqlite_workspace, 1, *file(taken[0])).model_dump()
    made["entry"]["seq"] = seq
    report = again(made, keys=[PUBLIC])
    assert not report.ok
    assert report.problem
