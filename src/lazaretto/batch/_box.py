"""The box: a delivery is decoded in a process of its own, which its bytes may kill.

The limits hold for that process alone: address space, processor time, size of what it writes, time
by the clock. However it ends, its delivery is refused with a reason, or the machine is named that
could not decode it; nothing that a file does to a decoder reaches the caller otherwise. What only a
machine can cause (its disk, too few files or processes, no memory below the policy's limit) is no
refusal: the same delivery may be fine an hour later. It is started anew (not forked), with no
secrets in its environment. It is no jail: whoever takes it over may do what its user may do.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lazaretto.batch._answer import CANNOT_ANSWER, FAULT, READY
from lazaretto.batch._batch import Batch, open_canonical
from lazaretto.batch._format import FORMATS
from lazaretto.batch._schema import check_columns
from lazaretto.batch._wanted import Wanted
from lazaretto.errors import DeliveryError, SystemFaultError
from lazaretto.faults import as_system_fault, is_of_machine
from lazaretto.text import excerpt

if TYPE_CHECKING:
    import pyarrow as pa

    from lazaretto.policy import Limits

_START = (
    "import gc, json, sys; sys.path += json.loads(sys.argv[1]); gc.disable(); "
    "from lazaretto.batch._child import main; gc.enable(); main()"
)
_MOST_ANSWER, _MOST_LOG, _MOST_REASON = 65_536, 65_536, 1000
_MOST_UNLIKE, _MOST_TOLD = 20, 500
_SPARE = 64 * 2**20
_MOST_START = 120
"""Seconds that it may take to start. The process keeps the policy's limit from then on by itself,
unless it was taken over."""
_MEMORY = re.compile(rb"bad_alloc|MemoryError|alloc|[Oo]ut of memory")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded delivery.

    Attributes:
        name: of the delivery.
        path: its canonical copy.
        format: ``parquet``, ``arrow``, ``csv``, ``jsonl`` or ``images``: what it was delivered as.
        rows: number of records.
        digest: sha256 (hex) of the content, see `Batch.digest`.
        schema: its columns, in plain types.
        not_of_type: of columns of text that hold what is not of their declared type, what that is.
            They have the type that they would have if none were declared; only where
            `Wanted.lenient`.
    """

    name: str
    path: Path
    format: str
    rows: int
    digest: str
    schema: pa.Schema
    not_of_type: tuple[str, ...] = ()

    def open(self) -> Batch:
        """The records."""
        return open_canonical(self.path.open("rb"), rows=self.rows, name=self.name)


def decode(
    raw: Path,
    folder: Path,
    *,
    name: str,
    format: str | None,  # noqa: A002
    limits: Limits,
    wanted: Wanted | None = None,
) -> Decoded:
    """Decodes a delivery into its canonical copy, in a process with limits.

    Args:
        raw: the delivery, a local file that nobody else writes.
        folder: a private folder, for the canonical copy and what is needed meanwhile.
        name: of the delivery, as messages and records may show it.
        format: ``parquet``, ``arrow``, ``csv``, ``jsonl`` or ``images`` (a tar archive), or
            another word for none of them; None: a folder of images, packed.
        limits: of the policy.
        wanted: what is known of its columns; default: nothing.

    Raises:
        DeliveryError: the delivery is refused. Of the codes these are about the process:
            ``out_of_memory``, ``out_of_time``, ``too_large`` (of its output, too),
            ``decoder_failed`` (it ended in any other way).
        SystemFaultError: the process cannot be started, the disk is full or fails, or the machine
            has less memory than the policy allows.

    Examples:
        >>> from lazaretto.policy import Limits
        >>> Path("canonical").mkdir()
        >>> decoded = decode(
        ...     Path("monday.parquet"),
        ...     Path("canonical"),
        ...     name="monday",
        ...     format="parquet",
        ...     limits=Limits(),
        ... )
        >>> decoded.rows
        60
    """
    copy = folder / "canonical.arrow"
    with as_system_fault(f"{name} cannot be decoded in {folder}"):
        room = shutil.disk_usage(folder).free - _SPARE
        size = raw.stat().st_size
    if room < size:
        raise SystemFaultError(f"the disk of {folder} is full; a delivery is decoded there")
    request = {
        "raw": str(raw.absolute()),
        "copy": str(copy.absolute()),
        "folder": str(folder.absolute()),
        "name": name,
        "format": format,
        "wanted": (wanted or Wanted()).dump(),
        "limits": limits.model_dump(),
        "room": room,
    }
    answer, log = folder / "answer", folder / "log"
    with as_system_fault("the process that decodes deliveries cannot be started"):
        ended = _run(request, folder, answer, log, limits)
    found = _read(answer, log, ended, name, limits)
    schema = _columns(copy, found["rows"], name, limits)
    told = tuple(excerpt(one, _MOST_TOLD) for one in found["unlike"][:_MOST_UNLIKE])
    return Decoded(name, copy, found["format"], found["rows"], found["digest"], schema, told)


def _run(
    request: dict[str, Any], folder: Path, answer: Path, log: Path, limits: Limits
) -> int | None:
    """How the process ended; None: it was ended for its time by the clock."""
    # The child finds what this process finds, whatever made it so.
    paths = [path for path in sys.path if Path(path).is_absolute()]
    command = [sys.executable, "-I", "-c", _START, json.dumps(paths)]
    if sys.dont_write_bytecode:
        command.insert(1, "-B")
    with answer.open("wb") as out, log.open("wb") as err:
        try:
            return subprocess.run(
                command,
                input=json.dumps(request).encode(),
                stdout=out,
                stderr=err,
                cwd=folder,
                env=environment(),
                timeout=limits.wall_seconds + _MOST_START,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return None


def environment() -> dict[str, str]:
    """No secrets, one thread, and allocators whose address space is what they use."""
    fixed = {
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    # Where the interpreter's own libraries are, on some platforms.
    kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {key: os.environ[key] for key in kept if key in os.environ} | fixed


def _read(answer: Path, log: Path, ended: int | None, name: str, limits: Limits) -> dict[str, Any]:
    """The answer, if it is one; else how the process died is the reason of a refusal."""
    with as_system_fault(f"what the decoder of {name} says cannot be read"):
        with answer.open("rb") as file:
            said = file.read(_MOST_ANSWER + 1)
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _MOST_LOG))
            noise = file.read(_MOST_LOG)
    if ended == CANNOT_ANSWER:
        raise _of_this_machine(name, "the disk is full, or fails")
    if not said.startswith(READY):
        last = excerpt(noise.decode(errors="replace").strip().rpartition("\n")[2], 300)
        raise SystemFaultError(
            f"the process that decodes deliveries could not start (limits.memory_bytes = "
            f"{limits.memory_bytes:,}, exit status {ended}): {last or 'it said nothing'}"
        )
    found = _parsed(said.removeprefix(READY)) if ended == 0 else None
    if found is None:
        raise _died(ended, noise, name, limits)
    if "digest" in found:
        return found
    code, reason = found["code"], excerpt(found["reason"], _MOST_REASON)
    if code == FAULT:
        raise _of_this_machine(name, reason)
    if code == "out_of_memory":
        raise _out_of_memory(name, limits)
    raise DeliveryError(reason, code=code)


def _parsed(said: bytes) -> dict[str, Any] | None:
    """The answer, if it has one of its two forms; a process that was taken over says anything."""
    try:
        found = json.loads(said) if len(said) <= _MOST_ANSWER else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if found.keys() == {"code", "reason"}:
        code, reason = found["code"], found["reason"]
        fits = isinstance(code, str) and isinstance(reason, str)
        return found if fits and re.fullmatch("[a-z][a-z_0-9]{0,39}", code) else None
    return found if _is_told(found) else None


def _is_told(found: dict[str, Any]) -> bool:
    """Whether it is what is said of a delivery that was decoded."""
    if found.keys() != {"format", "rows", "digest", "unlike"} or found["format"] not in FORMATS:
        return False
    rows, digest, unlike = found["rows"], found["digest"], found["unlike"]
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        return False
    if not isinstance(unlike, list) or not all(isinstance(one, str) for one in unlike):
        return False
    return isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) is not None


def _died(
    ended: int | None, noise: bytes, name: str, limits: Limits
) -> DeliveryError | SystemFaultError:
    if ended is None or -ended == signal.SIGALRM:
        return _out_of_time(name, "wall_seconds", limits.wall_seconds)
    if -ended == signal.SIGXCPU:
        return _out_of_time(name, "cpu_seconds", limits.cpu_seconds)
    # Its own limits end it by other signals: somebody else killed it, which is what a machine does
    # that runs out of memory before the process reaches the policy's limit.
    if -ended == signal.SIGKILL:
        return _of_this_machine(
            name,
            "the process that decodes it was killed, as a machine does that runs out of memory. "
            f"Give it more, or set limits.memory_bytes = {limits.memory_bytes:,} below what it has",
        )
    if _MEMORY.search(noise):
        return _out_of_memory(name, limits)
    how = f"by signal {-ended}" if ended < 0 else f"with exit status {ended}"
    return DeliveryError(
        f"{name}: its decoder died ({how}): the file is damaged, or made to do that",
        code="decoder_failed",
    )


def _of_this_machine(name: str, reason: str) -> SystemFaultError:
    return SystemFaultError(f"{name} cannot be decoded on this machine: {reason}")


def _out_of_memory(name: str, limits: Limits) -> DeliveryError:
    return DeliveryError(
        f"{name}: decoding it takes more memory than limits.memory_bytes = "
        f"{limits.memory_bytes:,}: deliver smaller row groups, or raise it in the policy if this "
        "source really delivers that",
        code="out_of_memory",
    )


def _out_of_time(name: str, limit: str, seconds: int) -> DeliveryError:
    return DeliveryError(
        f"{name}: decoding it takes longer than limits.{limit} = {seconds:,}: raise it in the "
        "policy if this source really delivers that",
        code="out_of_time",
    )


def _columns(copy: Path, rows: int, name: str, limits: Limits) -> pa.Schema:
    """Columns of the canonical copy, opened as later stages will open it.

    A process that was taken over may have left anything there.
    """
    try:
        with copy.open("rb") as file:
            schema = open_canonical(file, rows=rows, name=name).schema
            check_columns(schema, limits, name)
            return schema
    except (SystemFaultError, OSError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if copy.exists() and cause is not None and is_of_machine(cause):
            raise _of_this_machine(name, "its canonical copy cannot be read back") from error
        raise DeliveryError(
            f"{name}: its decoder left no canonical copy", code="decoder_failed"
        ) from error
