"""The model gate: what a version must show before it is in use.

`promote` makes a name such as ``production`` stand for a version that nothing speaks against;
`demote` and `rollback` take it back; `examine` tells what a promotion would find. `evaluate_file`
measures a version, and its report is the evidence that a policy may ask for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lazy import load_lazily

if TYPE_CHECKING:
    from lazaretto.models.evaluate import Evaluated as Evaluated
    from lazaretto.models.evaluate import evaluate_file as evaluate_file
    from lazaretto.models.evaluate import evaluate_model as evaluate_model
    from lazaretto.models.evidence import Evaluation as Evaluation
    from lazaretto.models.examine import Examination as Examination
    from lazaretto.models.examine import examine as examine
    from lazaretto.models.figures import Asked as Asked
    from lazaretto.models.open_model import ModelSource as ModelSource
    from lazaretto.models.past import PastMove as PastMove
    from lazaretto.models.past import past_moves as past_moves
    from lazaretto.models.promote import Promoted as Promoted
    from lazaretto.models.promote import promote as promote
    from lazaretto.models.take_back import demote as demote
    from lazaretto.models.take_back import last_clean as last_clean
    from lazaretto.models.take_back import rollback as rollback

_HOMES = {
    "Asked": "lazaretto.models.figures",
    "Evaluated": "lazaretto.models.evaluate",
    "evaluate_file": "lazaretto.models.evaluate",
    "evaluate_model": "lazaretto.models.evaluate",
    "Evaluation": "lazaretto.models.evidence",
    "Examination": "lazaretto.models.examine",
    "ModelSource": "lazaretto.models.open_model",
    "PastMove": "lazaretto.models.past",
    "Promoted": "lazaretto.models.promote",
    "demote": "lazaretto.models.take_back",
    "examine": "lazaretto.models.examine",
    "last_clean": "lazaretto.models.take_back",
    "past_moves": "lazaretto.models.past",
    "promote": "lazaretto.models.promote",
    "rollback": "lazaretto.models.take_back",
}

__all__ = [*_HOMES]  # noqa: PLE0604

load_lazily(__name__, _HOMES)
