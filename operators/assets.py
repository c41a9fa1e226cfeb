"""The Airflow asset of an admitted dataset, and its ``lazaretto://`` URIs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Asset

from lazaretto.operators.hook import DEFAULT_CONNECTION

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from openlineage.client.event_v2 import Dataset

SCHEME = "lazaretto"


def admitted(
    dataset: str,
    *,
    watch: bool = False,
    lazaretto_conn_id: str = DEFAULT_CONNECTION,
    poll_interval: float = 60.0,
) -> Asset:
    """The asset of an admitted dataset, which every admission updates: schedule training on it.

    What people publish on the review page is announced by the page. What they publish or recall
    with the command line happens outside of Airflow. With `watch`, the triggerer looks at the
    ledger and announces these versions, too, and what the page could not announce.

    Args:
        dataset: the name of the admitted dataset, as in the policy.
        watch: announce every version that is on record, whoever made it; the triggerer must run.
            For the DAG that is scheduled on the asset.
        lazaretto_conn_id: connection that says where the catalog is, for `watch`.
        poll_interval: seconds between two looks, for `watch`.

    Raises:
        UsageError: the name cannot be a dataset's.

    Examples:
        >>> admitted("reviews").uri
        'lazaretto://reviews'
    """
    from lazaretto.names import asset_name, asset_uri, check_dataset_name

    check_dataset_name(dataset)
    name, uri = asset_name(dataset), asset_uri(dataset)
    if not watch:
        return Asset(name=name, uri=uri, group=SCHEME)
    from airflow.sdk import AssetWatcher

    from lazaretto.operators.triggers import DatasetVersionTrigger

    trigger = DatasetVersionTrigger(dataset, lazaretto_conn_id, poll_interval)
    watcher = AssetWatcher(name=f"{name}-versions", trigger=trigger)
    return Asset(name=name, uri=uri, group=SCHEME, watchers=[watcher])


def create_asset(*, dataset: str) -> Asset:
    """Factory that the provider declares for the scheme; same as `admitted`."""
    return admitted(dataset)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Accepts ``lazaretto://<dataset>``, and nothing behind it.

    Raises:
        ValueError: there is no dataset, or there is more than a dataset.
    """
    if not uri.netloc or uri.path.strip("/") or uri.query or uri.fragment:
        raise ValueError(f"expected {SCHEME}://<dataset>, got {uri.geturl()!r}")
    return uri._replace(path="")


def to_openlineage(asset: Asset, lineage_context: object) -> Dataset:  # noqa: ARG001
    """Names the asset in lineage as the ledger's events do: by the dataset's place in the store.

    Raises:
        UsageError: nothing says where that is; then Airflow's events do not name the asset.
    """
    from openlineage.client.event_v2 import Dataset

    from lazaretto.dataset.files import dataset_path
    from lazaretto.lineage.openlineage.naming import dataset_name
    from lazaretto.storage.settings import resolve_settings
    from lazaretto.storage.store import Store

    path = dataset_path(asset.uri.removeprefix(f"{SCHEME}://"))
    namespace, name = dataset_name(Store.at(resolve_settings(home=False).store).uri(path))
    return Dataset(namespace=namespace, name=name)
