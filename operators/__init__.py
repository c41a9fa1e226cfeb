"""Airflow operators of Lazaretto, one per stage of a batch's way from delivery to blast radius."""

from __future__ import annotations

from lazaretto.operators.admit_batch import AdmitBatchOperator
from lazaretto.operators.ask_for_review import AskForReviewOperator
from lazaretto.operators.assets import admitted
from lazaretto.operators.await_delivery import AwaitDeliveryOperator
from lazaretto.operators.await_review import AwaitReviewOperator
from lazaretto.operators.drill import DrillOperator
from lazaretto.operators.embed_batch import EmbedBatchOperator
from lazaretto.operators.evaluate_model import EvaluateModelOperator
from lazaretto.operators.flush_lineage import FlushLineageOperator
from lazaretto.operators.hook import LazarettoHook
from lazaretto.operators.ingest_batch import IngestBatchOperator
from lazaretto.operators.maintain_dataset import MaintainDatasetOperator
from lazaretto.operators.open_incident import OpenIncidentOperator
from lazaretto.operators.promote_model import PromoteModelOperator
from lazaretto.operators.quarantine_gate import QuarantineGateOperator
from lazaretto.operators.quarantine_notifier import QuarantineNotifier
from lazaretto.operators.receive_batch import ReceiveBatchOperator
from lazaretto.operators.register_model import RegisterModelOperator
from lazaretto.operators.sanitize_training import SanitizeTrainingOperator
from lazaretto.operators.screen_batch import ScreenBatchOperator
from lazaretto.operators.screened import ScreenedOperator, screened_task
from lazaretto.operators.screened_ingest import screened_ingest
from lazaretto.operators.snapshot_training import SnapshotTrainingOperator
from lazaretto.operators.trace_incident import TraceIncidentOperator
from lazaretto.operators.validate_batch import ValidateBatchOperator

__all__ = [
    "AdmitBatchOperator",
    "AskForReviewOperator",
    "AwaitDeliveryOperator",
    "AwaitReviewOperator",
    "DrillOperator",
    "EmbedBatchOperator",
    "EvaluateModelOperator",
    "FlushLineageOperator",
    "IngestBatchOperator",
    "LazarettoHook",
    "MaintainDatasetOperator",
    "OpenIncidentOperator",
    "PromoteModelOperator",
    "QuarantineGateOperator",
    "QuarantineNotifier",
    "ReceiveBatchOperator",
    "RegisterModelOperator",
    "SanitizeTrainingOperator",
    "ScreenBatchOperator",
    "ScreenedOperator",
    "SnapshotTrainingOperator",
    "TraceIncidentOperator",
    "ValidateBatchOperator",
    "admitted",
    "screened_ingest",
    "screened_task",
]
