"""The ``lazaretto`` connection type: where catalog and store are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor

DEFAULT_CONNECTION = "lazaretto_default"


class LazarettoHook(BaseHook):
    """Opens the workspace that a connection describes.

    It makes nothing: a catalog that is not there yet is made by ``lazaretto catalog upgrade``, once
    for all workers. A slip in an address is an error, and never an empty catalog on one of them.

    The connection's form has fields for the catalog's URL (without a password), the store and the
    namespace; the *extra* holds them as ``catalog_url``, ``store`` and ``namespace``. Its
    *password*, which Airflow encrypts and masks, goes into the catalog URL. With the default
    connection id, the environment and the ``[lazaretto]`` section come first, so that no connection
    is needed at all (see `resolve_settings`).

    Args:
        lazaretto_conn_id: the connection.

    Examples:
        >>> LazarettoHook("lazaretto_default").lazaretto_conn_id
        'lazaretto_default'
    """

    conn_name_attr = "lazaretto_conn_id"
    default_conn_name = DEFAULT_CONNECTION
    conn_type = "lazaretto"
    hook_name = "Lazaretto"

    def __init__(self, lazaretto_conn_id: str = DEFAULT_CONNECTION, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lazaretto_conn_id = lazaretto_conn_id

    def workspace(self, actor: Actor | None = None) -> Workspace:
        """Opens catalog and store as they are; neither a task nor a page makes a catalog.

        Args:
            actor: who acts: a task; default: the operating system's user, who only reads.

        Raises:
            UsageError: there is no such connection, it has no catalog or no store in its extra, or
                (the default one) nothing says where they are.
            NotFoundError: there is no catalog where it should be.
            SystemFaultError: the catalog cannot be reached.
        """
        from airflow.sdk.exceptions import AirflowNotFoundException

        from lazaretto.errors import UsageError
        from lazaretto.storage.settings import settings_of_connection
        from lazaretto.storage.workspace import open_workspace

        if self.lazaretto_conn_id == DEFAULT_CONNECTION:
            return open_workspace(actor=actor, create=False, home=False)
        try:
            connection = self.get_connection(self.lazaretto_conn_id)
        except AirflowNotFoundException:
            raise UsageError(
                f"there is no connection {self.lazaretto_conn_id!r}: make it with `airflow "
                f"connections add {self.lazaretto_conn_id} --conn-type lazaretto`"
            ) from None
        found = settings_of_connection(connection)
        if missing := [key for key in ("catalog_url", "store") if key not in found]:
            raise UsageError(
                f"connection {self.lazaretto_conn_id!r} lacks {' and '.join(map(repr, missing))} in"
                ' its extra; for example {"catalog_url": "postgresql+psycopg://me@db/lz", "store":'
                ' "s3://x"}'
            )
        return open_workspace(
            catalog_url=found["catalog_url"],
            store=found["store"],
            namespace=found.get("namespace"),
            create=False,
            actor=actor,
        )

    def test_connection(self) -> tuple[bool, str]:
        """What the button *Test* shows: whether the catalog answers."""
        from lazaretto.errors import LazarettoError

        try:
            workspace = self.workspace()
        except LazarettoError as error:
            return False, str(error)
        return True, f"catalog {workspace.catalog.display_url}, store {workspace.store.root}"
