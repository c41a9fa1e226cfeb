"""Checkpoints: taken, kept elsewhere, and what they show when a ledger was rewritten or emptied."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import new_key, rewrite, take, write
from many import examples

from lazaretto.errors import LedgerError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.checkpoint import parse_checkpoint, signer_of
from lazaretto.ledger.events import CheckpointTaken
from lazaretto.ledger.note import read_verifier_key
from lazaretto.ledger.report import LedgerReport, Outcome, SignatureCheck
from lazaretto.ledger.signing import take_checkpoint
from lazaretto.ledger.tree import Frontier
from lazaretto.ledger.verify import verify
from lazaretto.sources.registry import add_source
from lazaretto.storage import tables
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.ledger.signing import TakenCheckpoint
    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike


def told(report: LedgerReport) -> str:
    assert report.outcome is Outcome.VIOLATED
    return "\n".join(problem.what for problem in report.problems)


def hashes(workspace: Workspace) -> list[bytes]:
    with workspace.catalog.read() as connection:
        return [bytes.fromhex(entry.hash) for entry in entries(connection)]


def kept(*taken: TakenCheckpoint) -> dict[str, bytes]:
    return {f"safe/{number}.txt": one.note.encode() for number, one in enumerate(taken)}


def forget(workspace: Workspace) -> None:
    """Deletes the store's checkpoints."""
    shutil.rmtree(Path(workspace.store.root) / "ledger", ignore_errors=True)


def test_a_checkpoint_says_what_the_specification_asks_and_is_on_record(
    workspace: Workspace,
) -> None:
    private, public = new_key()
    write(workspace, 5)
    taken = take(workspace, private)
    tree = Frontier()
    for leaf in hashes(workspace)[:5]:
        tree = tree.add(leaf)
    origin, size, root, blank, signature, end = taken.note.split("\n")
    assert (origin, size, blank, end) == (taken.origin, "5", "", "")
    assert origin == f"urn:lazaretto:ledger:{hashes(workspace)[0].hex()}"
    assert base64.b64decode(root) == tree.root() == bytes.fromhex(taken.root)
    assert signature.startswith(f"— {origin} ")
    read = parse_checkpoint("x", taken.note.encode())
    assert signer_of(read, [public]) == origin
    assert signer_of(read, [read_verifier_key(taken.verifier_key.encode())]) == origin
    assert (Path(workspace.store.root) / taken.path).read_text() == taken.note
    with workspace.catalog.read() as connection:
        (entry,) = entries(connection, kinds=[CheckpointTaken.kind])
    assert (entry.seq, entry.actor) == (6, workspace.actor)
    assert isinstance(entry.event, CheckpointTaken)
    assert (entry.event.size, entry.event.root, entry.event.note.path) == (
        5,
        taken.root,
        taken.path,
    )
    report = verify(workspace, keys=[public], kept=kept(taken))
    assert (report.outcome, report.entries, report.covered) == (Outcome.HOLDS, 6, 5)
    assert {c.signature for c in report.checkpoints} == {SignatureCheck.VERIFIED}
    assert len(report.checkpoints) == 2
    assert verify(workspace).checkpoints[0].signature is SignatureCheck.NOT_CHECKED


def test_later_checkpoints_extend_earlier_ones_and_nothing_new_is_no_new_one(
    workspace: Workspace,
) -> None:
    private, public = new_key()
    taken = []
    for round_ in range(1, 6):
        write(workspace, round_, name=f"round-{round_}")
        taken.append(take(workspace, private))
        again = take(workspace, private)
        assert not again.new
        assert again.note == taken[-1].note
    assert [one.size for one in taken] == [1, 4, 8, 13, 19]
    tree = Frontier()
    for leaf in hashes(workspace):
        tree = tree.add(leaf)
        roots = [one.root for one in taken if one.size == tree.size]
        assert roots in ([], [tree.root().hex()])
    report = verify(workspace, keys=[public], kept=kept(*taken))
    assert (report.outcome, report.entries, report.covered) == (Outcome.HOLDS, 20, 19)


def test_taking_one_reads_only_what_is_new(sqlite_workspace: Workspace) -> None:
    private, _ = new_key()
    write(sqlite_workspace, 60)
    take(sqlite_workspace, private)
    write(sqlite_workspace, 3, name="new")
    with sqlite_workspace.catalog.transaction() as connection:
        # Were entry 7 read again, this would be found: `verify` is what finds it.
        connection.execute(sa.text("UPDATE ledger SET payload = '[' WHERE seq = 7"))
    assert take(sqlite_workspace, private).size == 64
    assert verify(sqlite_workspace).problems[0].first == 7


def test_two_people_take_checkpoints_with_keys_of_their_own(sqlite_workspace: Workspace) -> None:
    (ann, ann_public), (bob, bob_public) = new_key(), new_key()
    write(sqlite_workspace, 2)
    take(sqlite_workspace, ann)
    taken = take(sqlite_workspace, bob, origin="audit.example/gate")
    assert taken.origin == "audit.example/gate"
    assert verify(sqlite_workspace, keys=[ann_public, bob_public]).covered == 3
    report = verify(sqlite_workspace, keys=[ann_public])
    assert (report.outcome, report.covered) == (Outcome.HOLDS, 2)
    assert [c.signature for c in report.checkpoints] == [
        SignatureCheck.VERIFIED,
        SignatureCheck.UNKNOWN_KEY,
    ]


@pytest.mark.parametrize(("keep", "count"), [(0, 3), (0, 6), (3, 3), (3, 9), (4, 2), (5, 1)])
def test_a_history_rewritten_from_an_entry_on_is_named(
    workspace: Workspace, keep: int, count: int
) -> None:
    private, public = new_key()
    write(workspace, 2)
    first = take(workspace, private)
    write(workspace, 3, name="more")
    second = take(workspace, private)
    assert (first.size, second.size) == (2, 6)
    rewrite(workspace, keep, count)
    everything = told(verify(workspace))
    assert second.path in everything
    forget(workspace)
    if keep < 3:  # then the first checkpoint is on no record any more, and nothing here shows it
        assert verify(workspace).outcome is Outcome.HOLDS
    assert "no checkpoint" in told(verify(workspace, keys=[public])) or keep >= 3
    report = verify(workspace, keys=[public], kept=kept(first, second))
    assert "safe/1.txt was taken of 6" in told(report)
    found = [p for p in report.problems if "safe/1.txt" in p.what]
    agreed = 2 if keep >= 2 else 0
    if keep + count >= 6:
        assert (found[0].first, found[0].last) == (agreed + 1, 6)
        assert "rewritten" in found[0].what
    else:
        assert (found[0].first, found[0].last) == (keep + count + 1, 6)
        assert "missing" in found[0].what
    assert ("safe/0.txt" in told(report)) == (keep < 2)
    assert report.covered == agreed


def test_an_emptied_ledger_is_named_with_and_without_a_key(workspace: Workspace) -> None:
    private, public = new_key()
    add_source(workspace, "vendor", trust_tier=TrustTier.REVIEWED)
    taken = take(workspace, private)
    with workspace.catalog.transaction() as connection:
        connection.execute(tables.ledger.delete())
        connection.execute(tables.ledger_head.delete())
    assert taken.path in told(verify(workspace))
    forget(workspace)
    assert "source (1)" in told(verify(workspace))
    assert "no checkpoint to check" in told(verify(workspace, keys=[public]))
    assert "the last ones are missing" in told(verify(workspace, kept=kept(taken)))


def test_files_without_a_catalog_and_nothing_at_all_are_no_success(workspace: Workspace) -> None:
    report = verify(workspace)
    assert (report.outcome, report.ok, report.problems) == (Outcome.NOTHING, False, [])
    assert "no checkpoint" in told(verify(workspace, keys=[new_key()[1]]))
    workspace.store.put("batches/vendor/x/data.parquet", [b"x"])
    assert "batches/vendor/x/data.parquet" in told(verify(workspace))


def test_a_truncated_ledger_is_named_even_where_its_head_was_set_back(
    workspace: Workspace,
) -> None:
    private, public = new_key()
    write(workspace, 6)
    taken = take(workspace, private)
    rewrite(workspace, keep=4, count=0)
    report = verify(workspace, keys=[public])
    assert "the last ones are missing" in told(report)
    assert (report.problems[0].first, report.problems[0].last) == (5, 6)
    forget(workspace)
    assert verify(workspace).outcome is Outcome.HOLDS, "nothing here can show it"
    assert "safe/0.txt" in told(verify(workspace, kept=kept(taken)))


def test_a_checkpoint_that_is_on_record_has_to_be_there(workspace: Workspace) -> None:
    private, public = new_key()
    write(workspace, 2)
    taken = take(workspace, private)
    file = Path(workspace.store.root) / taken.path
    file.unlink()
    for keys in ([], [public]):
        assert "records a checkpoint of 2 entries" in told(verify(workspace, keys=keys))
    with pytest.raises(LedgerError, match="is gone"):
        take(workspace, private)
    assert verify(workspace, keys=[public], kept=kept(taken)).outcome is Outcome.HOLDS
    write(workspace, 1, name="more")
    assert take(workspace, private, kept=kept(taken)).size == 4
    file.write_text(take(workspace, private, kept=kept(taken)).note)
    assert "was changed" in told(verify(workspace))


def test_a_checkpoint_of_another_ledger_is_named(
    sqlite_workspace: Workspace, tmp_path: Path
) -> None:
    from lazaretto.storage.workspace import open_workspace

    private, public = new_key()
    url = f"sqlite:///{tmp_path / 'other.db'}"
    other = open_workspace(catalog_url=url, store=tmp_path / "other")
    write(other, 3, name="other")
    foreign = take(other, private)
    other.catalog.engine.dispose()
    write(sqlite_workspace, 5)
    take(sqlite_workspace, private)
    report = verify(sqlite_workspace, keys=[public], kept=kept(foreign))
    assert "it is of another ledger" in told(report)
    assert foreign.origin in told(report)
    with pytest.raises(LedgerError, match="other entries"):
        take(sqlite_workspace, private, kept=kept(foreign))


def test_a_key_demands_a_checkpoint_that_it_signed(sqlite_workspace: Workspace) -> None:
    private, public = new_key()
    write(sqlite_workspace, 3)
    assert verify(sqlite_workspace).outcome is Outcome.HOLDS
    assert "there is no checkpoint" in told(verify(sqlite_workspace, keys=[public]))
    taken = take(sqlite_workspace, private)
    stranger = new_key()[1]
    assert "not one of the checkpoints" in told(verify(sqlite_workspace, keys=[stranger]))
    wrong_name = read_verifier_key(stranger.vkey(taken.origin).encode())
    assert "not one of the checkpoints" in told(verify(sqlite_workspace, keys=[wrong_name]))
    renamed = read_verifier_key(public.vkey("other-name").encode())
    assert "not one of the checkpoints" in told(verify(sqlite_workspace, keys=[renamed]))
    assert verify(sqlite_workspace, keys=[stranger, public]).ok


def test_a_kept_checkpoint_must_be_signed_by_a_key_that_was_given(
    sqlite_workspace: Workspace,
) -> None:
    (private, public), (other, _) = new_key(), new_key()
    write(sqlite_workspace, 3)
    take(sqlite_workspace, private)
    foreign = take(sqlite_workspace, other)
    report = verify(sqlite_workspace, keys=[public], kept=kept(foreign))
    assert "safe/0.txt is signed by none of the given keys" in told(report)


def test_a_note_signed_under_another_origin_is_no_checkpoint(sqlite_workspace: Workspace) -> None:
    from lazaretto.ledger.note import read_signing_key, sign_note

    private, public = new_key()
    write(sqlite_workspace, 3)
    taken = take(sqlite_workspace, private)
    text = taken.note.split("\n\n")[0] + "\n"
    crossed = {"crossed.txt": sign_note(text, "other", read_signing_key(private))}
    assert "under the name 'other'" in told(verify(sqlite_workspace, keys=[public], kept=crossed))


@given(data=st.data())
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_changed_byte_of_a_checkpoint_never_passes(
    sqlite_workspace: Workspace, data: st.DataObject
) -> None:
    private, public = _KEY
    if not hashes(sqlite_workspace):
        write(sqlite_workspace, 5)
    taken = take(sqlite_workspace, private)
    note = bytearray(taken.note.encode())
    position = data.draw(st.integers(0, len(note) - 1))
    note[position] = data.draw(st.integers(0, 255).filter(lambda new: new != note[position]))
    changed = {"changed.txt": bytes(note)}
    assert "changed.txt" in told(verify(sqlite_workspace, keys=[public], kept=changed))


_KEY = new_key()


@given(data=st.data())
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_history_that_was_rewritten_under_a_kept_checkpoint_is_named(
    sqlite_workspace: Workspace, data: st.DataObject
) -> None:
    private, public = _KEY
    rewrite(sqlite_workspace, 0, data.draw(st.integers(1, 12)), name="honest")
    forget(sqlite_workspace)
    taken = take(sqlite_workspace, private)
    keep = data.draw(st.integers(0, taken.size - 1))
    rewrite(sqlite_workspace, keep, data.draw(st.integers(0, 14)), name="forged")
    if data.draw(st.booleans()):
        forget(sqlite_workspace)
    report = verify(sqlite_workspace, keys=[public], kept=kept(taken))
    assert "safe/0.txt" in told(report)
    assert report.covered == 0


@pytest.mark.parametrize(("keep", "count"), [(2, 0), (2, 1), (2, 9), (0, 9), (6, 0)])
def test_nothing_is_signed_that_contradicts_what_was_signed(
    workspace: Workspace, keep: int, count: int
) -> None:
    private, _ = new_key()
    write(workspace, 6)
    taken = take(workspace, private)
    rewrite(workspace, keep, count)
    if keep < 6:
        with pytest.raises(LedgerError, match="is not signed"):
            take(workspace, private)
        forget(workspace)
        with pytest.raises(LedgerError, match="is not signed") if count else _empty(keep):
            take(workspace, private, kept=kept(taken))
    else:  # only the record of the checkpoint is gone: as after a crash before it was written
        again = take(workspace, private)
        assert (again.path, again.new) == (taken.path, True)
        assert verify(workspace).ok


def _empty(keep: int) -> pytest.RaisesExc:
    return pytest.raises(LedgerError if keep else UsageError)


def test_the_database_s_word_about_a_checkpoint_is_not_believed(
    sqlite_workspace: Workspace,
) -> None:
    """Hashes to go on from that belong to another history would make the key sign that one."""
    private, _ = new_key()
    write(sqlite_workspace, 4)
    taken = take(sqlite_workspace, private)
    with sqlite_workspace.catalog.read() as connection:
        (entry,) = entries(connection, kinds=[CheckpointTaken.kind])
    assert isinstance(entry.event, CheckpointTaken)
    rewrite(sqlite_workspace, 0, 4)
    from dataclasses import replace

    from lazaretto.ledger.chain import append

    forged = Frontier()
    for leaf in hashes(sqlite_workspace):
        forged = forged.add(leaf)
    event = replace(
        entry.event,
        root=forged.root().hex(),
        frontier=[part.hex() for part in forged.roots],
        verifier_key=entry.event.verifier_key,
    )
    with sqlite_workspace.catalog.transaction() as connection:
        append(connection, event, actor=sqlite_workspace.actor)
    with pytest.raises(LedgerError, match="does not say what was signed"):
        take(sqlite_workspace, private, origin=taken.origin)


def test_what_cannot_be_signed_is_said(sqlite_workspace: Workspace) -> None:
    private, _ = new_key()
    with pytest.raises(UsageError, match="Ed25519"):
        take_checkpoint(sqlite_workspace, b"no key")
    with pytest.raises(UsageError, match="empty"):
        take(sqlite_workspace, private)
    write(sqlite_workspace, 1)
    with pytest.raises(UsageError, match="cannot name a key"):
        take(sqlite_workspace, private, origin="two words")


@pytest.mark.parametrize(
    "text",
    [
        "origin\n5\n",
        "origin\nfive\n{root}\n",
        "origin\n05\n{root}\n",
        "origin\n-5\n{root}\n",
        "origin\n\u0665\n{root}\n",
        "origin\n5\nAAAA\n",
        "origin\n5\n\n{root}\n",
        "\n5\n{root}\n",
        "origin\n99999999999999999999\n{root}\n",
    ],
)
def test_a_signed_note_that_is_no_checkpoint_is_an_error(text: str) -> None:
    from lazaretto.ledger.note import read_signing_key, sign_note

    root = base64.b64encode(bytes(32)).decode()
    data = sign_note(text.format(root=root), "origin", read_signing_key(_KEY[0]))
    with pytest.raises(LedgerError, match=r"note\.txt is no checkpoint"):
        parse_checkpoint("note.txt", data)


def test_extension_lines_and_other_signatures_do_not_disturb() -> None:
    from lazaretto.ledger.note import read_signing_key, sign_note

    root = base64.b64encode(bytes(32)).decode()
    key = read_signing_key(_KEY[0])
    data = sign_note(f"origin\n5\n{root}\nextension one\nand two\n", "origin", key)
    other = sign_note("x\n", "witness", read_signing_key(new_key()[0])).decode()
    read = parse_checkpoint("x", data + other.rsplit("\n\n", 1)[1].encode())
    assert (read.origin, read.size, read.root) == ("origin", 5, bytes(32))
    assert signer_of(read, [_KEY[1]]) == "origin"


def test_what_is_no_checkpoint_in_the_store_is_named_and_leftovers_are_not(
    sqlite_workspace: Workspace,
) -> None:
    private, public = new_key()
    write(sqlite_workspace, 2)
    taken = take(sqlite_workspace, private)
    folder = (Path(sqlite_workspace.store.root) / taken.path).parent
    (folder / "draft.0123.tmp").write_text("cut off")
    (folder / "readme.txt").write_text("of a person")
    assert verify(sqlite_workspace, keys=[public]).ok
    name = f"{9:012d}-{'0' * 64}.txt"
    (folder / name).write_text("nonsense")
    assert name in told(verify(sqlite_workspace, keys=[public]))


_TAKE_MANY = """
import sys
from ledgers import take, write
from lazaretto.storage.workspace import open_workspace
workspace = open_workspace(catalog_url=sys.argv[1], store=sys.argv[2])
with open(sys.argv[3], "rb") as file:
    private = file.read()
for number in range(5):
    write(workspace, 2, name=f"{sys.argv[4]}-{number}")
    take(workspace, private)
"""


def test_two_processes_take_checkpoints_at_once(
    workspace: Workspace,
    catalog_url: str,
    tmp_path: Path,
    at_once: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    private, public = new_key()
    key = tmp_path / "ledger.key"
    key.write_bytes(private)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support"))
    place = [catalog_url, workspace.store.root, str(key)]
    at_once(_TAKE_MANY, [*place, "a"], [*place, "b"])
    report = verify(workspace, keys=[public])
    assert report.ok
    assert report.covered >= 20
