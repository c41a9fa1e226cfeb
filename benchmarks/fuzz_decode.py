"""Decodes many thousands of damaged files, and counts what comes of them.

Usage: ``python benchmarks/fuzz_decode.py [--count 20000] [--seed 0] [--keep FOLDER]``. Prints a
JSON line per format, and one for all. What kills a decoder is refused in the box, and counted here
as ``killed -SIGNAL``; ``wrong`` must never be. Files of both kinds are kept in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import decode_many
import mutation

_AT_ONCE = 500


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--keep", type=Path)
    asked = options.parse_args()
    total: Counter[str] = Counter()
    for kind in mutation.FORMATS:
        start = time.perf_counter()
        found = _fuzz(kind, asked.count // len(mutation.FORMATS), asked.seed, asked.keep)
        total += found
        seconds = round(time.perf_counter() - start, 1)
        print(json.dumps({"format": kind, "seconds": seconds, **_sorted(found)}), flush=True)
    print(json.dumps({"format": "all", **_sorted(total)}))
    sys.exit(1 if total["wrong"] else 0)


def _fuzz(kind: str, count: int, seed: int, keep: Path | None) -> Counter[str]:
    known, random = mutation.seeds(kind), Random(f"{seed} {kind}")  # noqa: S311
    found: Counter[str] = Counter()
    while count > 0:
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for number in range(min(count, _AT_ONCE)):
                path = Path(folder, f"{number:04d}.{kind}")
                path.write_bytes(mutation.mutated(kind, known, random))
                paths.append(path)
            count -= len(paths)
            for path, outcome, reason in decode_many.run(paths, Path(folder)):
                found[outcome] += 1
                if keep is not None and (outcome == "wrong" or outcome.startswith("killed")):
                    keep.mkdir(parents=True, exist_ok=True)
                    name = f"{outcome.replace(' ', '')}-{found[outcome]:03d}"
                    shutil.copy(path, keep / f"{name}.{kind}")
                    (keep / f"{name}.txt").write_text(reason)
    return found


def _sorted(found: Counter[str]) -> dict[str, int]:
    return {"files": found.total(), **dict(found.most_common())}


if __name__ == "__main__":
    main()
