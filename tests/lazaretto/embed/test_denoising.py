"""The denoising encoder: it learns from rows alone, and comes back as it was."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lazaretto.embed import fit_encoder, load_encoder
from lazaretto.embed.denoising import fit_denoising, read_denoising
from lazaretto.errors import PolicyError, ReferenceMismatchError
from lazaretto.policy import Policy


def _rows(count: int, seed: int) -> pa.Table:
    """Ten numbers that follow from two, a category, and one number more."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=(count, 2))
    mixing = np.random.default_rng(9).normal(size=(2, 10))
    pixels = hidden @ mixing + 0.05 * random.normal(size=(count, 10))
    return pa.table(
        {
            "id": [str(i) for i in range(count)],
            "pixels": pa.array(list(pixels.astype(np.float32)), pa.list_(pa.float32(), 10)),
            "plan": np.where(hidden[:, 0] > 0, "a", "b").tolist(),
            "age": hidden[:, 1].tolist(),
            "label": (hidden[:, 0] > 0).astype(int).tolist(),
        }
    )


def _policy(**embed: object) -> Policy:
    return Policy.model_validate(
        {
            "version": 1,
            "dataset": "d",
            "columns": {"record_id": "id", "label": "label"},
            "embed": {"encoder": "denoising", "model": "reference", **embed},
        }
    )


COLUMNS = ["pixels", "plan", "age"]


def test_a_small_code_keeps_what_the_rows_follow_from() -> None:
    """Two numbers stand behind all of it: a linear map of two code entries finds them again."""
    encoder = fit_denoising(_rows(600, 0), COLUMNS, dimensions=3, epochs=40)
    new = _rows(200, 1)
    code = encoder.encode(new.to_batches()[0])
    assert code.shape == (200, 3)
    assert code.dtype == np.float32
    hidden = np.array(new["age"].to_pylist())
    design = np.c_[code, np.ones(200)]
    left = hidden - design @ np.linalg.lstsq(design, hidden, rcond=None)[0]
    assert left.var() < 0.2 * hidden.var()


def test_labels_and_order_of_chunks_change_nothing() -> None:
    rows = _rows(120, 0)
    other = rows.set_column(4, "label", pa.array([0] * 120))
    one, two = (fit_denoising(table, COLUMNS, epochs=3) for table in (rows, other))
    assert one.digest == two.digest
    batch = rows.to_batches()[0]
    whole = one.encode(batch)
    parts = [one.encode(batch.slice(i, 1)) for i in range(5)]
    assert np.allclose(np.concatenate(parts), whole[:5], atol=1e-5)


def test_it_comes_back_from_its_state_and_from_nothing_else() -> None:
    rows = _rows(120, 0)
    policy = _policy(columns=COLUMNS, options={"dimensions": 5, "epochs": 3})
    encoder, state = fit_encoder(policy, rows, seed=2)
    again = load_encoder(policy, state)
    batch = rows.to_batches()[0]
    assert again.digest == encoder.digest
    assert (again.encode(batch) == encoder.encode(batch)).all()
    assert again.dimensions == 5
    _, _, learned = state.partition(b"\n")
    for broken in (b"", learned[:-9], b"{}\n" + learned.partition(b"\n")[2], learned[40:]):
        with pytest.raises(PolicyError):
            read_denoising(broken, "it")
    with pytest.raises(ReferenceMismatchError, match="options"):
        load_encoder(_policy(columns=COLUMNS), state)


def test_a_row_without_numbers_gives_zeros() -> None:
    encoder = fit_denoising(_rows(120, 0), ["pixels"], epochs=2)
    broken = pa.record_batch(
        {"pixels": pa.array([[1.0] * 10, None, [1.0] * 9], pa.list_(pa.float32()))}
    )
    code = encoder.encode(broken)
    assert code[0].any()
    assert not code[1:].any()
    with pytest.raises(ReferenceMismatchError, match="no column 'pixels'"):
        encoder.encode(pa.record_batch({"other": [1]}))


@pytest.mark.parametrize(
    ("embed", "said"),
    [
        ({"columns": ["age"], "model": "file.bin"}, "write `model: reference`"),
        ({"columns": []}, "name the columns"),
        ({"columns": ["age"], "options": {"noise": 1.0}}, "noise"),
        ({"columns": ["age"], "options": {"depth": 3}}, "unknown option 'depth'"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(embed: dict[str, object], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        fit_encoder(_policy(**embed), _rows(50, 0))


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ReferenceMismatchError, match="too few"):
        fit_denoising(_rows(5, 0), ["age"])
