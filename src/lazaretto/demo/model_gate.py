"""The demo's model gate: which version may be in use, and a drill of the data gate at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.demo.scene import MODEL, POLICY_FILE

if TYPE_CHECKING:
    from lazaretto.demo.scene import Stage, Training

ATTACKS = ("label_flip", "badnets_patch", "blended")
DOSES = (0.1, 0.3)
DRAWS = 1
"""A demo is short; the default is more."""


def measure(stage: Stage, training: Training) -> float:
    """Evaluates a version on digits that no vendor delivered; its accuracy.

    Args:
        stage: where the demo plays.
        training: that made the version.
    """
    import pyarrow.parquet as pq

    from lazaretto.demo import network
    from lazaretto.demo.deliveries import to_table
    from lazaretto.models import ModelSource, evaluate_file

    test = stage.out / "test.parquet"
    if not test.exists():
        pq.write_table(to_table(stage.split.test), test)
    source = ModelSource(weights=training.weights, load=network.load, inputs="pixels")
    done = evaluate_file(
        stage.workspace,
        training.model,
        training.version,
        test,
        source,
        code="lazaretto.demo.network:load",
    )
    return done.report.figures["accuracy"]


def try_to_promote(stage: Stage, version: str) -> list[str]:
    """Wants a version in production; the reasons why it may not be, none where it is now."""
    from lazaretto.errors import PromotionRefusedError
    from lazaretto.models import promote

    try:
        promote(stage.workspace, MODEL, version, reason="the newest one")
    except PromotionRefusedError as error:
        return [text for _, text in error.reasons]
    return []


def drill(stage: Stage) -> dict[str, object]:
    """Tries known attacks on a copy of the last clean batch; what the gate caught."""
    from lazaretto.drill import run_drill
    from lazaretto.policy import Policy

    policy = Policy.load(stage.out / POLICY_FILE.name)
    found = run_drill(
        stage.workspace, policy, attacks=ATTACKS, doses=DOSES, draws=DRAWS, seed=stage.seed
    )
    return {
        "copy_of": found.batch,
        "records": found.rows,
        "held_without_attack": found.clean_held,
        "doses": list(DOSES),
        "recall": {one.name: [round(share, 4) for share in one.recall] for one in found.attacks},
        "caught_from": {one.name: one.smallest for one in found.attacks},
    }
