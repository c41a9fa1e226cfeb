"""Decodes many files in one process under the box's limits, for as long as it survives.

`run` starts it again behind each file that killed it. That is what happens in the box, except that
a file does not get a process of its own: a hundred files take a second.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lazaretto.batch import Wanted, format_by_name, open_canonical, records
from lazaretto.batch._box import environment
from lazaretto.batch._child import answered, confine, warm_up
from lazaretto.batch._schema import check_columns
from lazaretto.batch._source import ROWS
from lazaretto.policy import Columns, Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits(memory_bytes=2**30, output_bytes=2**27, max_record_bytes=2**24)
_SECONDS = 20


def run(paths: list[Path], folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Decodes files and yields each with what came of it, and why.

    Yields:
        The path; ``accepted``, the code of a refusal, ``killed -N`` by signal N, or ``wrong`` (what
        must never be); and the reason.
    """
    left = list(paths)
    while left:
        done = subprocess.run(
            [sys.executable, __file__, str(folder)],
            input="\n".join(map(str, left)),
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        said = [json.loads(line) for line in done.stdout.splitlines()]
        yield from ((path, *what) for path, what in zip(left, said, strict=False))
        left = left[len(said) :]
        if left:
            memory = any(word in done.stderr for word in ("bad_alloc", "MemoryError"))
            how = "out_of_memory" if memory else f"killed {done.returncode}"
            yield left.pop(0), how, done.stderr[-2000:]


def main() -> None:
    folder = sys.argv[1]
    paths = sys.stdin.read().splitlines()
    confine(LIMITS.model_dump() | {"cpu_seconds": 3600}, room=LIMITS.output_bytes)
    warm_up()
    for path in paths:
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)
        print(json.dumps(_outcome(Path(path), folder)), flush=True)


def _outcome(path: Path, folder: str) -> tuple[str, str]:
    copy = Path(folder, "copy")
    request = {
        "raw": str(path),
        "copy": str(copy),
        "folder": folder,
        "name": path.name,
        "format": format_by_name(path.name),
        "wanted": Wanted("id").dump(),
        "limits": LIMITS.model_dump(),
        "room": LIMITS.output_bytes,
        # Several blocks of text even in a small file.
        "block": 700,
    }
    try:
        said = answered(request)
        if "code" in said:
            return said["code"], said["reason"]
        with copy.open("rb") as file:
            batch = open_canonical(file, rows=said["rows"], name=path.name)
            check_columns(batch.schema, LIMITS, path.name)
            sizes = [len(ids) for ids, _ in records(batch, Columns(record_id="id"))]
            assert sum(sizes) == batch.num_rows, "a record without an id"
            assert max(sizes) <= ROWS, "a large chunk"
            assert batch.digest() == said["digest"], "another digest"
    except Exception as error:
        return "wrong", f"{type(error).__name__}: {error}"
    return "accepted", f"{said['rows']} records"


if __name__ == "__main__":
    main()
