"""Random histories of models: what an oracle calls tainted or unproven is promoted by no route."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from catalogs import copy_sqlite
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from many import in_full
from promotion_oracle import Book
from yard import ANN

from lazaretto import models
from lazaretto.errors import NotFoundError, PromotionRefusedError, UsageError
from lazaretto.health import check
from lazaretto.stages.alias_model import alias_model, list_aliases
from lazaretto.storage.workspace import open_workspace

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

EXAMPLES = int(os.environ.get("LAZARETTO_PROMOTIONS", "8" if in_full() else "4"))

number = st.integers(0, 5)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "sanitized": st.booleans(),
        "unknown_origin": st.sampled_from(["refuse", "allow"]),
        "promoters": st.sampled_from([[ANN.id], ["os:bob@elsewhere"]]),
        "evidence": st.fixed_dictionaries(
            {"accuracy": st.just(0.9), "rows": st.just(100), "predictions": st.booleans()}
        ),
    },
)
STEP = st.one_of(
    st.tuples(st.just("deliver"), number),
    st.tuples(st.just("train"), number, st.sampled_from([False, False, True])),
    st.tuples(
        st.just("evaluate"),
        number,
        st.sampled_from([0.95, 0.9, 0.5]),
        st.sampled_from([100, 99]),
        st.sampled_from(["onnx", "predictions"]),
        st.booleans(),
    ),
    st.tuples(st.just("sanitize"), number),
    st.tuples(st.just("take_back"), number),
    st.tuples(st.just("ask"), st.sampled_from(["source", "batch", "model"]), number, st.booleans()),
    st.tuples(st.just("conclude"), number),
    st.tuples(st.just("promote"), number),
)
HISTORY = st.lists(STEP, min_size=4, max_size=14)
BEGIN = [("deliver", 0), ("train", 0, False)]


@pytest.mark.timeout(max(600, 60 * EXAMPLES))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rules=RULES, steps=HISTORY)
def test_no_route_promotes_what_the_oracle_calls_tainted_or_unproven(
    made_catalog: Path, rules: dict[str, Any], steps: list[tuple[Any, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = copy_sqlite(made_catalog, Path(folder) / "catalog.db")
        workspace = open_workspace(catalog_url=url, store=Path(folder) / "store", actor=ANN)
        promoted, versions = _play(workspace, Path(folder), rules, steps)
        event("promoted: " + ("all" if promoted == versions else "some" if promoted else "none"))
        workspace.catalog.engine.dispose()


@pytest.mark.postgres
def test_the_same_on_postgresql(postgres_catalog: str, tmp_path: Path) -> None:
    workspace = open_workspace(catalog_url=postgres_catalog, store=tmp_path / "store", actor=ANN)
    steps = [
        ("deliver", 1),
        ("train", 1, False),
        ("promote", 0),
        ("ask", "source", 1, True),
        ("promote", 1),
        ("conclude", 0),
        ("take_back", 0),
        ("train", 0, False),
        ("promote", 2),
    ]
    _play(workspace, tmp_path, {}, steps)


def _play(
    workspace: Workspace, folder: Path, rules: dict[str, Any], steps: list[tuple[Any, ...]]
) -> tuple[int, int]:
    """Versions that were promoted at the end, and how many there are."""
    book = Book(workspace, folder, rules)
    in_use: int | None = None
    promoted = 0
    for name, *arguments in [*BEGIN, *steps]:
        if name == "promote":
            if book.models:
                in_use = _promote(book, arguments[0] % len(book.models), in_use)
        else:
            getattr(book, name)(*arguments)
    for version in range(len(book.models)):
        promoted += book.may(version, in_use)
        in_use = _promote(book, version, in_use)
        _no_other_route(book, version)
        if in_use is not None:
            in_use = _roll_back(book, in_use)
        assert _production(workspace) == (None if in_use is None else str(in_use))
    assert check(workspace).sound
    return promoted, len(book.models)


def _promote(book: Book, version: int, in_use: int | None) -> int | None:
    """Tries it by the command's function; what stands for production then."""
    may = book.may(version, in_use)
    found = models.examine(book.workspace, "net", str(version))
    assert found.clean == may, [one.text for one in found.reasons]
    try:
        done = models.promote(book.workspace, "net", str(version))
    except PromotionRefusedError:
        assert not may
        return in_use
    assert may
    assert done.version == str(version)
    return version


def _no_other_route(book: Book, version: int) -> None:
    with pytest.raises(UsageError, match="only a promotion moves 'production'"):
        alias_model(book.workspace, "net", str(version), "production")


def _roll_back(book: Book, in_use: int) -> int:
    older = [one for one in range(in_use) if book.may(one, in_use)]
    try:
        done = models.rollback(book.workspace, "net", reason="complaints")
    except NotFoundError:
        assert not older
        return in_use
    assert done.version is not None
    assert int(done.version) in older
    return int(done.version)


def _production(workspace: Workspace) -> str | None:
    found = list_aliases(workspace, "local", "net")
    return next((one.version for one in found if one.alias == "production"), None)
