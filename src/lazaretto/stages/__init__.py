"""The stages of a batch's way, one file each.

All are idempotent: called again with the same inputs, a stage returns what it returned before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lazy import load_lazily

if TYPE_CHECKING:
    from lazaretto.dataset.admission import Admission as Admission
    from lazaretto.stages.admit import admit as admit
    from lazaretto.stages.alias_model import Alias as Alias
    from lazaretto.stages.alias_model import alias_model as alias_model
    from lazaretto.stages.alias_model import list_aliases as list_aliases
    from lazaretto.stages.deliver import Delivered as Delivered
    from lazaretto.stages.deliver import deliver as deliver
    from lazaretto.stages.embed import embed as embed
    from lazaretto.stages.export import Export as Export
    from lazaretto.stages.export import export as export
    from lazaretto.stages.gate import gate as gate
    from lazaretto.stages.ingest import Ingestion as Ingestion
    from lazaretto.stages.ingest import ingest as ingest
    from lazaretto.stages.judge_with import judge_with as judge_with
    from lazaretto.stages.judgement import Judgement as Judgement
    from lazaretto.stages.models import list_models as list_models
    from lazaretto.stages.models import show_model as show_model
    from lazaretto.stages.receive import receive as receive
    from lazaretto.stages.register_model import ModelVersion as ModelVersion
    from lazaretto.stages.register_model import register_model as register_model
    from lazaretto.stages.rejudge import rejudge as rejudge
    from lazaretto.stages.results import StageResult as StageResult
    from lazaretto.stages.retrain import retrain_and_compare as retrain_and_compare
    from lazaretto.stages.sanitize_result import Retraining as Retraining
    from lazaretto.stages.sanitize_result import SanitizeResult as SanitizeResult
    from lazaretto.stages.sanitize_training import sanitize_training as sanitize_training
    from lazaretto.stages.screen import screen as screen
    from lazaretto.stages.snapshot import snapshot as snapshot
    from lazaretto.stages.taken import Snapshot as Snapshot
    from lazaretto.stages.taken import open_snapshot as open_snapshot
    from lazaretto.stages.trace_prediction import PredictionTrace as PredictionTrace
    from lazaretto.stages.trace_prediction import trace_prediction as trace_prediction
    from lazaretto.stages.validate import validate as validate

# A task uses one stage, and loading the others takes longer than a small delivery.
_HOMES = {
    "Admission": "lazaretto.dataset.admission",
    "Delivered": "lazaretto.stages.deliver",
    "Export": "lazaretto.stages.export",
    "Alias": "lazaretto.stages.alias_model",
    "Ingestion": "lazaretto.stages.ingest",
    "Judgement": "lazaretto.stages.judgement",
    "ModelVersion": "lazaretto.stages.register_model",
    "PredictionTrace": "lazaretto.stages.trace_prediction",
    "Retraining": "lazaretto.stages.sanitize_result",
    "SanitizeResult": "lazaretto.stages.sanitize_result",
    "Snapshot": "lazaretto.stages.taken",
    "StageResult": "lazaretto.stages.results",
    "admit": "lazaretto.stages.admit",
    "alias_model": "lazaretto.stages.alias_model",
    "deliver": "lazaretto.stages.deliver",
    "embed": "lazaretto.stages.embed",
    "export": "lazaretto.stages.export",
    "gate": "lazaretto.stages.gate",
    "ingest": "lazaretto.stages.ingest",
    "judge_with": "lazaretto.stages.judge_with",
    "list_aliases": "lazaretto.stages.alias_model",
    "list_models": "lazaretto.stages.models",
    "open_snapshot": "lazaretto.stages.taken",
    "receive": "lazaretto.stages.receive",
    "register_model": "lazaretto.stages.register_model",
    "rejudge": "lazaretto.stages.rejudge",
    "retrain_and_compare": "lazaretto.stages.retrain",
    "sanitize_training": "lazaretto.stages.sanitize_training",
    "screen": "lazaretto.stages.screen",
    "show_model": "lazaretto.stages.models",
    "snapshot": "lazaretto.stages.snapshot",
    "trace_prediction": "lazaretto.stages.trace_prediction",
    "validate": "lazaretto.stages.validate",
}

__all__ = [*_HOMES]  # noqa: PLE0604

load_lazily(__name__, _HOMES)
