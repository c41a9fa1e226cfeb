"""Decodes files in the box, reads what was accepted as a stage does, and tells what it cost.

Usage: ``python decode_all.py LIMITS FOLDER``, where LIMITS is the JSON of a policy's limits. Prints
a JSON line per file: its name, what came of it (``accepted``, or the code of its refusal), the
reason, and the peak memory (bytes) so far of this process and of the largest decoding process.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import tempfile
from pathlib import Path

from lazaretto.batch import Wanted, decode, format_by_name, records
from lazaretto.errors import DeliveryError
from lazaretto.policy import Columns, Limits


def main() -> None:
    limits = Limits.model_validate_json(sys.argv[1])
    for path in sorted(Path(sys.argv[2]).iterdir()):
        outcome, reason = _outcome(path, limits)
        decoders = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        print(json.dumps([path.name, outcome, reason, _peak(), decoders]), flush=True)


def _outcome(path: Path, limits: Limits) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = decode(
                path,
                Path(folder),
                name=path.name,
                format=format_by_name(path.name),
                limits=limits,
                wanted=Wanted("x"),
            )
        except DeliveryError as error:
            return error.code, str(error)
        batch = found.open()
        # As under a policy that names another column, and so makes ids anew.
        for columns in (Columns(record_id="x"), Columns()):
            assert sum(len(ids) for ids, _ in records(batch, columns)) == found.rows
        assert batch.digest() == found.digest
        return "accepted", f"{found.rows} records"


def _peak() -> int:
    """Of this process alone; what getrusage says counts whoever started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


if __name__ == "__main__":
    main()
