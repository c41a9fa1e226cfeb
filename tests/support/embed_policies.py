"""Policies of one dataset with this or that encoder."""

from __future__ import annotations

import lazaretto as lz


def policy(embed: dict[str, object], **columns: object) -> lz.Policy:
    """A policy with the columns id and label, and this section ``embed``."""
    return lz.Policy.model_validate(
        {
            "version": 1,
            "dataset": "toy",
            "columns": {"record_id": "id", "label": "label", **columns},
            "embed": embed,
            "screen": {"min_poison_share": 0.2, "detectors": {"mahalanobis": {}, "knn_label": {}}},
        }
    )
