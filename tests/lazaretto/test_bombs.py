"""Small files that ask for gigabytes: each is refused or read, in bounded memory.

There are more than a hundred; the default suite has a third of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import bombs
import decode_all
import pytest
from many import in_full

from lazaretto.policy import Limits

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.box, pytest.mark.long]
LIMITS = Limits(
    memory_bytes=768 * 2**20, output_bytes=128 * 2**20, cpu_seconds=30, wall_seconds=300
)
CODES = {
    "bad_column_name",
    "line_too_long",
    "out_of_memory",
    "record_too_large",
    "too_deep",
    "too_large",
    "too_many_columns",
    "unreadable",
    "unsupported_type",
    "wrong_format",
}
# Of this process and of what it imports, about 100 MB; the rest is for a few chunks.
MOST_OF_THE_READER = 400 * 2**20


def test_every_bomb_is_refused_or_read_in_bounded_memory(tmp_path: Path) -> None:
    paths = bombs.write_all(tmp_path)
    assert len(paths) >= (60 if in_full() else 30)
    command = [sys.executable, decode_all.__file__, LIMITS.model_dump_json(), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = {line[0]: line for line in map(json.loads, done.stdout.splitlines())}
    assert told.keys() == {path.name for path in paths}
    for name, outcome, reason, reader, decoder in told.values():
        assert outcome in CODES | {"accepted"}, (name, reason)
        assert reader < MOST_OF_THE_READER, name
        assert decoder < LIMITS.memory_bytes, name
        assert reason.isprintable(), name
        assert outcome == "accepted" or reason.startswith(f"{name}: "), reason
    outcomes = [outcome for _, outcome, *_ in told.values()]
    # The corpus tries every way out, and honest shapes among it are read.
    assert set(outcomes) >= CODES - {"bad_column_name"}
    assert outcomes.count("accepted") >= (10 if in_full() else 3)
