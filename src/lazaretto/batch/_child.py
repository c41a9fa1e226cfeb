"""The process that decodes one delivery: limits itself, decodes, answers in JSON, ends.

It is started by `lazaretto.batch._box`. Its standard input is the request, its standard output the
answer: the line ``ready`` once it could start, and one line of JSON.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import resource
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.csv as pa_csv

from lazaretto.batch._answer import CANNOT_ANSWER, FAULT, READY
from lazaretto.batch._decode import BLOCK, decode
from lazaretto.batch._source import output_too_large
from lazaretto.batch._wanted import Wanted
from lazaretto.errors import DeliveryError
from lazaretto.faults import is_of_machine
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from lazaretto.policy import Limits


def main() -> None:
    """Answers the request on standard input."""
    request = json.loads(sys.stdin.buffer.read())
    # Whatever a library prints must not be taken for the answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    sys.dont_write_bytecode = True  # what loads from here on is of one delivery's format
    confine(request["limits"], request["room"])
    warm_up()
    try:
        _say(answer, READY)
        signal.setitimer(signal.ITIMER_REAL, request["limits"]["wall_seconds"])
        _say(answer, json.dumps(answered(request)).encode() + b"\n")
    except OSError:
        os._exit(CANNOT_ANSWER)
    # Nothing is left to do, and what hostile bytes left in memory need not be taken apart.
    os._exit(0)


def _say(answer: int, words: bytes) -> None:
    """Writes all of it: a disk that is nearly full takes a part."""
    while words:
        words = words[os.write(answer, words) :]


def confine(limits: dict[str, int], room: int) -> None:
    """Limits this process; it may have stricter limits already.

    Processor time is counted from here on: what loading takes on a slow machine is no delivery's.

    Args:
        limits: the policy's.
        room: bytes that the disk has left for what is written.
    """
    output = min(limits["output_bytes"], room)
    seconds = math.ceil(time.process_time()) + limits["cpu_seconds"]
    for kind, soft, hard in (
        (resource.RLIMIT_AS, limits["memory_bytes"], limits["memory_bytes"]),
        # Between the two it ends by a signal that tells why.
        (resource.RLIMIT_CPU, seconds, seconds + 5),
        (resource.RLIMIT_FSIZE, output, output),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        most = resource.getrlimit(kind)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)  # noqa: PLW2901
        # macOS knows a limit of address space, and does not let one set it.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (soft, hard))
    with contextlib.suppress(OSError):
        # Where the whole machine is short of memory, this process goes first.
        Path("/proc/self/oom_score_adj").write_text("1000")


def warm_up() -> None:
    """Starts Arrow's threads: limits that are too low even for that are no delivery's fault."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    pa_csv.read_csv(pa.BufferReader(b"a\n1\n"))


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """Decodes as the request says; what was found, or a code and a reason."""
    # A plain namespace: to import the policy's model takes longer than to decode a small delivery.
    limits = cast("Limits", SimpleNamespace(**request["limits"]))
    columns = Wanted.load(request["wanted"])
    try:
        found = decode(
            request["raw"],
            request["copy"],
            name=request["name"],
            wanted=request["format"],
            limits=limits,
            columns=columns,
            folder=request["folder"],
            block=request.get("block", BLOCK),
        )
    except MemoryError:
        return {"code": "out_of_memory", "reason": ""}
    except Exception as error:  # whatever a hostile file makes a library raise
        code, reason = _reason(error, request["name"], limits, request["room"])
        return {"code": code, "reason": reason}
    return found._asdict()


def _reason(error: Exception, name: str, limits: Limits, room: int) -> tuple[str, str]:
    """Code and words for what went wrong: the delivery, or this machine."""
    number = getattr(error, "errno", None)
    if number == errno.EFBIG:
        if room < limits.output_bytes:
            return FAULT, f"its disk has room for {room:,} bytes"
        error = output_too_large(name, limits)
    if isinstance(error, DeliveryError):
        return error.code, str(error)
    if is_of_machine(error):
        return FAULT, os.strerror(cast("int", number))
    return "unreadable", f"{name}: cannot be read: {error_line(error)}"
