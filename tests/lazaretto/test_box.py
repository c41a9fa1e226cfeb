"""The box: however a decoder dies, its delivery is refused with a reason; nothing else happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazaretto.batch import Decoded, Wanted, decode, open_batch, table_digest
from lazaretto.batch import _box as box
from lazaretto.batch._child import READY
from lazaretto.errors import DeliveryError, SystemFaultError
from lazaretto.policy import Columns, Limits

pytestmark = pytest.mark.box
TABLE = pa.table({"id": ["a", "b"], "x": [1, 2]})


def decoded(path: Path, folder: Path, **limits: int) -> Decoded:
    return decode(
        path,
        folder,
        name="day",
        format=path.suffix[1:],
        limits=Limits(**limits),
        wanted=Wanted("id"),
    )


def refused(path: Path, folder: Path, **limits: int) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        decoded(path, folder, **limits)
    return raised.value


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_a_delivery_becomes_a_canonical_copy(tmp_path: Path, work: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    found = decoded(tmp_path / "t.parquet", work)
    assert (found.format, found.rows, found.digest) == ("parquet", 2, table_digest(TABLE))
    assert found.schema.equals(TABLE.schema)
    batch = found.open()
    assert batch.table().equals(TABLE)
    assert (batch.ids_of, batch.num_rows) == ("id", 2)
    ids = [ids.to_pylist() for ids, _ in batch.records(Columns(record_id="id"), columns=[])]
    assert ids == [["a", "b"]]


def test_want_of_memory_is_a_refusal_that_names_the_limit(tmp_path: Path, work: Path) -> None:
    many = 200_000_000
    offsets = pa.array([0, many], pa.int32())
    lists = pa.ListArray.from_arrays(offsets, pa.nulls(many, pa.int8()))
    pq.write_table(pa.table({"x": lists}), tmp_path / "t.parquet")
    del lists
    error = refused(tmp_path / "t.parquet", work, memory_bytes=512 * 2**20)
    assert error.code == "out_of_memory"
    assert str(error) == (
        "day: decoding it takes more memory than limits.memory_bytes = 536,870,912: deliver "
        "smaller row groups, or raise it in the policy if this source really delivers that"
    )


def test_want_of_processor_time_is_a_refusal_that_names_the_limit(
    tmp_path: Path, work: Path
) -> None:
    (tmp_path / "t.csv").write_text("a\n" + "x\n" * 2_000_000)
    error = refused(tmp_path / "t.csv", work, cpu_seconds=1)
    assert error.code == "out_of_time"
    assert "limits.cpu_seconds = 1: raise it in the policy" in str(error)


def test_a_decoder_that_only_waits_is_ended(tmp_path: Path, work: Path) -> None:
    os.mkfifo(tmp_path / "t.csv")
    error = refused(tmp_path / "t.csv", work, wall_seconds=1)
    assert error.code == "out_of_time"
    assert "limits.wall_seconds = 1: raise it in the policy" in str(error)


def test_a_decoder_that_dies_by_a_signal_is_a_refusal(tmp_path: Path, work: Path) -> None:
    """A limit of nesting that is too high lets pyarrow's parser overflow its stack."""
    (tmp_path / "t.jsonl").write_text('{"a":' + "[" * 1_000_000 + "]" * 1_000_000 + "}\n")
    error = refused(tmp_path / "t.jsonl", work, max_nesting=10_000_000)
    assert error.code == "decoder_failed"
    assert "its decoder died (by signal 11): the file is damaged, or made to do that" in str(error)


def test_what_is_written_is_bounded(tmp_path: Path, work: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n" + "1\n" * 100_000)
    error = refused(tmp_path / "t.csv", work, output_bytes=300_000)
    assert error.code == "too_large"
    assert "decoded it takes more than limits.output_bytes = 300,000: raise it" in str(error)
    pq.write_table(pa.table({"a": np.zeros(1_000_000)}), tmp_path / "t.parquet")
    error = refused(tmp_path / "t.parquet", work, output_bytes=300_000)
    assert error.code == "too_large"
    assert "decoded it takes more than limits.output_bytes = 300,000: raise it" in str(error)


def test_one_record_is_bounded_and_a_large_one_is_a_chunk_of_its_own(
    tmp_path: Path, work: Path
) -> None:
    rows = [[0.5], [1.5] * 20_000, [], [2.5]]
    pq.write_table(pa.table({"id": list("abcd"), "v": rows}), tmp_path / "t.parquet")
    error = refused(tmp_path / "t.parquet", work, max_record_bytes=100_000)
    assert error.code == "record_too_large"
    assert "more than limits.max_record_bytes = 100,000" in str(error)
    found = decoded(tmp_path / "t.parquet", work, max_record_bytes=161_000)
    assert found.open().table().column("v").to_pylist() == rows


def test_record_ids_are_bounded_together(tmp_path: Path, work: Path) -> None:
    ids = pa.array(["x" * 500]).take(pa.array(np.zeros(1_200_000, "i4")))
    pq.write_table(pa.table({"id": ids}), tmp_path / "t.parquet")
    error = refused(tmp_path / "t.parquet", work)
    assert error.code == "too_large"
    assert "its record ids take more than 536,870,912 bytes together" in str(error)


def test_a_machine_without_room_is_no_fault_of_the_delivery(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(SystemFaultError, match="is full"):
        decoded(tmp_path / "t.csv", work)


def test_a_decoder_that_cannot_start_is_no_fault_of_the_delivery(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    with pytest.raises(SystemFaultError, match="cannot be started"):
        decoded(tmp_path / "t.csv", work)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SystemFaultError, match="could not start"):
        decoded(tmp_path / "t.csv", work)


def fault(path: Path, folder: Path, **limits: int) -> str:
    with pytest.raises(SystemFaultError) as raised:
        decoded(path, folder, **limits)
    return str(raised.value)


def test_a_disk_without_room_for_what_is_decoded_is_no_fault_of_the_delivery(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped where the disk is nearly full, which is before the policy's limit."""
    (tmp_path / "t.csv").write_text("a\n" + "1\n" * 100_000)
    free = box._SPARE + 300_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, free))
    assert "its disk has room for 300,000 bytes" in fault(tmp_path / "t.csv", work)


@pytest.mark.parametrize("file", ["canonical.arrow", "answer"])
def test_a_disk_that_fills_up_meanwhile_is_no_fault_of_the_delivery(
    tmp_path: Path, work: Path, file: str
) -> None:
    """Every write to this device fails as on a full disk."""
    (tmp_path / "t.csv").write_text("a\n1\n")
    (work / file).symlink_to("/dev/full")
    told = fault(tmp_path / "t.csv", work)
    assert "day cannot be decoded on this machine" in told
    assert "No space left" in told or "the disk is full" in told


def test_a_decoder_that_somebody_kills_is_no_fault_of_the_delivery(
    tmp_path: Path, work: Path
) -> None:
    """As a machine does that runs out of memory, before the process reaches its limit."""
    os.mkfifo(tmp_path / "t.csv")

    def kill() -> None:
        """Once it has started; then it waits for somebody to write to the pipe."""
        answer, pause = work / "answer", threading.Event()
        while not answer.exists() or answer.read_bytes() != READY:
            pause.wait(0.01)
        children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
        found = {int(pid) for file in children for pid in file.read_text().split()}
        decoder = next(pid for pid in found if b"lazaretto.batch._child" in _command_line(pid))
        os.kill(decoder, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    told = fault(tmp_path / "t.csv", work)
    killer.join()
    assert "was killed, as a machine does that runs out of memory" in told
    assert f"limits.memory_bytes = {Limits().memory_bytes:,}" in told


def _command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # another child of these tests, which has ended meanwhile
        return b""


FEW_FILES = """
import resource, sys
import lazaretto as lz
from lazaretto.errors import LazarettoError
lz.open_batch(sys.argv[1])
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for files in range(24, 3, -1):
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    try:
        outcome = str(lz.open_batch(sys.argv[1]).num_rows)
    except Exception as error:
        outcome = type(error).__name__
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(outcome)
"""


def test_a_machine_out_of_files_is_no_fault_of_the_delivery(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    command = [sys.executable, "-c", FEW_FILES, str(tmp_path / "t.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    outcomes = done.stdout.split()
    assert len(outcomes) == 21, done.stderr
    assert set(outcomes) <= {"1", "SystemFaultError", "OSError"}
    assert "SystemFaultError" in outcomes


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({room}, {room}))
import lazaretto as lz
print(lz.open_batch(sys.argv[1]).num_rows)
"""


def test_it_works_within_a_process_that_is_limited_itself(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    script = LIMITED.format(room=3 * 2**30)
    command = [sys.executable, "-c", script, str(tmp_path / "t.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_the_decoder_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAZARETTO_CATALOG_URL", "AIRFLOW__CORE__FERNET_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    assert "secret" not in box.environment().values()


def test_what_a_file_says_reaches_no_message_unescaped(tmp_path: Path, work: Path) -> None:
    evil = 'a,b\n1,2,"\x1b[31mred\x1b]8;;http://evil/\x1b\\ \u202e\x9b"\n'
    (tmp_path / "t.csv").write_text(evil + "x" * 5000)
    error = refused(tmp_path / "t.csv", work)
    assert error.code == "unreadable"
    assert "\\x1b[31mred" in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 1000


def _said(folder: Path, answer: bytes, *, ended: int | None = 0) -> dict[str, Any]:
    (folder / "answer").write_bytes(answer)
    (folder / "log").write_bytes(b"")
    return box._read(folder / "answer", folder / "log", ended, "day", Limits())


FOUND = {"format": "csv", "rows": 1, "digest": "ab" * 32, "unlike": []}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b"[" * 10_000,
        b'{"a":' * 10_000,
        b"\xff\xfe",
        b'{"code":"x","reason":"y"}{',
        json.dumps({**FOUND, "rows": 0}).encode(),
        json.dumps({**FOUND, "rows": True}).encode(),
        json.dumps({**FOUND, "rows": 1.5}).encode(),
        json.dumps({**FOUND, "rows": "1"}).encode(),
        json.dumps({**FOUND, "digest": "AB" * 32}).encode(),
        json.dumps({**FOUND, "format": "exe"}).encode(),
        json.dumps({**FOUND, "more": 1}).encode(),
        json.dumps({**FOUND, "unlike": "x"}).encode(),
        json.dumps({**FOUND, "unlike": [1]}).encode(),
        json.dumps({"code": "../x", "reason": ""}).encode(),
        json.dumps({"code": "x", "reason": 5}).encode(),
        json.dumps({"code": "x" * 100_000, "reason": ""}).encode(),
        json.dumps({"code": "x", "reason": "y" * 100_000}).encode(),
    ],
)
def test_an_answer_of_another_form_is_a_decoder_that_failed(work: Path, answer: bytes) -> None:
    with pytest.raises(DeliveryError) as raised:
        _said(work, b"ready\n" + answer)
    assert raised.value.code == "decoder_failed"


def test_answers_of_the_right_form_are_taken_and_their_words_made_printable(work: Path) -> None:
    assert _said(work, b"ready\n" + json.dumps(FOUND).encode()) == FOUND
    with pytest.raises(DeliveryError) as raised:
        _said(work, b'ready\n{"code":"unreadable","reason":"a\\u001b[31m \\ud800 b\\n"}')
    assert (raised.value.code, str(raised.value)) == ("unreadable", "a\\x1b[31m \\ud800 b\\n")
    with pytest.raises(SystemFaultError, match="No space left"):
        _said(work, b'ready\n{"code":"fault","reason":"No space left on device"}')


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([0, 1, -6, -9, -11, -24, None]))
def test_no_answer_can_do_anything_but_refuse(
    tmp_path_factory: pytest.TempPathFactory, answer: bytes, ended: int | None
) -> None:
    with pytest.raises((DeliveryError, SystemFaultError)):
        _said(tmp_path_factory.mktemp("work"), b"ready\n" + answer, ended=ended)


@pytest.mark.parametrize("left", [b"", b"ARROW1\0\0", b"x" * 1000])
def test_a_copy_that_is_none_is_a_decoder_that_failed(work: Path, left: bytes) -> None:
    (work / "copy").write_bytes(left)
    with pytest.raises(DeliveryError) as raised:
        box._columns(work / "copy", 1, "day", Limits())
    assert raised.value.code == "decoder_failed"


def test_the_copy_of_an_opened_file_goes_away_with_its_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "work"))
    (tmp_path / "work").mkdir()
    (tmp_path / "t.csv").write_text("a\n1\n")
    batch = open_batch(tmp_path / "t.csv")
    assert list((tmp_path / "work").iterdir()) == []
    assert batch.table().to_pylist() == [{"a": 1}]
