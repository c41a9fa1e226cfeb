"""Damaged files: whatever is in them, they are read or refused, and nothing is made up.

``benchmarks/fuzz_decode.py`` does the same with many thousands of files.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import decode_many
import mutation
import pytest
from many import some

from lazaretto.batch import decode, format_by_name
from lazaretto.errors import DeliveryError


def _outcomes(tmp_path: Path, kind: str, contents: list[bytes]) -> Counter[str]:
    """What came of files, having made sure that nothing came of one that must not."""
    paths = []
    for number, content in enumerate(contents):
        paths.append(tmp_path / f"{number:04d}.{kind}")
        paths[-1].write_bytes(content)
    folder = tmp_path / "work"
    folder.mkdir()
    found: Counter[str] = Counter()
    for path, outcome, reason in decode_many.run(paths, folder):
        assert outcome != "wrong", (path, reason)
        # What kills the decoder is refused in the box; see test_box.
        found["refused" if outcome != "accepted" else outcome] += 1
    return found


@pytest.mark.parametrize("kind", mutation.FORMATS)
def test_every_seed_is_read(tmp_path: Path, kind: str) -> None:
    known = mutation.seeds(kind)
    assert _outcomes(tmp_path, kind, known) == {"accepted": len(known)}


@pytest.mark.parametrize("kind", mutation.FORMATS)
def test_damaged_files_are_read_or_refused(tmp_path: Path, kind: str) -> None:
    known, random = mutation.seeds(kind), Random(kind)  # noqa: S311
    contents = [mutation.mutated(kind, known, random) for _ in range(100)]
    found = _outcomes(tmp_path, kind, contents)
    assert found["accepted"] + found["refused"] == len(contents)
    assert min(found["accepted"], found["refused"]) > 0


@pytest.mark.parametrize("name", ["packed.arrow", "words.parquet"])
def test_a_flipped_bit_anywhere_is_read_or_refused(tmp_path: Path, name: str) -> None:
    good = (mutation.SEEDS / name).read_bytes()
    contents = []
    for position in some(range(len(good)), 3):
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        contents.append(bytes(bad))
    found = _outcomes(tmp_path, name.partition(".")[2], contents)
    assert found["accepted"] + found["refused"] == len(contents)


@pytest.mark.parametrize("path", sorted((mutation.SEEDS / "broke").iterdir()), ids=lambda p: p.name)
def test_what_once_broke_a_decoder_does_not_break_the_box(path: Path) -> None:
    """Its name says whether it should be read."""
    expected = path.name.partition("-")[0]
    with tempfile.TemporaryDirectory() as folder:
        outcome, reason = _in_the_box(path, Path(folder))
    assert (outcome, reason.isprintable()) == (expected, True)


def _in_the_box(path: Path, folder: Path) -> tuple[str, str]:
    kind = format_by_name(path.name)
    try:
        found = decode(path, folder, name="day", format=kind, limits=decode_many.LIMITS)
    except DeliveryError as error:
        return "refused", str(error)
    return "accepted" if found.open().digest() == found.digest else "other", ""
