"""A model version and what speaks against it, for its page and for the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto import models
from lazaretto.stages.models import show_model

if TYPE_CHECKING:
    from lazaretto.models import Examination
    from lazaretto.plugins.asked import AskedVersion
    from lazaretto.storage.workspace import Workspace


def examined(workspace: Workspace, asked: AskedVersion) -> tuple[dict[str, Any], Examination]:
    """The version, and what a promotion to the name would say of it now.

    Args:
        workspace: whoever acts through it is examined as well.
        asked: the version and the name.
    """
    where = asked.registry
    return (
        show_model(workspace, asked.model, asked.version, registry=where),
        models.examine(workspace, asked.model, asked.version, asked.alias, registry=where),
    )
