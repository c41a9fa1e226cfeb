"""The map of a case: what is on it, where, and what hostile vectors cannot do to it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from many import examples
from yard import Yard, blobs, make_policy, make_yard

from lazaretto import stages
from lazaretto.errors import ChangedFileError, NotFoundError, ReferenceMismatchError
from lazaretto.quarantine import map_shown
from lazaretto.quarantine.map import (
    ADMITTED,
    HELD,
    TRUSTED,
    decided_of_case,
    map_of_case,
)
from lazaretto.quarantine.map_files import files_of_map
from lazaretto.quarantine.map_plane import fit_plane, inside
from lazaretto.quarantine.map_shown import density, map_bytes, map_picture
from lazaretto.quarantine.review import decide, held_records, publish
from lazaretto.quarantine.score_histogram import score_histogram
from lazaretto.reference._sample import read_trusted
from lazaretto.values import Action

if TYPE_CHECKING:
    from lazaretto.quarantine.map import EmbeddingMap
    from lazaretto.storage.workspace import Workspace


POLICY = make_policy(
    screen={
        "false_quarantine_rate": 0.02,
        "min_poison_share": 0.5,
        "hold": "rate",
        "detectors": {"mahalanobis": {}, "knn_label": {"k": 5}},
        "batch": {"alpha": 1e-9, "hold_when_held_fraction": 0.9},
    }
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    from lazaretto.reference import Reference

    fitted = Reference.fit(blobs(900, 1), POLICY, name="blobs")
    return fitted.save(tmp_path_factory.mktemp("reference"))


@pytest.fixture
def yard(sqlite_workspace: Workspace, reference: str, tmp_path: Path) -> Yard:
    return Yard(make_yard(sqlite_workspace, reference, tmp_path).workspace, POLICY, tmp_path)


def _far(rows: pa.Table, which: list[int], number: float) -> pa.Table:
    vectors = np.array(rows["vector"].to_pylist(), dtype=np.float32)
    vectors[which] = number
    return rows.set_column(2, "vector", pa.array(list(vectors), pa.list_(pa.float32(), 8)))


def _read(answer: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """As the page's script reads it."""
    size = int.from_bytes(answer[:4], "little")
    head, at, arrays = json.loads(answer[4 : 4 + size]), 4 + size, {}
    for name, kind, shape in head["arrays"]:
        assert at % 8 == 0
        dtype = np.dtype(kind).newbyteorder("<")
        arrays[name] = np.frombuffer(answer, dtype, int(np.prod(shape)), at).reshape(shape)
        at += -(-arrays[name].nbytes // 8) * 8
    assert at == len(answer)
    return head, arrays


def _held_places(found: EmbeddingMap) -> dict[int, list[int]]:
    held = found.place[found.kind == HELD].tolist()
    return dict(zip(found.position.tolist(), held, strict=True))


def test_every_held_record_is_at_its_place_among_trusted_and_admitted_ones(yard: Yard) -> None:
    judged = yard.judge("monday", blobs(240, seed=5, prefix="m", flips=12))
    case = str(judged.case)
    found = map_of_case(yard.workspace, case)
    held = held_records(yard.workspace, case, limit=500)
    assert found.position.tolist() == [record.position for record in held]
    assert np.bincount(found.kind).tolist() == [900, 240 - len(held), len(held)]
    assert (found.trusted, found.admitted, found.held) == (900, 240 - len(held), len(held))
    known = {name: number for number, name in enumerate(found.classes)}
    labels = found.label[found.kind == HELD].tolist()
    assert labels == [known[str(record.label)] for record in held]
    # Mislabelled records look like trusted ones of another class: they lie among those.
    trusted = found.place[found.kind == TRUSTED].astype(np.int64)
    label = found.label[found.kind == TRUSTED]
    flipped = {record.position: known[str(record.label)] for record in held if record.position < 12}
    assert len(flipped) > 6
    for position, given_label in flipped.items():
        place = np.array(_held_places(found)[position])
        nearest = label[np.argsort(((trusted - place) ** 2).sum(axis=1))[:5]]
        assert given_label not in nearest.tolist()
    # Quantiles are in the order of the scores, which is not that of the p-values.
    quantile = found.quantile[found.kind == HELD].astype(int)
    by_score = np.argsort([record.score or 0.0 for record in held], kind="stable")
    assert (np.diff(quantile[by_score]) >= 0).all()
    assert (found.quantile[found.kind == TRUSTED] == 255).all()
    assert np.median(found.quantile[found.kind == ADMITTED]) < quantile.min()


def test_the_same_files_give_the_same_bytes_and_others_another_digest(yard: Yard) -> None:
    first = str(yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4)).case)
    other = str(yard.judge("tuesday", blobs(60, seed=6, prefix="t", flips=4)).case)
    answers = {map_bytes(map_of_case(yard.workspace, first)) for _ in range(2)}
    assert len(answers) == 1
    digests = {files_of_map(yard.workspace, case).digest for case in (first, first, other)}
    assert len(digests) == 2


def test_the_bytes_hold_what_the_map_holds(yard: Yard) -> None:
    case = str(yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4)).case)
    found = map_of_case(yard.workspace, case)
    head, arrays = _read(map_bytes(found))
    assert head["shown"] == "points"
    assert np.column_stack([arrays["x"], arrays["y"]]).tolist() == found.place.tolist()
    for name in ("kind", "label", "quantile", "position", "apart"):
        assert arrays[name].tolist() == getattr(found, name).tolist()
    assert head["words"] == found.words
    assert f"{found.held} held" in found.words


def test_many_held_records_are_sent_as_a_density(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = str(yard.judge("monday", blobs(240, seed=5, prefix="m", flips=12)).case)
    monkeypatch.setattr(map_shown, "MOST_POINTS", 3)
    found = map_of_case(yard.workspace, case)
    head, arrays = _read(map_bytes(found))
    assert head["shown"] == "grid"
    assert arrays["held"].dtype == np.uint16
    assert arrays["held"].shape == (256, 256)
    totals = {name: int(array.sum()) for name, array in arrays.items()}
    assert totals == {"trusted": 900, "admitted": found.admitted, "held": found.held}
    x, y = _held_places(found)[int(found.position[0])]
    assert arrays["held"][y // 256, x // 256] >= 1


def test_an_encoder_s_side_car_is_read_as_a_column_is(
    sqlite_workspace: Workspace, tmp_path: Path
) -> None:
    """Vectors that an encoder made: here of the table's own numbers."""
    from lazaretto.reference import Reference

    def rows(count: int, seed: int, prefix: str, strange: int = 0) -> pa.Table:
        random = np.random.default_rng(seed)
        numbers = random.normal(size=(count, 4))
        numbers[:strange] += 9
        columns = {f"n{column}": numbers[:, column] for column in range(4)}
        return pa.table({"id": [f"{prefix}{n}" for n in range(count)], **columns})

    policy = make_policy(
        columns={"record_id": "id"},
        embed={
            "encoder": "tabular",
            "model": "reference",
            "columns": [f"n{column}" for column in range(4)],
        },
        screen={
            "false_quarantine_rate": 0.02,
            "min_poison_share": 0.5,
            "hold": "rate",
            "detectors": {"mahalanobis": {}},
            "batch": {"alpha": 1e-9, "hold_when_held_fraction": 0.9},
        },
    )
    saved = Reference.fit(rows(600, 1, "t"), policy, name="blobs").save(tmp_path / "reference")
    made = make_yard(sqlite_workspace, saved, tmp_path)
    yard = Yard(made.workspace, policy, tmp_path)
    judged = yard.judge("monday", rows(120, 5, "m", strange=10))
    found = map_of_case(yard.workspace, str(judged.case))
    assert files_of_map(yard.workspace, str(judged.case)).column is None
    assert set(range(10)) <= set(found.position.tolist())
    apart = dict(zip(found.position.tolist(), found.apart.tolist(), strict=True))
    assert all(apart[position] for position in range(10))
    assert found.trusted == 450  # the encoder learned from the others


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e38, -3e38, 1e14, 0.0])
def test_hostile_numbers_are_off_the_map_or_at_its_edge_and_move_nobody(
    yard: Yard, number: float
) -> None:
    clean = blobs(120, seed=5, prefix="m", flips=6)
    before = map_of_case(yard.workspace, str(yard.judge("clean", clean).case))
    rows = _far(blobs(120, seed=5, prefix="n", flips=6), [100, 101, 102], number)
    found = map_of_case(yard.workspace, str(yard.judge("hostile", rows).case))
    placed = {100, 101, 102} & set(found.position.tolist())
    if np.isfinite(number) and 0 < abs(number) < 1e15:
        assert len(placed) == 3
    else:
        assert placed == set()
        assert found.unplaced == 3
        assert "no usable vector" in found.words
    # The trusted records still take up a good part of the map.
    spread = [
        float(np.ptp(each.place[each.kind == TRUSTED].astype(float), axis=0).max())
        for each in (before, found)
    ]
    assert spread[1] > 0.2 * spread[0]


def test_vectors_of_another_width_or_none_are_not_on_the_map(yard: Yard) -> None:
    rows = blobs(60, seed=5, prefix="m", flips=4)
    vectors: list[Any] = rows["vector"].to_pylist()
    vectors[10], vectors[11], vectors[12] = vectors[10][:3], None, []
    rows = rows.set_column(2, "vector", pa.array(vectors, pa.list_(pa.float32())))
    found = map_of_case(yard.workspace, str(yard.judge("uneven", rows).case))
    assert {10, 11, 12} & set(found.position.tolist()) == set()
    assert found.unplaced == 3


def test_a_batch_without_vectors_has_no_map_and_the_error_says_why(yard: Yard) -> None:
    judged = yard.judge("broken", blobs(60, seed=5, prefix="m").drop_columns(["vector"]))
    with pytest.raises(NotFoundError, match="contract is broken as a whole"):
        map_of_case(yard.workspace, str(judged.case))
    with pytest.raises(NotFoundError, match="was not screened"):
        score_histogram(yard.workspace, str(judged.case))
    with pytest.raises(NotFoundError, match="no case"):
        map_of_case(yard.workspace, "case-0000000000000000")


def test_a_changed_file_is_not_shown(yard: Yard) -> None:
    case = str(yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4)).case)
    files = files_of_map(yard.workspace, case)
    for file in (files.vectors, files.trusted, files.held_records, files.scores):
        place = yard.folder / "store" / file.path
        content = place.read_bytes()
        place.chmod(0o644)
        place.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        with pytest.raises(ChangedFileError):
            map_of_case(yard.workspace, case)
        place.write_bytes(content)
    assert map_of_case(yard.workspace, case).held


def test_decisions_are_told_beside_the_map_and_change_nothing_of_it(yard: Yard) -> None:
    case = str(yard.judge("monday", blobs(60, seed=5, prefix="m", flips=6)).case)
    before = map_bytes(map_of_case(yard.workspace, case))
    first, second, third = map_of_case(yard.workspace, case).position.tolist()[:3]
    assert decided_of_case(yard.workspace, case)[0].tolist() == []
    decide(yard.workspace, case, Action.RELEASE, positions=[first], reason="seen")
    publish(yard.workspace, case)
    decide(yard.workspace, case, Action.REJECT, positions=[third], reason="no")
    decide(yard.workspace, case, Action.RELEASE, positions=[second], reason="seen")
    position, actions, code = decided_of_case(yard.workspace, case)
    assert position.tolist() == sorted([first, second, third])
    told = dict(zip(position.tolist(), code.tolist(), strict=True))
    assert [actions[told[each] & 127] for each in (first, second, third)] == [
        "RELEASE",
        "RELEASE",
        "REJECT",
    ]
    assert [told[each] >= 128 for each in (first, second, third)] == [True, False, False]
    assert map_bytes(map_of_case(yard.workspace, case)) == before


def test_the_histogram_counts_every_screened_record_and_says_where_holding_begins(
    yard: Yard,
) -> None:
    rows = _far(blobs(240, seed=5, prefix="m", flips=12), [200], np.nan)
    judged = yard.judge("monday", rows)
    found = score_histogram(yard.workspace, str(judged.case))
    # The contract fails the record without numbers, so that it was not screened.
    assert sum(found.held) + sum(found.others) == 239
    assert found.unscored == 0
    assert sum(found.held) == judged.held - 1
    assert found.edges == sorted(found.edges)
    assert len(found.edges) == len(found.held) + 1
    assert found.threshold is not None
    record = stages.screen(yard.workspace, judged.batch, yard.policy).event
    assert record is not None
    assert found.rate == record.false_quarantine_rate
    held = held_records(yard.workspace, str(judged.case), limit=500)
    low = [one.score for one in held if one.p_value is not None and one.p_value <= found.rate]
    assert found.threshold == pytest.approx(min(score for score in low if score is not None))
    assert f"{found.threshold:.4g}" in found.words


def test_the_picture_is_well_formed_and_carries_its_words(yard: Yard) -> None:
    from xml.etree import ElementTree as ET

    case = str(yard.judge("monday", blobs(60, seed=5, prefix="m", flips=4)).case)
    found = map_of_case(yard.workspace, case)
    picture = ET.fromstring(map_picture(found))  # noqa: S314  our own
    assert picture.attrib["aria-label"] == found.words
    groups = [group for group in picture if group.tag.endswith("}g")]
    cells = [int((density(found, kind, 64) > 0).sum()) for kind in (TRUSTED, ADMITTED, HELD)]
    assert [len(group) for group in groups] == cells


@pytest.mark.parametrize("most", [1, 50, 200, 900, 5000])
def test_trusted_rows_are_spread_over_a_reference_that_has_more(reference: str, most: int) -> None:
    from lazaretto.reference import Reference

    loaded = Reference.load(reference)
    with (Path(reference) / "tensors.safetensors").open("rb") as opened:
        found = read_trusted(opened, most)
    assert found.rows == loaded.rows
    assert 0 < len(found.vectors) <= most
    assert found.label is not None
    assert loaded.sample.label is not None
    rows = {row.tobytes(): number for number, row in enumerate(loaded.sample.embedding)}
    at = [rows[row.tobytes()] for row in found.vectors]
    assert at == sorted(set(at))
    assert found.label.tolist() == loaded.sample.label[at].tolist()
    if most >= 50:
        assert max(at) - min(at) > 0.9 * loaded.rows


@pytest.mark.parametrize("damage", [b"", b"\xff" * 16, b"\x02\0\0\0\0\0\0\0{}", b"\0" * 100])
def test_what_is_no_reference_is_refused(damage: bytes) -> None:
    with pytest.raises(ReferenceMismatchError):
        read_trusted(io.BytesIO(damage), 10)


finite = st.floats(-(2.0**49), 2.0**49, width=32)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data(), width=st.integers(1, 9))
def test_any_numbers_have_a_place(data: st.DataObject, width: int) -> None:
    def rows(most: int) -> Any:
        count = data.draw(st.integers(0, most))
        return data.draw(st_numpy.arrays(np.float32, (count, width), elements=finite))

    trusted, held = rows(12), rows(6)
    plane = fit_plane(trusted, held)
    for part in (trusted, held):
        place = plane.place(part)
        assert place.dtype == np.uint16
        assert place.shape == (len(part), 2)
        again = plane.place(part)
        assert (place == again).all()
    # The same row has the same place, whatever else is placed with it.
    for number, row in enumerate(held):
        alone = plane.place(row[None]).astype(int)
        assert np.abs(alone - plane.place(held)[number].astype(int)).max() <= 1
    assert 0 <= plane.share[1] <= plane.share[0] + 1e-9
    assert sum(plane.share) <= 1 + 1e-9


@given(
    corners=st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, 65_535)), min_size=3),
    points=st_numpy.arrays(np.uint16, (20, 2)),
)
def test_a_lasso_takes_the_same_whichever_corner_comes_first(
    corners: list[tuple[int, int]], points: np.ndarray
) -> None:
    taken = inside(points, corners)
    turned = inside(points, [*corners[1:], corners[0]])
    assert (taken == turned).all()
    x, y = np.array(corners).T
    beyond = (points[:, 0] > x.max()) | (points[:, 1] > y.max()) | (points[:, 1] < y.min())
    assert not taken[beyond].any()
