"""The whole demo on a bucket: its server dies between the steps, and its secret is nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from buckets import SECRET, require_server
from many import in_full

SCRIPT = Path(__file__).parents[1] / "support/demo_on_bucket.py"
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
    "LAZARETTO_LOG_LEVEL": "DEBUG",
}


@pytest.mark.timeout(1800)
@pytest.mark.skipif(not in_full(), reason="takes a minute or two; LAZARETTO_LONG=1 runs it")
def test_the_demo_on_a_bucket_ends_as_it_does_on_a_disk(tmp_path: Path) -> None:
    require_server("rclone")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    bucket, out = tmp_path / "buckets", tmp_path / "out"
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "LAZARETTO", "AWS_"))
    }
    done = subprocess.run(
        [sys.executable, SCRIPT, bucket, out],
        capture_output=True,
        text=True,
        env=kept | SETTINGS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 10, "the server was killed between steps"
    said = json.loads((out / "summary.json").read_text())
    assert said["poisoned_records_kept_out"] >= 0.9
    assert said["trace"]["models"] == said["trace"]["expected_models"] != []
    assert said["incident"]["state"] == "CLOSED"
    assert not (out / "store").exists()
    assert list((bucket / "bucket/try/datasets").iterdir()), "the dataset is in the bucket"
    places = [path for top in (out, bucket) for path in top.rglob("*") if path.is_file()]
    assert not [path for path in places if SECRET.encode() in path.read_bytes()]
    assert SECRET not in done.stdout + done.stderr
