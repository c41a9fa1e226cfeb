"""What an evaluation measures, figure by figure, and what it leaves out and says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lazaretto.batch._columns import label_texts
from lazaretto.models.canaries import trigger_canaries
from lazaretto.models.measure import accuracy, calibration, groups, worst
from lazaretto.models.stress import attacked, corrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from lazaretto.models.answers import Answers, Model
    from lazaretto.storage.workspace import Workspace

MOST_SLICES = 200
"""Values of one slice column that are told apart; the rest is one slice."""
_OTHER = "(other)"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is measured besides accuracy.

    Attributes:
        label: column of the answer that must come; None: the policy's.
        slices: columns whose values divide the test set; None: the policy's.
        reads: columns that are damaged for stress; None: the embedding of the policy.
        image: channels, height and width, where a vector is a flattened image.
        epsilon: how far an attack may move a value, in its own unit; None: no attack is tried.
        canaries: rows with the answer that must come; None: there are none.
        cases: of which held records become trigger canaries; default: what was rejected.
        stress: whether rows are damaged.
    """

    label: str | None = None
    slices: Sequence[str] | None = None
    reads: Sequence[str] | None = None
    image: tuple[int, int, int] | None = None
    epsilon: float | None = None
    canaries: pa.Table | None = None
    cases: Sequence[str] = ()
    stress: bool = True


@dataclass(slots=True)
class Made:
    """An evaluation in the making."""

    figures: dict[str, float] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def measure_accuracy(
    made: Made, answers: Answers, truth: list[str], rows: pa.Table, slices: Sequence[str]
) -> None:
    """Accuracy by class and slice, and calibration."""
    made.figures["accuracy"] = accuracy(answers, truth)
    made.more["classes"] = classes = groups(answers, truth, truth)
    if (least := worst(classes)) is not None:
        made.figures["class_accuracy"] = least.accuracy
    found = []
    for name in slices:
        if name not in rows.schema.names:
            made.notes.append(
                f"slices by {name!r} are not measured: the test set has no such column"
            )
            continue
        found += groups(answers, truth, _slices(rows, name))
    made.more["slices"] = found
    if (least := worst(found)) is not None:
        made.figures["slice_accuracy"] = least.accuracy
    calibrated = calibration(answers, truth)
    made.more["calibration"] = calibrated
    if calibrated is not None:
        made.figures["calibration_error"] = calibrated.error
    else:
        made.notes.append("calibration is not measured: the model gives no probabilities")


def _slices(rows: pa.Table, column: str) -> list[str]:
    values = [f"{column}={text}" for text in label_texts(rows, column).to_pylist()]
    many: dict[str, int] = {}
    for value in values:
        many[value] = many.get(value, 0) + 1
    kept = set(sorted(many, key=lambda one: (-many[one], one))[:MOST_SLICES])
    return [value if value in kept else f"{column}={_OTHER}" for value in values]


def measure_stress(
    made: Made,
    ask: Model,
    rows: pa.Table,
    truth: list[str],
    answers: Answers,
    reads: Sequence[str],
    asked: Asked,
) -> None:
    """Accuracy on damaged rows, and under attacks where there is a gradient."""
    if ask.how == "predictions":
        made.notes.append("stress and attacks are not tried: a file cannot be asked")
        return
    if asked.stress:
        found = {
            name: accuracy(ask.answer(damaged), truth)
            for name, damaged in corrupted(rows, reads, asked.image)
        }
        made.more["corruptions"] = found
        if found:
            made.figures["corrupted_accuracy"] = min(found.values())
        else:
            made.notes.append("no damage fits the columns: name them with reads")
    if asked.epsilon is None:
        return
    if ask.module is None or answers.classes is None:
        made.notes.append("attacks are not tried: the model has no gradient that can be followed")
        return
    place = {name: number for number, name in enumerate(answers.classes)}
    targets = [place.get(label, -1) for label in truth]
    attacks = attacked(ask.module, ask.inputs, rows, targets, asked.epsilon)
    made.more |= {"attacks": attacks, "epsilon": asked.epsilon}
    if attacks:
        made.figures["adversarial_accuracy"] = min(attacks.values())
    else:
        made.notes.append("attacks are not tried: the input is no tensor of numbers")


def measure_canaries(
    made: Made,
    workspace: Workspace,
    ask: Model,
    datasets: Sequence[str],
    label: str,
    reads: Sequence[str],
    asked: Asked,
) -> None:
    """Canaries that are given, and those that are made of held poison."""
    if ask.how == "predictions":
        return
    if asked.canaries is not None:
        must = label_texts(asked.canaries, label).to_pylist()
        said = ask.answer(asked.canaries)
        made.figures["canaries"] = accuracy(said, must)
        made.more["canaries"] = len(must)
        made.more["canary_classes"] = groups(said, must, [one or "" for one in must])
    if not reads or not (datasets or asked.cases):
        return
    rows, given, unread = trigger_canaries(workspace, datasets, label, reads, asked.cases)
    made.notes += [f"held records could not be read: {one}" for one in unread]
    if rows is None:
        made.notes.append("there are no trigger canaries: nothing that was held was rejected")
        return
    made.figures["trigger_success"] = accuracy(ask.answer(rows), given)
    made.more["triggers"] = len(given)
