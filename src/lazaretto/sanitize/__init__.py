"""Find poisoned records in a training set by the activations of a model that was trained on it."""

from lazaretto.sanitize.procedure import sanitize
from lazaretto.sanitize.result import Sanitization

__all__ = ["Sanitization", "sanitize"]
