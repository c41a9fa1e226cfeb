"""A kill of our process or of the MLflow server: what differs afterwards is told, and repaired."""

from __future__ import annotations

import importlib
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from many import some
from mlflow_server import ASKED, UNANSWERED, UNCOMMITTED, running
from typer.testing import CliRunner

from lazaretto import models, stages
from lazaretto.cli.app import app
from lazaretto.errors import SystemFaultError
from lazaretto.lineage import declare_external, import_mlflow
from lazaretto.models.mlflow_aliases import (
    AliasDifference,
    differing_aliases,
    repair_aliases,
    tell_server,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlflow_server import Serving

    from lazaretto.storage.workspace import Workspace

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
tracking = pytest.importorskip("mlflow.tracking", reason="needs mlflow-skinny (extra `mlflow`)")

BEFORE, BETWEEN, AFTER = "before the ledger", "before the server is told", "once it was told"
MOVES = {
    "promote": (partial(models.promote, model="net", version="3"), "3"),
    "rollback": (partial(models.rollback, model="net", reason="complaints"), "1"),
    "demote": (partial(models.demote, model="net", reason="complaints"), None),
}
"""From version 2, which followed version 1: what is done, and what is in use then."""
DIES = [
    (move, side)
    for side in (UNANSWERED, BETWEEN, UNCOMMITTED, BEFORE, ASKED, AFTER)
    for move in MOVES
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with running(tmp_path_factory.mktemp("mlflow")) as found:
        yield found


@pytest.fixture
def in_use(
    sqlite_workspace: Workspace, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """Three versions of a model; the second one is in use after the first, here and there."""
    # Its client tries a server that is away for four minutes otherwise.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    workspace, client = sqlite_workspace, tracking.MlflowClient(server.address)
    server.start()
    if not client.search_registered_models():
        client.create_registered_model("net")
        for _ in range(3):
            client.create_model_version("net", "s3://models/net", None)
    client.delete_registered_model_alias("net", "production")
    registry = import_mlflow(workspace, server.address).registry
    for version in ("1", "2", "3"):
        declare_external(workspace, (registry, "net"), version=version, reason="made elsewhere")
    for version in ("1", "2"):
        models.promote(workspace, "net", version, mlflow=server.address)
    assert differing_aliases(workspace, server.address) == []
    workspace.catalog.engine.dispose()
    return workspace


@pytest.mark.parametrize(("move", "dies"), some(DIES, every=7))
def test_after_a_kill_the_two_agree_or_the_read_back_tells(
    in_use: Workspace, server: Serving, sqlite_catalog: str, move: str, dies: str
) -> None:
    workspace, address = in_use, server.address
    act, wanted = MOVES[move]
    ours = dies in (BEFORE, BETWEEN, AFTER)
    if ours:
        assert killed(lambda: act(workspace, mlflow=address), at=dies) == -signal.SIGKILL
    else:
        server.start(dies)
        with pytest.raises(SystemFaultError, match="--repair` tells it"):
            act(workspace, mlflow=address)
        with pytest.raises(SystemFaultError, match="cannot be read"):
            differing_aliases(workspace, address)
        server.start()

    here, there = ledger(workspace), served(address)
    assert here == ("2" if dies == BEFORE else wanted)
    assert there == (wanted if dies in (UNANSWERED, AFTER) else "2")
    told = differing_aliases(workspace, address)
    promoted = here is not None
    expected = AliasDifference("net", "production", here, there, promoted, follows=True)
    assert told == ([] if here == there else [expected])

    place = {"LAZARETTO_CATALOG_URL": sqlite_catalog, "LAZARETTO_STORE": workspace.store.root}
    check = ["model", "check-mlflow", address]
    assert CliRunner().invoke(app, check, env=place).exit_code == bool(told)
    repaired = CliRunner().invoke(app, [*check, "--repair"], env=place)
    assert repaired.exit_code == 0, repaired.output
    assert ledger(workspace) == served(address) == here


def test_a_name_that_was_never_moved_here_is_told_and_not_repaired(
    in_use: Workspace, server: Serving
) -> None:
    client = tracking.MlflowClient(server.address)
    client.set_registered_model_alias("net", "candidate", "3")
    client.set_registered_model_alias("net", "production", "3")  # around the gate
    try:
        (left,) = repair_aliases(in_use, server.address)
        assert (left.alias, left.here, left.there) == ("candidate", None, "3")
        assert not left.follows
        assert served(server.address) == "2"
    finally:
        client.delete_registered_model_alias("net", "candidate")


def ledger(workspace: Workspace) -> str | None:
    """The version in production by the ledger."""
    (registry,) = {row["registry"] for row in stages.list_models(workspace).rows}
    found = stages.list_aliases(workspace, registry, "net")
    return next((one.version for one in found if one.alias == "production"), None)


def served(address: str) -> str | None:
    """The version in production by the server."""
    aliases = dict(tracking.MlflowClient(address).get_registered_model("net").aliases)
    return None if "production" not in aliases else str(aliases["production"])


def killed(work: Callable[[], object], *, at: str) -> int:
    """Runs it in a fork that dies at a moment; its signal."""
    child = os.fork()
    if child == 0:
        _die_at(at)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _die_at(moment: str) -> None:
    def die(*_: object, **__: object) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    if moment == BEFORE:
        import sqlalchemy as sa

        # The first commit of the move is the one that has both the alias and its entry.
        sa.event.listen(sa.engine.Engine, "commit", die)
        return
    promotion = importlib.import_module("lazaretto.models.promote")

    def told(*arguments: Any) -> None:
        if moment == AFTER:
            tell_server(*arguments)
        die()

    vars(promotion)["tell_server"] = told
