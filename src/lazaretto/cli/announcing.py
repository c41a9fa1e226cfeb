"""Telling an Airflow of a version that the command line made: ``--announce-to``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lazaretto.cli.reviewing import token

if TYPE_CHECKING:
    from lazaretto.dataset.announce_http import AirflowApi
    from lazaretto.storage.workspace import Workspace

AnnounceTo = Annotated[
    str | None,
    typer.Option(
        "--announce-to",
        envvar="LAZARETTO_ANNOUNCE_TO",
        metavar="URL",
        help="Airflow to tell of the new version, so that training starts; its token comes from "
        "LAZARETTO_TOKEN",
    ),
]


def airflow_at(url: str | None) -> AirflowApi | None:
    """The Airflow to tell; None where none is named.

    Raises:
        UsageError: its address is not one, or there is no token; nothing was done yet.
    """
    if url is None:
        return None
    from lazaretto.dataset.announce_http import AirflowApi, check_airflow_url

    return AirflowApi(check_airflow_url(url, name="--announce-to"), token("--announce-to"))


def announce(workspace: Workspace, dataset: str, made: int, airflow: AirflowApi) -> str:
    """Tells Airflow of a version; what goes wrong undoes nothing.

    Args:
        workspace: catalog and store.
        dataset: its name.
        made: ledger entry that made the version.
        airflow: whom to tell.

    Returns:
        Why nobody was told, in words; empty where the version is announced, now or before.
    """
    from lazaretto.dataset.announce_http import announce_over_http
    from lazaretto.errors import LazarettoError

    try:
        announce_over_http(workspace, dataset, made, airflow)
    except LazarettoError as error:
        return (
            f"it is done, but Airflow was not told: {error}. A DAG that is scheduled on "
            "admitted(..., watch=True) is told of it by the triggerer"
        )
    return ""
