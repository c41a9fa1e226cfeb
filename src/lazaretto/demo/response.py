"""The demo's incident: opened, its source frozen, recalled, trained anew, in use, concluded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.demo.scene import DATASET

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.demo.scene import Stage, Training


_TRAININGS = 3
"""How often a version is trained anew, at most, until one may be in production."""


def respond(
    stage: Stage, trainings: list[Training], train: Callable[[], Training]
) -> dict[str, object]:
    """Does what the page about incidents says, for the vendor that was compromised.

    Args:
        stage: after the week was played.
        trainings: of the week; the first is in production, and others wait to be.
        train: trains the next version on what is admitted then.

    Returns:
        What came of it, for the summary.
    """
    from lazaretto import incidents
    from lazaretto.dataset.recall import recall
    from lazaretto.demo.deliveries import COMPROMISED
    from lazaretto.demo.model_gate import measure, try_to_promote
    from lazaretto.values import HoldKind, Question

    workspace, week = stage.workspace, stage.week
    for training in trainings:
        measure(stage, training)
    first = try_to_promote(stage, trainings[0].version)
    asked = Question("source", COMPROMISED, week.since, week.until)
    hold = (HoldKind.SOURCE, COMPROMISED)
    opened = incidents.open_incident(
        workspace, asked, reason="the vendor says that it was compromised", holds=[hold]
    )
    poisoned = [one for one in trainings if f"{one.model}@{one.version}" in opened.answer.models]
    refused = {
        f"{one.model}@{one.version}": why
        for one in poisoned[-1:]
        if (why := try_to_promote(stage, one.version))
    }
    recalled = recall(
        workspace,
        DATASET,
        source=COMPROMISED,
        since=week.since,
        until=week.until,
        reason=opened.id,
    )
    for _ in range(_TRAININGS):
        anew = train()
        accuracy = measure(stage, anew)
        against = try_to_promote(stage, anew.version)
        if not against:
            break
        # What looked for poison in this training set took records back: trained without them.
        refused[f"{anew.model}@{anew.version}"] = against
    asked_again = incidents.refresh(workspace, opened.id)
    incidents.lift_hold(workspace, opened.id, *hold, reason="the vendor has new keys")
    closed = incidents.close(workspace, opened.id, f"trained anew as {anew.model}@{anew.version}")
    life = incidents.show_incident(workspace, opened.id).timeline
    return {
        "id": opened.id,
        "life": [{"entry": one.seq, "what": one.what} for one in life],
        "affected": opened.answer.models,
        "recalled": recalled.records,
        "retrained": f"{anew.model}@{anew.version}",
        "affected_since": asked_again.changed.models.new,
        "state": closed.state,
        "promotion": {
            "before": None if first else f"{trainings[0].model}@{trainings[0].version}",
            "refused": refused,
            "promoted": None if against else f"{anew.model}@{anew.version}",
            "accuracy": round(accuracy, 4),
        },
    }
