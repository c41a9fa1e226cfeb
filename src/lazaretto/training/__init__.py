"""What makes surviving poison harmless: data, objectives, ensembles and recipes for a training."""

from lazaretto.training.adversarial import (
    Adversary,
    adversarial_batch,
    curriculum,
    free_steps,
    perturb,
)
from lazaretto.training.augment import cutmix, mixup, noisy, shifted_crop
from lazaretto.training.data import TrainingBatch, TrainingData, training_data
from lazaretto.training.groups import GroupDRO, capped_losses
from lazaretto.training.objectives import (
    generalised_cross_entropy,
    huber,
    penalty,
    trimmed,
    tukey_biweight,
    weighted_mean,
)
from lazaretto.training.partition import partition_records, partition_sources, spread_parts
from lazaretto.training.recorder import DynamicsRecorder, record_dynamics
from lazaretto.training.runoff import run_off
from lazaretto.training.votes import Certified, finite_aggregation, plurality

__all__ = [
    "Adversary",
    "Certified",
    "DynamicsRecorder",
    "GroupDRO",
    "TrainingBatch",
    "TrainingData",
    "adversarial_batch",
    "capped_losses",
    "curriculum",
    "cutmix",
    "finite_aggregation",
    "free_steps",
    "generalised_cross_entropy",
    "huber",
    "mixup",
    "noisy",
    "partition_records",
    "partition_sources",
    "penalty",
    "perturb",
    "plurality",
    "record_dynamics",
    "run_off",
    "shifted_crop",
    "spread_parts",
    "training_data",
    "trimmed",
    "tukey_biweight",
    "weighted_mean",
]
