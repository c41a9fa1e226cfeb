"""Find poisoned records in a training set by the activations of a model that was trained on it."""

from lazaretto.sanitize.methods.registry import METHODS
from lazaretto.sanitize.picture import class_picture
from lazaretto.sanitize.procedure import sanitize
from lazaretto.sanitize.result import Sanitization

__all__ = ["METHODS", "Sanitization", "class_picture", "sanitize"]
