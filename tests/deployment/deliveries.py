"""What the deployment's source delivers: real digits, clean, poisoned, broken, unsigned, forged."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from parts import DROP, STORE

from lazaretto.addresses import MANIFEST_SUFFIX

if TYPE_CHECKING:
    import pyarrow as pa
    from parts import Deployment

    from lazaretto.demo.digits import Records
    from lazaretto.storage.workspace import Workspace

SOURCE = "vendor-a"


@dataclass(frozen=True, slots=True)
class Vendor:
    """The source, its key, and its clean records, which are delivered once each.

    Attributes:
        workspace: catalog and store of the deployment.
        records: what may be delivered.
        folder: where files are made before they are put into the bucket.
        private_key: of the source.
    """

    workspace: Workspace
    records: Records
    folder: Path
    private_key: bytes = field(repr=False)

    def part(self, start: int, stop: int) -> Records:
        """Some of the records."""
        return self.records.take(np.arange(start, stop))

    def poisoned(self, start: int, stop: int) -> Records:
        """Some of them, an eighth of which carries a trigger."""
        from lazaretto.demo.digits import poison

        return poison(self.part(start, stop), 0.125, np.random.default_rng(1))

    def broken(self, start: int, stop: int) -> pa.Table:
        """Some of them, in a form that breaks the contract."""
        from lazaretto.demo.deliveries import break_contract

        return break_contract(self.part(start, stop), np.random.default_rng(0))

    def deliver(
        self, name: str, content: Records | pa.Table, *, signed: bool = True, forged: bool = False
    ) -> str:
        """Puts a delivery into the bucket, its manifest beside it; returns its address."""
        import pyarrow as pa
        import pyarrow.parquet as pq
        import s3fs

        from lazaretto.demo.deliveries import to_table
        from lazaretto.sources.manifest import keygen, sign_manifest

        file = self.folder / f"{name}.parquet"
        pq.write_table(content if isinstance(content, pa.Table) else to_table(content), file)
        now = datetime.now(UTC)
        envelope = sign_manifest(
            file,
            source=SOURCE,
            private_key=keygen()[0] if forged else self.private_key,
            collected_from=now - timedelta(days=1),
            collected_to=now,
        )
        files, place = s3fs.S3FileSystem(), f"{DROP}/{SOURCE}/{file.name}"
        files.put_file(str(file), place)
        if signed:
            files.pipe_file(place + MANIFEST_SUFFIX, envelope)
        return f"s3://{place}"


def set_up(deployment: Deployment) -> Vendor:
    """Registers the source, writes the policy and fits the reference."""
    from lazaretto.demo.deliveries import to_table
    from lazaretto.demo.digits import load_split
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.registry.references import save_reference
    from lazaretto.sources.manifest import keygen
    from lazaretto.sources.registry import add_key, add_source
    from lazaretto.storage.workspace import open_workspace
    from lazaretto.values import TrustTier

    demo = Path(str(find_spec("lazaretto.demo").origin)).with_name("policy.yaml")  # type: ignore[union-attr]
    rules = yaml.safe_load(demo.read_text())
    rules["sources"]["places"] = [f"s3://{DROP}/{{source}}"]
    file = Path(deployment.environment["LAZARETTO_POLICY"])
    file.write_text(yaml.safe_dump(rules))
    policy = Policy.load(file)
    workspace = open_workspace(catalog_url=deployment.catalog_url, store=STORE, create=False)
    private, public = keygen()
    add_source(workspace, SOURCE, trust_tier=TrustTier.REVIEWED)
    add_key(workspace, SOURCE, public, valid_from=datetime.now(UTC) - timedelta(days=30))
    split = load_split(0, test=60)
    save_reference(
        workspace, Reference.fit(to_table(split.trusted), policy, name=policy.dataset, seed=0)
    )
    folder = deployment.folder / "made"
    folder.mkdir()
    return Vendor(workspace, split.delivered, folder, private)
