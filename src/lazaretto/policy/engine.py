"""The section `engine`: where the work of stages is done. It changes no result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lazaretto.policy.section import Section

EngineName = Literal["local", "ray"]


class EngineOptions(Section):
    """Where the work of stages is done, and what a task of it needs."""

    name: EngineName = Field(
        "local",
        description="local: in the process of the stage. ray: in tasks of a Ray cluster, which is "
        "found by Ray's own setting RAY_ADDRESS; without one, a cluster is started on this machine "
        "for as long as the stage runs.",
    )
    task_rows: Annotated[int, Field(gt=0)] = Field(
        262_144, description="With ray: records of a task, rounded up to whole chunks of 16,384."
    )
    cpus: Annotated[float, Field(gt=0)] = Field(
        1.0, description="With ray: processors of a task. Libraries get as many threads."
    )
    gpus: Annotated[float, Field(ge=0)] = Field(
        0.0, description="With ray: GPUs of a task, or a share of one."
    )
    memory_bytes: Annotated[int, Field(gt=0)] | None = Field(
        None,
        description="With ray: memory that a task is expected to take. A node runs no more tasks "
        "at once than have room.",
    )
    node_seconds: Annotated[int, Field(ge=0)] = Field(
        300,
        description="With ray: how long to wait for a node that has what a task asks for, where "
        "none has, as a cluster that grows by itself may bring one up. Then the stage fails and "
        "says what is lacking. A cluster that is started on this machine is not waited for.",
    )
