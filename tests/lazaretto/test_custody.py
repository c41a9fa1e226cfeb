"""Chain of custody: what is changed in the store between two stages is named, never admitted."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from many import examples
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.errors import ChangedFileError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import StoredFileChanged, files_of
from lazaretto.quarantine import review
from lazaretto.values import Action, StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = ("validate", "embed", "screen", "gate", "admit", "publish")
_EVIDENCE = "/delivered-"  # kept to be looked at; no stage reads it again


_COUNT = count()


def _do(yard: Yard, stage: str, batch: str) -> object:
    if stage == "admit":
        return stages.admit(yard.workspace, batch)
    if stage == "publish":
        (case,) = review.list_cases(yard.workspace, state=None, batch=batch)
        if not case.actions.get("RELEASE"):
            review.decide(yard.workspace, case.id, Action.RELEASE, all=True, reason="fine")
        return review.publish(yard.workspace, case.id)
    return getattr(stages, stage)(yard.workspace, batch, yard.policy)


def _named(yard: Yard) -> list[StoredFile]:
    """Files that the ledger names and that a later stage reads."""
    with yard.workspace.catalog.read() as connection:
        found = {f.path: f for entry in entries(connection) for f in files_of(entry.event)}
    return [file for file in found.values() if _EVIDENCE not in file.path]


def _path(yard: Yard, file: StoredFile) -> Path:
    return Path(yard.workspace.store.uri(file.path))


def _flip(content: bytes, at: float) -> bytes:
    place = min(int(at * len(content)), len(content) - 1)
    return content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


_CHANGES: dict[str, Callable[[bytes, float], bytes | None]] = {
    "one byte": _flip,
    "cut short": lambda content, at: content[: int(at * (len(content) - 1))],
    "longer": lambda content, _at: content + b"\0",
    "empty": lambda _content, _at: b"",
    "gone": lambda _content, _at: None,
}


@pytest.fixture
def batch(sqlite_yard: Yard) -> str:
    """A received batch with records that the contract or the screening holds."""
    return sqlite_yard.receive("monday", blobs(60, seed=5, prefix="m", flips=4)).id


@settings(
    max_examples=examples(20),
    phases=(Phase.explicit, Phase.generate),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    moment=st.sampled_from(ORDER),
    which=st.integers(0, 10**6),
    change=st.sampled_from(sorted(_CHANGES)),
    where=st.floats(0, 1),
)
def test_a_changed_file_is_named_or_is_read_by_nobody(
    sqlite_yard: Yard, moment: str, which: int, change: str, where: float
) -> None:
    """Any file, any change, before any stage: named and on record, or of no consequence."""
    prefix = f"p{next(_COUNT)}-"
    table = blobs(40, seed=5, prefix=prefix, flips=4)
    batch = sqlite_yard.receive(prefix, table).id
    for stage in ORDER[: ORDER.index(moment)]:
        _do(sqlite_yard, stage, batch)
    here = [f for f in _named(sqlite_yard) if batch in f.path or "references/" in f.path]
    file = here[which % len(here)]
    path = _path(sqlite_yard, file)
    kept = path.read_bytes()
    changed = _CHANGES[change](kept, where)
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)
    named = None
    try:
        for stage in ORDER[ORDER.index(moment) :]:
            _do(sqlite_yard, stage, batch)
    except ChangedFileError as error:
        named = error.path
    finally:
        path.write_bytes(kept)
    assert named in (None, file.path)
    for stage in ORDER[ORDER.index(moment) :]:  # restored, the same stages go on
        _do(sqlite_yard, stage, batch)
    admitted = sqlite_yard.dataset()
    ids = [i for i in admitted["id"].to_pylist() if i.startswith(prefix)]
    assert sorted(ids) == sorted(table["id"].to_pylist())


@pytest.mark.parametrize(
    ("moment", "part"),
    [
        ("validate", "/data-"),
        ("screen", "/data-"),
        ("screen", "references/"),
        ("gate", "/scores-"),
        ("gate", "/data-"),
        ("admit", "/data-"),
        ("admit", "held/"),
        ("publish", "held/"),
    ],
)
def test_a_changed_file_stops_the_stage_that_reads_it(
    sqlite_yard: Yard, batch: str, moment: str, part: str
) -> None:
    for stage in ORDER[: ORDER.index(moment)]:
        _do(sqlite_yard, stage, batch)
    file = next(f for f in _named(sqlite_yard) if part in f.path)
    path = _path(sqlite_yard, file)
    kept = path.read_bytes()
    path.write_bytes(_flip(kept, 0.5))
    with pytest.raises(ChangedFileError) as caught:
        _do(sqlite_yard, moment, batch)
    assert caught.value.path == file.path
    path.write_bytes(kept)
    _do(sqlite_yard, moment, batch)
    if moment != "publish":
        with sqlite_yard.workspace.catalog.read() as connection:
            (entry,) = entries(connection, kinds=[StoredFileChanged.kind])
        assert isinstance(entry.event, StoredFileChanged)
        assert (entry.event.stage, entry.event.path) == (moment, file.path)
