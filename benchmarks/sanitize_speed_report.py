"""The tables of sanitizing speed as Markdown, from the JSON lines of `sanitize_speed.py`."""

from __future__ import annotations

import numpy as np

_HEAD = """\
# Sanitizing speed: what was measured, and what was not

Made by `benchmarks/sanitize_speed.py --write`; do not edit.

{devices}

*Floor*: X'X and X·V of every class in float32, plain torch products on the same rows, grouped
beforehand, in the same run with the same number of threads; *floor+* also counts the trusted rows,
whose products `whitened_spectral` needs too. With one thread ours go to NumPy's and SciPy's BLAS
(syrk, trmm), whose general product was a seventh faster than torch's on the machine of these
figures; with several they go to torch as the floor does. ART: its SVD per class
(`numpy.linalg.svd` of the centred rows), extrapolated from three classes. Synthetic Gaussian
classes. With one thread, seconds are the processor's own, which vary by 10 % from run to run, so
read the ratios; with more, they are the clock's. *Memory* is what a fresh process took while
`whitened_spectral` ran, beside the rows; rows of the largest case are a mapped file. From 1.5·10⁸
numbers on, everything was run once, else four times, and the fastest run counts.
"""

_NO_DEVICE = """\
**No CUDA device was at hand.** Not run: 10⁷ rows of 768 streamed from host memory, the share of the
bare GEMM rate when resident, the comparison with the copy rate, bfloat16, and CPU/CUDA agreement.
The code path is the same (torch with one device argument), except that on CUDA chunks are gathered
into pinned memory and copied on a stream of their own while the last one is computed, and X'X goes
block by block instead of to syrk; the blocks are tested on CPU, the copies are not tested at all.
Scores come back once per block of classes. `whitened_spectral` reads the training rows twice and
the trusted rows three times, so its floor when streaming is two transfers, not one. To measure:
`python benchmarks/sanitize_speed.py --device cuda --cases 10000000,768,10,7680`."""

_COLUMNS = [
    *("n", "d", "classes", "trusted", "folds", "threads", "floor s", "floor+ s"),
    *("`spectral` s", "of floor", "ART s", "ART / ours"),
    *("`whitened_spectral` s", "of floor", "of floor+", "ART / ours", "rows GB", "memory GB"),
]


def report(lines):
    """Markdown of `lines`; targets that are missed are said to be."""
    names = sorted({line["device"] for line in lines} - {"cpu"})
    devices = f"Devices: {', '.join(names)}." if names else _NO_DEVICE
    text = _HEAD.format(devices=devices)
    text += f"\n| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|\n"
    for line in lines:
        art, a, b = line.get("art_svd_s"), line["spectral_s"], line["whitened_spectral_s"]
        cells = [f"{line[key]:,}" for key in _COLUMNS[:6]]
        cells += [line["floor_s"], line["floor_all_s"], a, f"{a / line['floor_s']:.2f}"]
        cells += [art or "", f"{art / a:.1f}" if art else ""]
        cells += [b, f"{b / line['floor_s']:.2f}", f"{b / line['floor_all_s']:.2f}"]
        cells += [f"{art / b:.1f}" if art else "", line["data_gb"], line["memory_gb"] or ""]
        text += "| " + " | ".join(map(str, cells)) + " |\n"
    return text + "\n" + _growth(lines) + "\n" + _verdicts(lines)


def _growth(lines):
    out = []
    for varied, others in (
        ("n", ("d", "classes", "trusted", "folds", "threads")),
        ("d", ("n", "classes", "threads")),
    ):
        groups = {}
        for line in lines:
            groups.setdefault(tuple(line[key] for key in others), []).append(line)
        for key, members in groups.items():
            if len({m[varied] for m in members}) < 3:
                continue
            x = np.log([m[varied] for m in members])
            slopes = [
                np.polyfit(x, np.log([m[f"{name}_s"] for m in members]), 1)[0]
                for name in ("spectral", "whitened_spectral", "floor")
            ]
            fixed = ", ".join(f"{k} {v:,}" for k, v in zip(others, key, strict=True))
            out.append(
                f"Growth in {varied} ({fixed}; {len(members)} cases): `spectral` "
                f"{varied}^{slopes[0]:.2f}, `whitened_spectral` {varied}^{slopes[1]:.2f}, "
                f"the floor {varied}^{slopes[2]:.2f}.\n"
            )
    return "\n".join(out)


def _verdicts(lines):
    targets = (
        ("`spectral` within 1.5 times the floor", lambda m: m["spectral_s"] <= 1.5 * m["floor_s"]),
        (
            "`whitened_spectral` within 1.5 times floor+",
            lambda m: m["whitened_spectral_s"] <= 1.5 * m["floor_all_s"],
        ),
        (
            "`whitened_spectral` within 1.5 times the floor of the training rows alone",
            lambda m: m["whitened_spectral_s"] <= 1.5 * m["floor_s"],
        ),
        (
            "`spectral` at least 10 times as fast as ART",
            lambda m: m["art_svd_s"] >= 10 * m["spectral_s"],
        ),
    )
    out = ["Targets:\n"]
    for what, reached in targets:
        known = [m for m in lines if "art_svd_s" in m or "ART" not in what]
        missed = [f"{m['n']:,} x {m['d']:,} x {m['classes']:,}" for m in known if not reached(m)]
        verdict = f"missed at {'; '.join(missed)}" if missed else "reached throughout"
        out.append(f"* {what}: {verdict} ({len(known) - len(missed)} of {len(known)}).")
    return "\n".join(out) + "\n"
