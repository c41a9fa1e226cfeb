"""Whether a node has room for a task: Ray waits for ever for one that has, and says nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from lazaretto.errors import SystemFaultError
from lazaretto.redact import error_line, safe_text, safe_uri

if TYPE_CHECKING:
    from lazaretto.policy.engine import EngineOptions

Node: TypeAlias = Mapping[str, float]
"""What a node has in all, by Ray's names: CPU, GPU, and memory in bytes."""
LOOK_SECONDS = 10.0
"""How often the cluster is asked again while nothing comes back."""
_ANSWER_SECONDS, _JOIN_SECONDS = 5, 60
_JOIN = """
import json, logging, sys
import ray
from lazaretto.engine.room import alive_nodes
ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
print(json.dumps([dict(node) for node in alive_nodes()]))
"""


def lacking(options: EngineOptions, nodes: Sequence[Node]) -> str | None:
    """Why no node can ever run a task, in words; None: one can.

    Args:
        options: what a task asks for.
        nodes: those of the cluster, each with all that it has, in use or not.

    Examples:
        >>> from lazaretto.policy.engine import EngineOptions
        >>> lacking(EngineOptions(name="ray", cpus=8), [{"CPU": 4, "memory": 2**30}])
        'a task asks for 8 processors; the largest of 1 node has 4 processors, 1 GiB of memory'
        >>> lacking(EngineOptions(name="ray", cpus=4), [{"CPU": 4, "memory": 2**30}])
    """
    asked = {"CPU": options.cpus, "GPU": options.gpus, "memory": options.memory_bytes or 0}
    if any(all(node.get(name, 0) >= need for name, need in asked.items()) for node in nodes):
        return None
    wanted = _words({name: need for name, need in asked.items() if need})
    if not nodes:
        return f"a task asks for {wanted}; the cluster has no node"
    # The one that has most of what most lacks.
    largest = max(nodes, key=lambda node: tuple(_share(node, asked)))
    count = f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}"
    return f"a task asks for {wanted}; the largest of {count} has {_words(largest)}"


def _share(node: Node, asked: Node) -> list[float]:
    """How much of each thing that is asked for a node has, the least first."""
    return sorted(min(node.get(name, 0) / need, 1.0) for name, need in asked.items() if need)


def _words(has: Node) -> str:
    parts = []
    for name, one, many in (("CPU", "processor", "processors"), ("GPU", "GPU", "GPUs")):
        count = has.get(name, 0)
        if name == "CPU" or (count and isfinite(count)):  # nobody can say how many GPUs
            parts.append(f"{count:g} {one if count == 1 else many}")
    if has.get("memory", 0):
        parts.append(f"{has['memory'] / 2**30:.3g} GiB of memory")
    return ", ".join(parts)


def alive_nodes() -> list[Node]:
    """What each living node has of the cluster that was joined."""
    import ray

    told: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [
        {name: float(one["Resources"].get(name, 0)) for name in ("CPU", "GPU", "memory")}
        for one in told
        if one["Alive"]
    ]


def own_node() -> Node:
    """What a cluster of this machine has at most. Ray leaves some of the memory to its own store.

    GPUs are those that the environment or the driver shows; where nobody can say, there are many.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"CPU": float(os.cpu_count() or 1), "GPU": float("inf"), "memory": float(memory)}


@dataclass(slots=True)
class Patience:
    """How long a cluster has had no node for a task.

    Attributes:
        options: what a task asks for, and how long to wait for a node that has it.
        since: when that was first seen, by a clock that only goes forward; None: a node has room.
    """

    options: EngineOptions
    since: float | None = None

    def look(self, nodes: Sequence[Node], now: float | None = None) -> str | None:
        """Looks at the nodes.

        Args:
            nodes: as they are now.
            now: seconds, by a clock that only goes forward; default: this moment.

        Returns:
            What is lacking, where it is still waited for.

        Raises:
            SystemFaultError: it was waited for long enough.
        """
        now = time.monotonic() if now is None else now
        problem = lacking(self.options, nodes)
        if problem is None:
            self.since = None
            return None
        self.since = now if self.since is None else self.since
        waited = now - self.since
        if waited >= self.options.node_seconds:
            raise SystemFaultError(
                f"no node of the Ray cluster has room for a task, after {waited:.0f} s: {problem}. "
                f"{HOW_TO_MEND}"
            )
        return problem


HOW_TO_MEND = (
    "Ask for less in the policy (engine.cpus, engine.gpus, engine.memory_bytes), or add a node that"
    " has it"
)


def look_at_cluster(address: str | None) -> list[Node]:
    """What the nodes have of the cluster that an address names, or that this machine would have.

    Ray waits long for what does not answer, so that another process asks.

    Args:
        address: Ray's; None: a cluster is started on this machine where it is needed.

    Raises:
        SystemFaultError: it does not answer.
    """
    if not address or address == "local":
        return [own_node()]
    shown = safe_uri(address)
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        if parts.hostname is not None and parts.port is not None:
            place = (parts.hostname, parts.port)
            socket.create_connection(place, timeout=_ANSWER_SECONDS).close()
        told = subprocess.run(
            [sys.executable, "-c", _JOIN, address],
            env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
            capture_output=True,
            timeout=_JOIN_SECONDS,
            check=True,
        )
        return [dict(node) for node in json.loads(told.stdout.splitlines()[-1])]
    except subprocess.CalledProcessError as error:
        last = (error.stderr.decode(errors="replace").splitlines() or ["it ended"])[-1]
        raise SystemFaultError(
            f"no Ray cluster at {shown} can be joined: {safe_text(last)}"
        ) from None
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        why = "it gives no answer" if isinstance(error, subprocess.TimeoutExpired) else error
        told_why = why if isinstance(why, str) else error_line(why)
        raise SystemFaultError(f"no Ray cluster answers at {shown}: {told_why}") from None
