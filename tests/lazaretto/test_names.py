"""A dataset's name is one folder of its own, wherever it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from yard import blobs, make_policy

from lazaretto import stages
from lazaretto.dataset.files import dataset_path
from lazaretto.dataset.recall import recall
from lazaretto.errors import UsageError
from lazaretto.names import check_dataset_name

if TYPE_CHECKING:
    from yard import Yard

pytestmark = pytest.mark.alike
BAD = [
    "",
    ".",
    "..",
    "a/b",
    "/a",
    "a/",
    "a\\b",
    ".a",
    "_a",
    "-a",
    "a b",
    "a\n",
    "a\x00",
    "é",
    "a%2f",
]


@pytest.mark.parametrize("name", [*BAD, "x" * 129, "\x1b[31mx"])
def test_what_cannot_name_a_dataset(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a dataset") as caught:
        check_dataset_name(name)
    assert str(caught.value).isprintable()
    with pytest.raises(ValidationError):
        make_policy(dataset=name)  # type: ignore[arg-type]


@given(st.text(st.sampled_from("aB0._-/ é"), max_size=6))
def test_policy_and_code_take_the_same_names(name: str) -> None:
    try:
        assert make_policy(dataset=name).dataset == name  # type: ignore[arg-type]
    except ValidationError:
        with pytest.raises(UsageError):
            dataset_path(name)
    else:
        assert dataset_path(name) == f"datasets/{name}"


def test_no_stage_takes_such_a_name(sqlite_yard: Yard) -> None:
    batch = sqlite_yard.judge("monday", blobs(60, seed=5)).batch
    workspace = sqlite_yard.workspace
    for name in (".", "..", "blobs/b", "../blobs"):
        for stage in (
            lambda name=name: stages.admit(workspace, batch, name),
            lambda name=name: stages.snapshot(workspace, name),
            lambda name=name: stages.register_model(workspace, "net", "1", name, 1),
            lambda name=name: recall(workspace, name, batch=batch, reason="x"),
        ):
            with pytest.raises(UsageError):
                stage()
    assert not any("_delta_log" in path for path in workspace.store.list("datasets"))


def test_letter_case_alone_makes_no_second_dataset(yard: Yard) -> None:
    yard.admit("monday", blobs(60, seed=5))
    rules = make_policy(
        dataset="Blobs", screen=yard.policy.screen.model_dump() | {"reference": "blobs"}
    )  # type: ignore[arg-type]
    file = yard.deliver("tuesday", blobs(60, seed=6))
    batch = stages.receive(yard.workspace, file, "vendor-a", policy=rules).id
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, rules)
    with pytest.raises(UsageError, match="there is a dataset 'blobs' already"):
        stages.gate(yard.workspace, batch, rules)
