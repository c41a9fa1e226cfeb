"""Which training records, batches and sources drove wrong predictions of a model."""

from lazaretto.attribution.inputs import Queries, Training
from lazaretto.attribution.procedure import attribute
from lazaretto.attribution.result import Attribution, BatchShare, SourceShare

__all__ = ["Attribution", "BatchShare", "Queries", "SourceShare", "Training", "attribute"]
