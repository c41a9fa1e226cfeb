"""Plays the demo on a bucket whose server is killed and started again between any two steps.

Run as a program: ``demo_on_bucket.py FOLDER OUT``, with credentials in the environment. Prints how
often the server was killed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from buckets import Bucket

from lazaretto.demo import run_demo


def main(folder: Path, out: Path) -> None:
    """A step is a day's deliveries, a training, the incident, or the drill."""
    bucket, kills = Bucket("rclone", folder), 0
    os.environ["AWS_ENDPOINT_URL"] = bucket.url
    bucket.start()

    def restart(_text: str, _done: int, _total: int) -> None:
        nonlocal kills
        kills += 1
        bucket.stop()
        bucket.start()

    try:
        run_demo(out=out, seed=11, store="s3://bucket/try", progress=restart)
    finally:
        bucket.stop()
    print(kills)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
