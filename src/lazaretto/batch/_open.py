"""Opens any file as a batch, for whoever wants to look at it: decoded in the box, as deliveries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lazaretto.addresses import local_path
from lazaretto.batch._box import decode
from lazaretto.batch._delivery import copy_bytes, copy_delivery, is_several
from lazaretto.batch._files import file_name, open_file
from lazaretto.batch._format import format_by_name
from lazaretto.batch._places import OF_THIS_MACHINE
from lazaretto.folders import working_folder
from lazaretto.redact import safe_uri

if TYPE_CHECKING:
    from lazaretto.batch._batch import Batch
    from lazaretto.batch._wanted import Wanted
    from lazaretto.policy import Limits


def open_batch(
    uri: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    limits: Limits | None = None,
    wanted: Wanted | None = None,
) -> Batch:
    """Opens a file as a batch.

    It is decoded as a delivery is, in a process with limits, into a copy on this machine's disk
    that goes away with the batch.

    Args:
        uri: one file: a path, or a URI in a bucket; or a folder of images
            or part files.
        format: ``parquet``, ``arrow``, ``csv``, ``jsonl`` or ``images``; default by extension. The
            bytes must agree.
        limits: default `Limits()`.
        wanted: what is known of its columns: their types, which only text formats need, and which
            of them hold ids and labels; default: nothing, and ids are made of whole records.

    Raises:
        DeliveryError: ``unreadable``, ``truncated``, ``wrong_format``, ``zero_rows``,
            ``too_large``, ``too_many_columns``, ``too_deep``, ``record_too_large``,
            ``line_too_long``, ``bad_column_name``, ``unsupported_type``, ``wrong_type``,
            ``out_of_memory``, ``out_of_time``, ``decoder_failed``.
        SystemFaultError: the disk is full, or the decoder cannot be started.

    Examples:
        >>> batch = open_batch("monday.parquet")
        >>> batch.num_rows
        60
    """
    # Not above: the decoding process loads this package, and has no use for the policy's model.
    from lazaretto.policy import Limits

    limits, uri = limits or Limits(), str(uri)
    with working_folder() as folder:
        path = folder / "delivery"
        if is_several(uri):
            format = copy_delivery(uri, path, limits, OF_THIS_MACHINE).format  # noqa: A001
        else:
            # Opened in any case: it says what is wrong with a path or URI.
            with open_file(uri) as file:
                local = local_path(uri)
                if local is None:
                    copy_bytes(file, path, limits, safe_uri(uri))
                else:
                    path = Path(local).expanduser()
            format = format or format_by_name(file_name(uri))  # noqa: A001
        decoded = decode(
            path,
            folder,
            name=safe_uri(uri),
            format=format,
            limits=limits,
            wanted=wanted,
        )
        # Opened here, its copy may lose its name.
        return decoded.open()
