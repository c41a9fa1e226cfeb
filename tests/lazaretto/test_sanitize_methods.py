"""Every score against a straightforward float64 computation, on easy and on adversarial shapes."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.stats import spearmanr
from sklearn.covariance import OAS
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_info, threadpool_limits

from lazaretto.sanitize import robust, streaming
from lazaretto.sanitize.inputs import check_inputs
from lazaretto.sanitize.layer_data import make_layer_data
from lazaretto.sanitize.linalg import blas, triangular
from lazaretto.sanitize.linalg.exponential import half_exponential
from lazaretto.sanitize.linalg.krylov import leading
from lazaretto.sanitize.methods.activation_clustering import silhouette, two_means
from lazaretto.sanitize.methods.registry import METHODS
from lazaretto.sanitize.methods.scan import two_identities
from lazaretto.sanitize.methods.whitened_spectral import ALPHA, LEARN_BOUND, REACH, TEST_BOUND
from lazaretto.sanitize.moments import Moments, class_moments, merge, oas, without_fold

layer_data_module = import_module("lazaretto.sanitize.layer_data")


def make(
    n=60, m=50, d=6, classes=3, seed=0, dtype=torch.float64, trusted=True, rank=None, spike=0.0
):
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((rank or d, d))
    labels = np.repeat(np.arange(classes), n)
    rows = rng.standard_normal((len(labels), rank or d)) @ mix + 3 * labels[:, None]
    rows[: n // 10] += spike * mix[0]
    clean_labels = np.repeat(np.arange(classes), m)
    clean = rng.standard_normal((len(clean_labels), rank or d)) @ mix + 3 * clean_labels[:, None]
    ids = [f"{i:05d}" for i in range(len(labels))]
    inputs = check_inputs(rows, labels, ids, (clean, clean_labels) if trusted else None)
    cpu = torch.device("cpu")
    return make_layer_data(inputs, "activations", device=cpu, dtype=dtype, seed=seed)


def reference_whitening(layer, c, fold):
    """Centre and covariance of class c by loops over rows, without the fold."""
    side = layer.trusted
    x, y, f = side.rows.astype(np.float64), side.label, side.fold
    residuals = np.concatenate(
        [x[(y == k) & (f != fold)] - x[(y == k) & (f != fold)].mean(0) for k in np.unique(y)]
    )
    degrees = sum(max(((y == k) & (f != fold)).sum() - 1, 0) for k in np.unique(y))
    variance = (residuals**2).sum(0) / degrees
    scale = np.sqrt(np.maximum(variance, 1e-4 * variance.mean()))
    scatter = (residuals / scale).T @ (residuals / scale)
    d = len(scale)
    cov = scatter / degrees
    mu, square = np.trace(cov) / d, (cov**2).mean()
    rho = min(1.0, (square + mu**2) / ((degrees + 1) * (square - mu**2 / d)))
    tied = (1 - rho) * cov + rho * mu * np.eye(d)
    mine = x[(y == c) & (f != fold)]
    z = (mine - mine.mean(0)) / scale
    own = z.T @ z / (len(z) - 1)
    noise = (np.trace(own) ** 2 + (own**2).sum()) / len(z)
    weight = np.clip(1 - noise / ((own - tied) ** 2).sum(), 0, 0.99)
    return mine.mean(0), (weight * own + (1 - weight) * tied) * np.outer(scale, scale)


@pytest.mark.parametrize(
    "shape", [{}, {"d": 40, "n": 12, "m": 10}, {"rank": 2, "d": 8}, {"classes": 1}]
)
def test_whitened_spectral_is_the_matrix_exponential_of_the_paper(shape):
    layer = make(**shape)
    got = METHODS["whitened_spectral"](layer)
    train, d = layer.train, layer.width
    for c in range(layer.n_classes):
        mine, clean = train.label == c, layer.trusted.label == c
        far, far_clean = np.zeros(len(mine)), np.zeros(len(clean))
        white = [reference_whitening(layer, c, fold) for fold in range(layer.folds)]
        for fold, (center, cov) in enumerate(white):
            inverse = np.linalg.inv(cov)
            for side, out in ((train, far), (layer.trusted, far_clean)):
                x = side.rows - center
                out[side.fold == fold] = np.einsum("ij,jk,ik->i", x, inverse, x)[side.fold == fold]
        reach = np.quantile(far_clean[clean], REACH)
        weight = np.minimum(1, LEARN_BOUND * reach / far)
        for fold, (center, cov) in enumerate(white):
            root = np.linalg.inv(np.linalg.cholesky(cov))
            fit = mine & (train.fold != fold)
            z = (train.rows[fit] - center) @ root.T * np.sqrt(weight[fit])[:, None]
            second = z.T @ z / fit.sum()
            edge = (1 + np.sqrt(d / fit.sum())) ** 2
            divisor = max(np.linalg.norm(second, 2), edge) - 1
            quantum = expm(ALPHA * (second - np.eye(d)) / divisor)
            quantum /= np.trace(quantum)
            held_out = mine & (train.fold == fold)
            z = (train.rows[held_out] - center) @ root.T
            want = np.einsum("ij,jk,ik->i", z, quantum, z)
            np.testing.assert_allclose(got.train[held_out], want, rtol=1e-4)
            bound = np.minimum(1, TEST_BOUND * reach / far[held_out])
            np.testing.assert_allclose(got.tested_train[held_out], want * bound, rtol=1e-4)


@pytest.mark.parametrize("shape", [{}, {"d": 40, "n": 12, "m": 10}, {"rank": 2, "d": 8}])
def test_mahalanobis_is_the_distance_in_a_covariance_without_the_fold(shape):
    layer = make(**shape)
    got = METHODS["mahalanobis"](layer)
    for c in range(layer.n_classes):
        for fold in range(layer.folds):
            center, cov = reference_whitening(layer, c, fold)
            for side, scores in ((layer.train, got.train), (layer.trusted, got.trusted)):
                rows = (side.label == c) & (side.fold == fold)
                x = side.rows[rows] - center
                want = np.einsum("ij,ji->i", x, np.linalg.solve(cov, x.T))
                np.testing.assert_allclose(scores[rows], want, rtol=1e-4)


@pytest.mark.parametrize("shape", [{}, {"d": 60, "n": 30}, {"rank": 2, "d": 8}, {"classes": 1}])
def test_spectral_is_the_centred_projection_on_the_leading_singular_vector(shape):
    layer = make(**shape, trusted=False)
    got = METHODS["spectral"](layer).train
    side = layer.train
    for c in range(layer.n_classes):
        for fold in range(layer.folds):
            fit = side.rows[(side.label == c) & (side.fold != fold)]
            center = fit.mean(0)
            _, s, vt = np.linalg.svd(fit - center, full_matrices=False)
            rows = (side.label == c) & (side.fold == fold)
            want = ((side.rows[rows] - center) @ vt[0]) ** 2 / (s[0] ** 2 / len(fit))
            np.testing.assert_allclose(got[rows], want, rtol=1e-3, atol=1e-6)


def test_float32_agrees_with_float64():
    for name in METHODS:
        if name == "scan":
            continue
        a, b = (METHODS[name](make(dtype=t)).train for t in (torch.float32, torch.float64))
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("spike", [0.0, 8.0])
@pytest.mark.parametrize("rows", [(250, 150), (60, 50)])
def test_wide_layers_score_within_a_thousandth_of_the_exact_exponential(spike, rows, threads):
    # Wider than what is decomposed, so that float32 takes the polynomial; float64 never does.
    layers = [
        make(*rows, d=100, classes=2, dtype=t, spike=spike) for t in (torch.float32, torch.float64)
    ]
    fast, exact = (METHODS["whitened_spectral"](layer) for layer in layers)
    np.testing.assert_allclose(fast.train, exact.train, rtol=1e-3)
    np.testing.assert_allclose(fast.trusted, exact.trusted, rtol=1e-3)
    np.testing.assert_allclose(fast.tested_train, exact.tested_train, rtol=1e-3)


def test_spectral_keeps_the_order_of_rows_where_no_direction_leads():
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((2400, 150)).astype(np.float32)
    inputs = check_inputs(rows, np.zeros(2400, int), [f"{i:04d}" for i in range(2400)], None)
    cpu = torch.device("cpu")
    layer = make_layer_data(inputs, "activations", device=cpu, dtype=torch.float32, seed=0)
    got, side = METHODS["spectral"](layer).train, layer.train
    for fold in range(layer.folds):
        fit = rows[side.fold != fold].astype(np.float64)
        vector = np.linalg.svd(fit - fit.mean(0), full_matrices=False)[2][0]
        want = ((rows[side.fold == fold] - fit.mean(0)) @ vector) ** 2
        assert spearmanr(got[side.fold == fold], want).statistic > 0.999


def test_scores_do_not_depend_on_chunks_or_class_blocks_and_rows_may_be_a_file(
    monkeypatch, tmp_path
):
    layer = make(n=500, m=400, d=12, dtype=torch.float32)
    want = METHODS["whitened_spectral"](layer)
    monkeypatch.setitem(streaming.CHUNK_BYTES, "cpu", 7 * 4 * 12)
    monkeypatch.setitem(layer_data_module.BLOCK_BYTES, "cpu", 1)
    monkeypatch.setattr(import_module("lazaretto.sanitize.whitening"), "_KEPT_BYTES", 0)
    mapped = np.memmap(tmp_path / "rows", layer.train.rows.dtype, "w+", shape=(1500, 12))
    mapped[:] = layer.train.rows
    got = METHODS["whitened_spectral"](replace(layer, train=replace(layer.train, rows=mapped)))
    np.testing.assert_array_equal(mapped, layer.train.rows)
    assert np.isfinite(want.agreement).all()
    for name in ("train", "trusted", "tested_train", "tested_trusted", "agreement"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-4)
    # A witness jumps where a pair's cosine passes the bound or a row the edge of the far ones.
    for name in ("ranked_train", "ranked_trusted"):
        close = np.isclose(getattr(got, name), getattr(want, name), rtol=1e-3)
        assert close.mean() > 0.999


def test_half_price_products_are_the_products(threads):
    rng = np.random.default_rng(7)
    for d in (5, 130, 300):
        x, wide = torch.tensor(rng.standard_normal((40, d))), rng.standard_normal((3, d, d + 20))
        symmetric = torch.tensor(wide @ wide.transpose(0, 2, 1)) / d
        upper = torch.tensor(wide[:, :, :d]).triu()
        long = torch.tensor(rng.standard_normal((5 * d, d)))
        by_blocks, by_syrk = torch.zeros(d, d).double(), torch.ones(d, d).double()
        triangular.add_gram_by_blocks(by_blocks, x)
        triangular.add_gram(by_syrk[None], x[None])
        close = np.testing.assert_allclose
        close(triangular.mirror(by_blocks), x.T @ x, atol=1e-9)
        close(triangular.mirror(by_syrk.clone(), corners=True), x.T @ x + 1, atol=1e-9)
        triangular.add_gram(by_syrk[None], long[None])
        close(triangular.mirror(by_syrk, corners=True), x.T @ x + long.T @ long + 1, atol=1e-8)
        for rows in (x, long):
            norms = (rows @ upper[0]).square().sum(1)
            close(triangular.squared_norms(rows[None], upper[:1])[0], norms, rtol=1e-9)
            close(triangular.squared_norms_by_blocks(rows, upper[0]), norms, rtol=1e-9)
        close(triangular.congruence(symmetric, upper), upper.mT @ symmetric @ upper, atol=1e-8)
        square = symmetric @ symmetric
        product = triangular.symmetric_product(symmetric, square)
        close(product, symmetric @ square, rtol=1e-8, atol=1e-8)
        close(triangular.upper_product(upper, 2 * upper), 2 * upper @ upper, atol=1e-8)
        for inverse in (
            triangular.inverse_factor(symmetric),
            triangular.inverse_factor_by_blocks(symmetric),
        ):
            assert torch.equal(inverse, inverse.tril())
            close(inverse @ symmetric @ inverse.mT, np.eye(d)[None].repeat(3, 0), atol=1e-7)
        thin = torch.tensor(wide[:, :, :2] @ wide[:, :, :2].transpose(0, 2, 1))
        factor = triangular.upper_factor(thin)
        assert torch.equal(factor, factor.triu())
        close(factor @ factor.mT, thin, atol=1e-10 * d)
        # What has no factor leaves the others of its batch theirs.
        thin[1] = torch.nan
        partly = triangular.upper_factor(thin)
        assert not partly[1].isfinite().all()
        close(partly[::2] @ partly[::2].mT, thin[::2], atol=1e-10 * d)


def test_no_factor_of_an_indefinite_matrix(threads):
    for d in (20, 200):
        matrix = torch.eye(d).double()
        matrix[-1, -1] = -1
        with pytest.raises((torch.linalg.LinAlgError, np.linalg.LinAlgError)):
            triangular.inverse_factor(matrix)


def test_blas_has_no_more_threads_than_torch_while_both_work(threads) -> None:
    def of_blas() -> set[int]:
        return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        before = of_blas()
        assert max(blas.in_torch_threads(of_blas)()) <= torch.get_num_threads()
        assert of_blas() == before
    for name in ("inverse_factor", "upper_factor", "congruence", "add_gram", "squared_norms"):
        assert hasattr(getattr(triangular, name), "__wrapped__")


@pytest.mark.parametrize(("low", "high"), [(-4, 4), (-30, 4), (-0.1, 4), (-300, 4)])
def test_the_polynomial_exponential_holds_over_narrow_and_wide_spectra(low, high):
    rng = np.random.default_rng(8)
    axes = np.linalg.qr(rng.standard_normal((2, 90, 90)))[0]
    values = np.linspace(low, high, 90)
    matrix = torch.tensor((axes * values) @ axes.transpose(0, 2, 1), dtype=torch.float32)
    got = half_exponential(matrix, low, high)
    for i in range(2):
        want = expm((matrix[i].double().numpy() - high * np.eye(90)) / 2)
        np.testing.assert_allclose(got[i], want, atol=1e-5)


def test_deep_knn_counts_the_labels_around_a_row():
    layer = make(n=20, m=16, d=3)
    got = METHODS["deep_knn"](layer).train
    base, side = layer.trusted, layer.train
    for i in range(0, len(side.label), 7):
        kept = np.flatnonzero(base.fold != side.fold[i])
        a = base.rows[kept] / np.linalg.norm(base.rows[kept], axis=1, keepdims=True)
        similarity = a @ side.rows[i] / np.linalg.norm(side.rows[i])
        near = np.argsort(-similarity)[:10]
        sizes = np.bincount(base.label[kept])
        labels = base.label[kept][near]
        votes = (1 + similarity[near]) / sizes[labels]
        want = votes[labels != side.label[i]].sum() / votes.sum()
        assert got[i] == pytest.approx(want, rel=1e-4)


def test_gram_sums_relative_overshoot_beyond_ten_deviations():
    layer = make(n=20, m=24, d=4)
    got = METHODS["gram"](layer).train
    base, side = layer.trusted, layer.train
    for i in range(0, len(side.label), 9):
        fit = base.rows[(base.label == side.label[i]) & (base.fold != side.fold[i])]
        total, bounds = 0.0, {}
        for a in range(4):
            for b in range(a, 4):
                p = np.sort(fit[:, a] * fit[:, b])
                middle = p[(len(p) - 1) // 2]
                spread = np.sort(np.abs(p - middle))[(len(p) - 1) // 2]
                bounds[a, b] = middle - 10 * spread, middle + 10 * spread
        # The order of units only decides which of a pair comes first.
        floor = 1e-2 * np.mean(
            [max(abs(v[0]), abs(v[1])) if a <= b else 0 for (a, b), v in bounds.items()] + [0] * 6
        )
        for (a, b), (low, high) in bounds.items():
            value = side.rows[i, a] * side.rows[i, b]
            total += max(value - high, 0) / max(abs(high), floor)
            total += max(low - value, 0) / max(abs(low), floor)
        assert got[i] == pytest.approx(total, rel=1e-3, abs=1e-5)


def test_two_means_and_silhouette_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.standard_normal((80, 3)), rng.standard_normal((12, 3)) + 6])
    means, small = two_means(torch.tensor(points))
    assert small[80:].all()
    assert not small[:80].any()
    np.testing.assert_allclose(means[1], points[80:].mean(0), rtol=1e-6)
    want = silhouette_score(points, small.numpy())
    assert silhouette(torch.tensor(points), small) == pytest.approx(want, rel=1e-6)


def test_two_identities_find_the_smaller_group_and_gain_nothing_on_one():
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((500, 8))
    alone = two_identities(torch.tensor(rows)).gain
    rows[:40, 2] += 6
    split = two_identities(torch.tensor(rows))
    ratio = (torch.tensor(rows) @ split.axis + split.offset).numpy()
    assert (ratio[:40] > 0).mean() > 0.95
    assert (ratio[40:] < 0).mean() > 0.99
    assert split.gain > 5 * abs(alone)


def test_scan_refuses_few_classes_with_the_reason():
    assert "needs 6" in METHODS["scan"](make(classes=5)).skipped
    assert METHODS["scan"](make(classes=6)).skipped is None


def test_leading_finds_the_leading_eigenvector():
    rng = np.random.default_rng(2)
    a = rng.standard_normal((3, 80, 200))
    a[:, 5] *= 2
    matrix = torch.tensor(a @ a.transpose(0, 2, 1))
    got, (values, vectors) = leading(matrix), np.linalg.eigh(matrix.numpy())
    np.testing.assert_allclose(np.abs((got.vector * vectors[:, :, -1]).sum(1)), 1, rtol=1e-8)
    np.testing.assert_allclose(got.value, values[:, -1], rtol=1e-8)
    missed = (got.lowest.numpy() - values[:, 0]) / (values[:, -1] - values[:, 0])
    assert (missed > -1e-12).all()
    assert (missed < 0.01).all()


def test_oas_agrees_with_scikit_learn():
    x = np.random.default_rng(3).standard_normal((40, 7)) * np.arange(1, 8)
    x -= x.mean(0)
    got = oas(torch.tensor(x.T @ x), torch.tensor(40.0, dtype=torch.float64))
    np.testing.assert_allclose(got, OAS(assume_centered=True).fit(x).covariance_, rtol=1e-10)


def test_moments_merge_exactly_and_do_not_depend_on_chunks(monkeypatch):
    layer = make(n=37, d=5)
    whole = class_moments(layer, layer.train, range(3))
    monkeypatch.setitem(streaming.CHUNK_BYTES, "cpu", 5 * 8 * 7)
    pieces = class_moments(layer, layer.train, range(3))
    np.testing.assert_allclose(pieces.scatter, whole.scatter, rtol=1e-9)
    merged = merge(whole, layer.folds)
    for c in range(3):
        rows = layer.train.rows[layer.train.label == c]
        np.testing.assert_allclose(merged.mean[c], rows.mean(0), rtol=1e-10)
        np.testing.assert_allclose(merged.scatter[c], np.cov(rows.T) * 36, rtol=1e-9)
        left = without_fold(whole, layer.folds)
        rows = layer.train.rows[(layer.train.label == c) & (layer.train.fold != 1)]
        np.testing.assert_allclose(left.mean[c * layer.folds + 1], rows.mean(0), rtol=1e-10)


def test_a_large_offset_costs_no_precision_in_float32():
    rng = np.random.default_rng(4)
    rows = (rng.standard_normal((300, 4)) + 1e4).astype(np.float32)
    inputs = check_inputs(rows, np.zeros(300, int), [str(i) for i in range(300)], None)
    cpu = torch.device("cpu")
    layer = make_layer_data(inputs, "activations", device=cpu, dtype=torch.float32, seed=0)
    got = merge(class_moments(layer, layer.train, range(1)), layer.folds).scatter[0]
    np.testing.assert_allclose(got, np.cov(rows.T.astype(np.float64)) * 299, rtol=1e-4, atol=0.02)


def test_an_empty_class_and_a_class_of_one_row_are_survived():
    rng = np.random.default_rng(5)
    rows, labels = rng.standard_normal((61, 5)), np.array([0] * 30 + [1] * 30 + [2])
    clean, clean_labels = rng.standard_normal((60, 5)), np.array([0] * 30 + [3] * 30)
    inputs = check_inputs(rows, labels, [str(i) for i in range(61)], (clean, clean_labels))
    assert inputs.classes == ["0", "1", "2", "3"]
    cpu = torch.device("cpu")
    layer = make_layer_data(inputs, "activations", device=cpu, dtype=torch.float32, seed=0)
    for name, method in METHODS.items():
        scores = method(layer)
        if scores.skipped is None:
            assert np.isfinite(scores.train[labels == 0]).all(), name
    alone = check_inputs(rows, labels, [str(i) for i in range(61)], None)
    layer = make_layer_data(alone, "activations", device=cpu, dtype=torch.float32, seed=0)
    for name, method in METHODS.items():
        scores = method(layer)
        if scores.skipped is None:
            assert np.isfinite(scores.train[labels < 2]).all(), name


def test_merge_of_nothing_is_nothing():
    empty = Moments(torch.zeros(2), torch.zeros(2, 3), torch.zeros(2, 3, 3))
    assert torch.isfinite(merge(empty, 2).mean).all()


def test_rows_that_light_rare_units_count_in_full_and_wild_ones_are_bounded():
    layer = make(n=400, d=24, trusted=False)
    rows = np.maximum(layer.train.rows, 0)
    rng = np.random.default_rng(0)
    rows[:, -4:] = np.where(
        rng.random((len(rows), 4)) < 0.03, rng.exponential(3, (len(rows), 4)), 0
    )
    rows[7], rows[9, 2] = 1e14, 1e6
    middle = torch.zeros(layer.n_classes, layer.width, dtype=torch.float64)
    weight = robust.bounded_weight(replace(layer, train=replace(layer.train, rows=rows)), middle)
    assert (np.delete(weight, [7, 9]) == 1).all()
    for wild, feature in ((7, slice(None)), (9, 2)):
        bulk = np.delete(rows, [7, 9], 0)[:, feature].std(0)
        assert (weight[wild] * rows[wild, feature] ** 2 <= 2e4 * np.maximum(bulk, 0.1) ** 2).all()
