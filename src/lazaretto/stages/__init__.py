"""The stages of a batch's way, one file each.

All are idempotent: called again with the same inputs, a stage returns what it returned before.
"""

from lazaretto.dataset.admission import Admission
from lazaretto.stages.admit import admit
from lazaretto.stages.embed import embed
from lazaretto.stages.gate import gate
from lazaretto.stages.ingest import Ingestion, ingest
from lazaretto.stages.judgement import Judgement
from lazaretto.stages.receive import receive
from lazaretto.stages.register_model import ModelVersion, register_model
from lazaretto.stages.results import StageResult
from lazaretto.stages.retrain import retrain_and_compare
from lazaretto.stages.sanitize_result import Retraining, SanitizeResult
from lazaretto.stages.sanitize_training import sanitize_training
from lazaretto.stages.screen import screen
from lazaretto.stages.snapshot import Snapshot, snapshot
from lazaretto.stages.validate import validate

__all__ = [
    "Admission",
    "Ingestion",
    "Judgement",
    "ModelVersion",
    "Retraining",
    "SanitizeResult",
    "Snapshot",
    "StageResult",
    "admit",
    "embed",
    "gate",
    "ingest",
    "receive",
    "register_model",
    "retrain_and_compare",
    "sanitize_training",
    "screen",
    "snapshot",
    "validate",
]
