"""The Airflow asset of an admitted dataset, and its ``lazaretto://`` URIs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Asset

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from openlineage.client.event_v2 import Dataset

SCHEME = "lazaretto"


def admitted(dataset: str) -> Asset:
    """The asset of an admitted dataset, which every admission updates: schedule training on it.

    Args:
        dataset: the name of the admitted dataset, as in the policy.

    Raises:
        UsageError: the name cannot be a dataset's.
    """
    from lazaretto.names import check_dataset_name

    check_dataset_name(dataset)
    return Asset(name=f"{SCHEME}-{dataset}", uri=f"{SCHEME}://{dataset}", group=SCHEME)


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
    """Names the asset in lineage as the ledger's events do: by the dataset's place in the store."""
    from openlineage.client.event_v2 import Dataset

    from lazaretto.dataset.files import dataset_path
    from lazaretto.lineage.openlineage.naming import dataset_name
    from lazaretto.storage.settings import resolve_settings
    from lazaretto.storage.store import Store

    path = dataset_path(asset.uri.removeprefix(f"{SCHEME}://"))
    namespace, name = dataset_name(Store.at(resolve_settings().store).uri(path))
    return Dataset(namespace=namespace, name=name)
