"""The methods by the names that a policy uses."""

from __future__ import annotations

from collections.abc import Callable

from lazaretto.sanitize.problem import Problem
from lazaretto.sanitize.scores import Scores
from lazaretto.sanitize.whitened_spectral import whitened_spectral

Method = Callable[[Problem], Scores]

METHODS: dict[str, Method] = {"whitened_spectral": whitened_spectral}
"""Name in the policy -> method."""
