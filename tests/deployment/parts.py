"""A deployment's parts on this machine: PostgreSQL, an S3-compatible server, Airflow's four."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_settings import User, airflow_environment, create_databases, lineage_to
from servers import PARTS, ROOT, Servers, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgres import Server

DATASET = "handwriting"
STORE = "s3://lazaretto/store"
DROP = "drop"


@dataclass(slots=True, kw_only=True)
class Deployment(Servers):
    """What runs, and how to reach it.

    Attributes:
        server: PostgreSQL, with a database for Airflow and one for the catalog.
        objects: port of the S3-compatible server.
        admin: Airflow's user.
    """

    server: Server
    objects: int
    admin: User

    @property
    def catalog_url(self) -> str:
        """Of Lazaretto's catalog."""
        return self.server.url("lazaretto")

    @property
    def told(self) -> Path:
        """Where the test DAGs' notifier writes."""
        return self.folder / "told.txt"


@contextlib.contextmanager
def deployment(folder: Path, server: Server) -> Iterator[Deployment]:
    """Brings the parts up in a folder, and takes them down again."""
    found = _prepare(folder, server)
    try:
        found.start("objects", sys.executable, "-m", "moto.server", "-p", str(found.objects))
        create_databases(server.url("postgres"), ("airflow", "lazaretto"))
        found.wait_for_port(found.objects)
        _make_buckets(found)
        found.run("airflow", "db", "migrate")
        place = ("--catalog", found.catalog_url, "--store", STORE)
        found.run("lazaretto", "catalog", "upgrade", *place)
        for part in PARTS:
            found.start(part)
        found.wait_for_port(found.port)
        yield found
    finally:
        found.stop()


def _prepare(folder: Path, server: Server) -> Deployment:
    api, objects, admin = free_port(), free_port(), User("admin", "admin")
    home, dags = folder / "airflow", folder / "dags"
    home.mkdir()
    dags.mkdir()
    examples = (ROOT / "dags").glob("lazaretto_ingest*.py")
    for dag in (*examples, Path(__file__).with_name("dags") / "more.py"):
        shutil.copy(dag, dags)
    airflow = airflow_environment(
        folder, api, [admin], home=home, dags=dags, database=server.url("airflow"), parallelism=4
    )
    ours = {
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_ALLOW_HTTP": "true",
        "AWS_CONDITIONAL_PUT": "etag",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{objects}",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "LAZARETTO_DATASET": DATASET,
        "LAZARETTO_POLICY": str(folder / "policy.yaml"),
        "TOLD": str(folder / "told.txt"),
        **lineage_to(folder / "lineage.jsonl", "deployment"),
    }
    return Deployment(folder, api, airflow | ours, server=server, objects=objects, admin=admin)


def _make_buckets(found: Deployment) -> None:
    import s3fs

    os.environ |= {name: value for name, value in found.environment.items() if "AWS_" in name}
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    for bucket in (STORE.split("/")[2], DROP):
        files.mkdir(bucket)
