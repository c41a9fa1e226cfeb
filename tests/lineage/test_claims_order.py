"""The graph is a function of the set of claims: order, files and repetition make no difference."""

from __future__ import annotations

import itertools
import random
import uuid
from typing import TYPE_CHECKING, Any

from foreign_events import LAKE, REGISTRY, dataset, dump, event, model, partitions
from foreign_site import Site
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto import lineage
from lazaretto.errors import NotFoundError
from lazaretto.lineage.claims.intake import bring_up
from lazaretto.lineage.claims.rebuild import rebuild
from lazaretto.storage import tables
from lazaretto.storage.tables import projection

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

_SETTINGS = settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_CLAIMS = ("access", "link", "gap", "version", "run", "same", "name", "claim")
_MODELS = [("net", 1), ("net", 2), ("base", 1)]
_IDENTIFIER = {"namespace": "hive://m:9083", "name": "db.t", "type": "TABLE"}

# What runs read and wrote, by number: tables of one lake, partitions, models, batches of others.
_names = st.one_of(
    st.builds(dataset, st.sampled_from("tu"), st.sampled_from([None, None, 1, 2, 4, "v1"])),
    st.builds(
        dataset,
        st.sampled_from("tu"),
        change=st.sampled_from(["OVERWRITE", "CREATE", "DROP", "TRUNCATE"]),
    ),
    st.just(dataset("u", change="RENAME", before="t")),
    st.just(dataset("t", None, "s3a://LAKE/", symlinks={"identifiers": [_IDENTIFIER]})),
    st.sampled_from([None, 2, "v1"]).map(lambda v: dataset("db.t", v, "hive://m:9083")),
    st.sampled_from(["input", "output"]).map(lambda side: partitions(dataset("t"), side, "mon")),
    st.sampled_from(_MODELS).map(lambda m: model(*m)),
    st.just(model("net", 1, REGISTRY + "/")),
    st.sampled_from(["b1", "b2"]).map(
        lambda b: dataset("landing", b, lazaretto_source={"sourceId": "partner"})
    ),
    st.sampled_from([None, 1, 2, 9]),  # the admitted table
)
_events = st.tuples(
    st.integers(0, 4),  # run
    st.sampled_from(["START", "RUNNING", "COMPLETE", "COMPLETE", "FAIL", "OTHER"]),
    st.sampled_from([-400 * 86_400, 0, 4, 8, 30, 60, 300]),
    st.sampled_from(["spark", "flink"]),
    st.booleans(),
    st.lists(_names, max_size=2),
    st.lists(_names, max_size=2),
)


def _event(site: Site, what: Any) -> dict[str, Any]:
    number, state, at, namespace, streaming, inputs, outputs = what

    def placed(found: Any) -> Any:
        return found if isinstance(found, dict) else site.table(found)

    return event(
        [placed(each) for each in inputs],
        [placed(each) for each in outputs],
        run=str(uuid.UUID(int=number + 1)),
        state=state,
        at=at,
        namespace=namespace,
        streaming=streaming,
        job=f"job {number}",
    )


def _forget(workspace: Workspace) -> None:
    """Takes all claims out, and what follows from them."""
    with workspace.catalog.transaction() as connection:
        for name in _CLAIMS:
            connection.execute(getattr(tables, f"lineage_{name}").delete())
        connection.execute(projection.update().where(projection.c.name == "claims").values(seq=0))


def _answers(workspace: Workspace) -> list[Any]:
    """All that answers say, but moments and the ways that are shown."""
    found: list[Any] = []
    for source in ("vendor", "other", "partner"):
        try:
            trace = lineage.trace_source(workspace, source)
        except NotFoundError:
            continue
        models = sorted(
            (m.id, m.registry, tuple(m.roles), m.inherited, m.tainted_rows, m.external)
            for m in trace.models
        )
        completeness = trace.completeness
        found.append((source, models, sorted(each.id for each in trace.unknown)))
        found.append((sorted(each.id for each in trace.evaluated), trace.complete))
        found.append((sorted(trace.batch_ids), sorted(s.id for s in trace.snapshots)))
        found.append((completeness.external_nodes, sorted(completeness.unknown_models)))
        found.append([(step.registry, step.model, step.last_clean) for step in trace.retrain])
    for name, version in _MODELS:
        try:
            trace = lineage.trace_model(workspace, name, str(version))
        except NotFoundError:
            continue
        limits = trace.completeness
        found.append((name, version, sorted(trace.batch_ids), sorted(trace.model_ids)))
        found.append((limits.origins, limits.possible_batches, trace.complete))
    return found


def _graph(workspace: Workspace) -> dict[str, list[str]]:
    bring_up(workspace)
    with workspace.catalog.read() as connection:
        return dump(connection)


def _set_up(workspace: Workspace, folder: Path) -> Site:
    site = Site(workspace, folder)
    site.deliver("vendor")
    site.deliver("other")
    site.history.register("base", "1", snapshot=1)
    return site


@_SETTINGS
@given(what=st.lists(_events, min_size=1, max_size=9), seed=st.integers(0, 2**32))
def test_the_same_set_of_events_gives_the_same_graph_and_answers(
    workspace: Workspace, tmp_path: Path, what: list[Any], seed: int
) -> None:
    """Permuted, split over files, and repeated; with answers asked in between, or none."""
    site = Site(workspace, tmp_path)
    with workspace.catalog.read() as connection:
        empty = connection.execute(tables.lineage_node.select()).first() is None
    if empty:
        site = _set_up(workspace, tmp_path)
    _forget(workspace)
    events = [_event(site, each) for each in what]
    site.feed(*events)
    graph, answers = _graph(workspace), _answers(workspace)

    _forget(workspace)
    shuffle = random.Random(seed)  # noqa: S311  not for secrets
    again = events + shuffle.sample(events, shuffle.randint(0, len(events)))
    shuffle.shuffle(again)
    while again:
        cut = shuffle.randint(1, len(again))
        site.feed(*again[:cut])
        again = again[cut:]
        if shuffle.random() < 0.3:
            _answers(workspace)
    assert _graph(workspace) == graph
    assert _answers(workspace) == answers

    rebuild(workspace)
    assert _graph(workspace) == graph


def test_the_ledger_may_come_before_or_after_the_events(
    workspace: Workspace, tmp_path: Path
) -> None:
    """What is admitted, recalled and registered later fills what was a gap before."""
    site = _set_up(workspace, tmp_path)
    table = dataset("t", None, LAKE)
    events = [
        event([site.table(4)], [model("net", 1)]),
        event([site.table()], [table], at=1),
        event([table, model("student", 1)], [model("net", 2)], at=60),
    ]
    site.feed(*events)
    before = _answers(workspace)
    site.deliver("vendor")
    site.recall("other")
    site.history.register("student", "1", snapshot=2)
    after, graph = _answers(workspace), _graph(workspace)
    assert after != before
    _forget(workspace)
    site.feed(*events)
    assert (_answers(workspace), _graph(workspace)) == (after, graph)


def test_a_state_that_a_run_calls_by_two_names_is_shown_by_the_same_one_in_any_order(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Hive's name may be told before the path's, or after it."""
    site = _set_up(workspace, tmp_path)
    batch = dataset("landing", "b", lazaretto_source={"sourceId": "partner"})
    hive = dataset("db.t", None, "hive://m:9083")
    same = dataset("t", None, LAKE, symlinks={"identifiers": [_IDENTIFIER]})
    events = [
        event([batch], [dataset("t", None, LAKE), hive]),
        event([hive], [], at=60),
        event([same], [], at=120),
    ]
    shown = []
    for order in itertools.permutations(events):
        _forget(workspace)
        for each in order:
            site.feed(each)
        trace = lineage.trace_source(workspace, "partner")
        shown.append([snapshot.id for snapshot in trace.snapshots])
    assert len(shown[0]) == 1
    assert shown[1:] == shown[:1] * 5


def test_a_version_of_two_names_is_read_when_the_first_of_them_is(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Nobody is known to have made it; under Hive's name it was read hours after."""
    site = _set_up(workspace, tmp_path)
    hive = dataset("db.t", "v1", "hive://m:9083")
    same = dataset("t", None, LAKE, symlinks={"identifiers": [_IDENTIFIER]})
    events = [
        event([dataset("t", "v1", LAKE)], [model("net", 1)]),
        event([dataset("t", None, LAKE)], [model("net", 2)], at=60),
        event([hive], [dataset("t", "v2", LAKE, change="CREATE")], at=14_000),
        event([same], [], at=15_000),
    ]
    found = []
    for order in [*itertools.permutations(events)][::6]:
        _forget(workspace)
        for each in order:
            site.feed(each)
        found.append((_graph(workspace), _answers(workspace)))
    assert all(each == found[0] for each in found)
