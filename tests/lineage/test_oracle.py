"""Random histories: what a trace answers equals what a computation by hand over them says."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_history import DAY, START, History
from many import examples

from lazaretto import lineage

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

_SETTINGS = settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_examples = itertools.count()

# One round: deliveries (source, day, interval known, admitted), then maybe a recall of all
# or one record of a batch, then maybe a snapshot, of this version or an earlier one, then models on
# any of the versions so far, whether a snapshot was taken of it or not.
receipts = st.tuples(st.sampled_from("xy"), st.integers(0, 5), st.booleans(), st.booleans())
recalls = st.one_of(st.none(), st.tuples(st.integers(0, 20), st.booleans()))
frozen = st.one_of(st.none(), st.sampled_from([0, 0, 0, 1, 2, 5]))
rounds = st.tuples(
    st.lists(receipts, max_size=3), recalls, frozen, st.lists(st.integers(0, 20), max_size=2)
)
histories = st.lists(rounds, min_size=1, max_size=6)
windows = st.tuples(
    st.one_of(st.none(), st.integers(0, 6)), st.one_of(st.none(), st.integers(0, 9))
)


@dataclass
class World:
    """What is so, kept in dictionaries."""

    days: dict[str, tuple[str, int, bool]] = field(default_factory=dict)
    content: dict[str, int] = field(default_factory=dict)
    versions: dict[int, dict[str, int]] = field(default_factory=dict)
    snapshots: dict[int, dict[str, int]] = field(default_factory=dict)
    models: dict[str, dict[str, int]] = field(default_factory=dict)

    def batches(self, source: str, since: int | None, until: int | None, by: str) -> set[str]:
        """Collected on day d, so within [d, d + 1), and received two days later, at d + 2."""
        first, last = -1 if since is None else since, 99 if until is None else until
        found = set()
        for batch, (of, day, dated) in self.days.items():
            collected = dated and first <= day < last
            received = first <= day + 2 < last
            asked = {"collected": collected if dated else received, "received": received}
            if of == source and asked.get(by, collected or received):
                found.add(batch)
        return found

    def reached(self, batches: set[str]) -> dict[str, int]:
        """Models that learned from any of the batches, with how many of their records."""
        counted = {
            model: sum(rows for batch, rows in content.items() if batch in batches)
            for model, content in self.models.items()
        }
        return {model: rows for model, rows in counted.items() if rows}


def _play(history: History, steps: list[Any], prefix: str) -> World:
    world = World()
    registered = itertools.count(1)
    for deliveries, recalled, behind, models in steps:
        for letter, day, collected, admitted in deliveries:
            source = f"{prefix}-{letter}"
            batch = history.receive(source, day, collected=collected)
            world.days[batch] = (source, day, collected)
            if admitted:
                history.admit(batch, 10)
                world.content[batch] = 10
                world.versions[history.version] = dict(world.content)
        if recalled and world.content:
            pick, everything = recalled
            batch = sorted(world.content)[pick % len(world.content)]
            rows = world.content[batch] if everything else 1
            history.recall({batch: rows})
            world.content[batch] -= rows
            if not world.content[batch]:
                del world.content[batch]
            world.versions[history.version] = dict(world.content)
        version = 0 if behind is None else history.version - behind
        if version > 0 and version not in world.snapshots:
            history.snapshot(world.versions[version], version)
            world.snapshots[version] = world.versions[version]
        for pick in models if world.versions else ():
            version = sorted(world.versions)[pick % len(world.versions)]
            model = history.register(f"{prefix}-net", str(next(registered)), version)
            world.models[model] = world.versions[version]
    return world


@_SETTINGS
@given(steps=histories, window=windows, by=st.sampled_from(["either", "received", "collected"]))
def test_a_trace_equals_the_computation_by_hand(
    workspace: Workspace,
    steps: list[Any],
    window: tuple[int | None, int | None],
    by: str,
) -> None:
    prefix = f"e{next(_examples)}"
    history = History(workspace, dataset=prefix)
    world = _play(history, steps, prefix)
    since, until = window
    empty = since is not None and until is not None and since >= until
    for source in {f"{prefix}-x", f"{prefix}-y"} & {of for of, _, _ in world.days.values()}:
        if not empty:
            trace = lineage.trace_source(
                workspace,
                source,
                None if since is None else START + since * DAY,
                None if until is None else START + until * DAY,
                by=by,
            )
            batches = world.batches(source, since, until, by)
            assert set(trace.batch_ids) == batches
            told = {model.id: model.tainted_rows for model in trace.models}
            assert told == world.reached(batches)
            assert (trace.unknown, trace.evaluated) == ([], [])
            for model in trace.models:
                assert model.paths
                assert all(path[0] in batches and path[-1] == model.id for path in model.paths)
    for batch in world.days:
        trace = lineage.trace_batch(workspace, batch)
        assert set(trace.model_ids) == set(world.reached({batch}))
        assert trace.complete
    for model, content in world.models.items():
        name, _, version = model.partition("@")
        trace = lineage.trace_model(workspace, name, version)
        assert {b.id: b.used_rows for b in trace.batches} == content
