"""Which dataset a request is about, and what somebody may do with it by Airflow's auth manager.

A dataset is an asset of Airflow's. An auth manager that decides asset by asset is asked about that
one, so that nobody reaches a case of another dataset by its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.names import asset_uri
from lazaretto.storage.tables import case, dataset_policy, decision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal

    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

    from lazaretto.storage.workspace import Workspace


def dataset_of(workspace: Callable[[], Workspace], parameters: Mapping[str, Any]) -> str | None:
    """The dataset that a request is about, by what its address names; None: none in particular.

    Args:
        workspace: opens catalog and store, where they are needed.
        parameters: of the address: ``case``, ``decision`` or ``dataset``.
    """
    if "dataset" in parameters:
        return str(parameters["dataset"])
    query = sa.select(case.c.dataset)
    if "case" in parameters:
        query = query.where(case.c.id == str(parameters["case"]))
    elif "decision" in parameters:
        query = query.join(decision, decision.c.case_id == case.c.id)
        query = query.where(decision.c.id == str(parameters["decision"]))
    else:
        return None
    with workspace().catalog.read() as connection:
        found = connection.scalar(query)
    return None if found is None else str(found)


def is_allowed(user: BaseUser, method: Literal["GET", "PUT"], dataset: str | None) -> bool:
    """Whether somebody may read (``GET``) or change (``PUT``) a dataset's asset.

    Where Airflow knows no asset of the dataset, and where none is named, it is asked about assets
    in general.
    """
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import AssetDetails

    details = AssetDetails(id=None if dataset is None else _asset_id(dataset))
    manager = get_auth_manager()
    return bool(manager.is_authorized_asset(method=method, details=details, user=user))


def hidden_datasets(workspace: Workspace, user: BaseUser) -> list[str]:
    """Datasets whose cases somebody may not see in a list."""
    return forbidden_datasets(workspace, user, "GET")


def forbidden_datasets(
    workspace: Workspace, user: BaseUser, method: Literal["GET", "PUT"]
) -> list[str]:
    """Datasets that somebody may not read (``GET``) or change (``PUT``)."""
    with workspace.catalog.read() as connection:
        names = connection.scalars(sa.select(dataset_policy.c.dataset)).all()
    return [name for name in names if not is_allowed(user, method, name)]


def _asset_id(dataset: str) -> str | None:
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session

    query = sa.select(AssetModel.id).where(AssetModel.uri == asset_uri(dataset)).limit(1)
    with create_session() as session:
        found = session.scalar(query)
    return None if found is None else str(found)
