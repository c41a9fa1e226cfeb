"""Signs and verifies a folder of some gigabytes: time and memory of the command that a vendor runs.

    python benchmarks/manifest.py --gib 10 --files 40 --out results.jsonl

Prints a JSON line for each command. The files are written out, so that their bytes come from the
disk; with `--holes` only their ends are, which takes no room and hashes as many bytes. At last one
bit in the middle of one file is flipped, which the command must find.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_BLOCK = 1 << 20
COMMAND = "import sys; sys.argv[0] = 'lazaretto'; from lazaretto.cli import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=4.0, help="size of the folder")
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--holes", action="store_true", help="write the ends of files alone")
    parser.add_argument("--out", type=Path, help="write the lines here, too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "folder")
        size = int(asked.gib * 2**30 / asked.files)
        for number in range(asked.files):
            _write(folder / f"day-{number % 7}" / f"{number}.bin", size, holes=asked.holes)
        lazaretto = [sys.executable, "-c", COMMAND]
        _run([*lazaretto, "source", "keygen", f"{place}/v"])
        sign = ["manifest", "sign", str(folder), "--source", "v", "--key", f"{place}/v.key"]
        verify = ["manifest", "verify", str(folder), "--key", f"{place}/v.pub", "--json"]
        lines = [_measured("sign", [*lazaretto, *sign], asked.gib, asked.files, code=0)]
        lines.append(_measured("verify", [*lazaretto, *verify], asked.gib, asked.files, code=0))
        odd = folder / "day-3/3.bin"
        with odd.open("r+b") as file:
            file.seek(size // 2)
            byte = file.read(1)[0]
            file.seek(size // 2)
            file.write(bytes([byte ^ 16]))
        lines.append(_measured("one bit", [*lazaretto, *verify], asked.gib, asked.files, code=1))
    for line in lines:
        print(json.dumps(line))
    if asked.out:
        asked.out.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def _write(path: Path, size: int, *, holes: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    block = bytearray(os.urandom(_BLOCK))
    with path.open("wb") as file:
        for start in range(0, size, _BLOCK):
            block[:8] = start.to_bytes(8)  # no two blocks of a file are the same
            if not holes or start == 0 or start + _BLOCK >= size:
                file.seek(start)
                file.write(block[: size - start])


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _measured(
    name: str, command: list[str], gib: float, files: int, *, code: int
) -> dict[str, object]:
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    printed = child.stdout.read() if child.stdout else ""
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    assert os.waitstatus_to_exitcode(status) == code, printed
    found = json.loads(printed)["faults"] if name != "sign" else []
    return {
        "step": name,
        "gib": gib,
        "files": files,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
        "named": [fault["name"] for fault in found],
    }


if __name__ == "__main__":
    main()
