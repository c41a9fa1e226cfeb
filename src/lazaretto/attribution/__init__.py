"""Which training records, batches and sources drove wrong predictions of a model."""

from lazaretto.attribution.inputs import Queries, Training
from lazaretto.attribution.procedure import attribute
from lazaretto.attribution.result import Attribution, BatchShare, Planted, SourceShare

__all__ = [
    "Attribution",
    "BatchShare",
    "Planted",
    "Queries",
    "SourceShare",
    "Training",
    "attribute",
]
