"""Pictures of held records as this server draws them: decoded in a box, and made anew of pixels.

No byte that was delivered reaches a browser: not the file, no comment, place or thumbnail in it,
and nothing that is another file as well. What cannot be shown is a picture of words that say why.
"""

from __future__ import annotations

import io
import textwrap
from collections import OrderedDict
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.embed.pixels import Thumbnail, read_thumbnails
from lazaretto.errors import DeletedPayloadError, NotFoundError, SystemFaultError
from lazaretto.plugins.cells import file_of, is_picture
from lazaretto.plugins.records import shown_columns
from lazaretto.quarantine.held import POSITION
from lazaretto.quarantine.neighbours import neighbours_of
from lazaretto.quarantine.records import content_of, held_records, held_rows
from lazaretto.registry.trusted import file_in
from lazaretto.storage.sidecars import read_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazaretto.quarantine.records import Content
    from lazaretto.storage.workspace import Workspace

SIZES = {"small": 160, "large": 640}
"""Longer side of a picture at most, pixels."""
AHEAD = 24
"""Pictures of a list that are decoded by one process: whoever looks at one looks at the next."""
MOST_BYTES = 32 * 2**20
"""Bytes of pictures that are kept to be asked for again; and of those decoded by one process."""
_Key = tuple[str, int, int, str]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to show.

    Attributes:
        png: a PNG file, made here.
        why_not: why it shows words and not what was delivered, in these words; None: it does.
    """

    png: bytes
    why_not: str | None


def can_draw() -> bool:
    """Whether pictures can be decoded here: Pillow is in an extra."""
    return find_spec("PIL") is not None


class Pictures:
    """Draws pictures, one process at a time, and keeps the newest few."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, Picture] = OrderedDict()
        self._turn = Lock()

    def of_record(
        self, workspace: Workspace, case: str, position: int, column: int, size: str
    ) -> Picture:
        """The picture in a column of a held record.

        Args:
            workspace: catalog and store.
            case: id of the case.
            position: of the record.
            column: number of the column in the file of held records, from 0.
            size: one of `SIZES`.

        Raises:
            NotFoundError: no such case, record, or column that is shown and holds files.
            DeletedPayloadError: retention deleted the records.
            SystemFaultError: pictures cannot be decoded on this machine.
        """
        _require_pillow()
        content = content_of(workspace, case)
        if content.deleted is not None:
            raise DeletedPayloadError(case, content.file.path, content.deleted)
        with self._turn:
            known = self._known((content.file.sha256, position, column, size))
            if known is not None:
                return known
            name, place = _column(workspace, case, content, column)
            ahead = AHEAD if size == "small" else 1
            index = held_records(workspace, case, after=position - 1, limit=ahead)
            rows = held_rows(workspace, case, [one.position for one in index], [name])
            found = dict(
                zip(
                    rows[POSITION].to_pylist(),
                    (file_of(value, place) for value in rows[name]),
                    strict=True,
                )
            )
            if position not in found:
                raise NotFoundError(f"no record is held at position {position} of {case}")
            drawn = _drawn(_first(found), SIZES[size])
            for at, picture in drawn.items():
                self._keep((content.file.sha256, at, column, size), picture)
            return drawn[position]

    def of_neighbour(
        self, workspace: Workspace, case: str, position: int, rank: int, column: int, size: str
    ) -> Picture:
        """The picture that the reference keeps of a trusted record near a held one.

        Args:
            workspace: catalog and store.
            case: id of the case.
            position: of the held record.
            rank: 0 for the nearest.
            column: number of the column in the file of held records, from 0.
            size: one of `SIZES`.

        Raises:
            NotFoundError: there is no such record, or no picture of it is kept.
            SystemFaultError: pictures cannot be decoded on this machine.
        """
        _require_pillow()
        content = content_of(workspace, case)
        with self._turn:
            key = (f"{content.file.sha256}/{rank}", position, column, size)
            known = self._known(key)
            if known is not None:
                return known
            name, _ = _column(workspace, case, content, column)
            near = neighbours_of(workspace, case, [position]).near.get(position, [])
            kept = {at: one.content.get(name) for at, one in enumerate(near)}
            files = {at: data for at, data in kept.items() if isinstance(data, bytes)}
            if rank not in files:
                raise NotFoundError("no such picture of a trusted record is kept")
            for at, picture in _drawn(files, SIZES[size]).items():
                self._keep((f"{content.file.sha256}/{at}", position, column, size), picture)
            return self._kept[key]

    def _known(self, key: _Key) -> Picture | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def _keep(self, key: _Key, picture: Picture) -> None:
        self._kept[key] = picture
        while len(self._kept) > 1 and sum(len(p.png) for p in self._kept.values()) > MOST_BYTES:
            self._kept.popitem(last=False)


def _require_pillow() -> None:
    if not can_draw():
        raise SystemFaultError("pictures cannot be shown here: pip install 'lazaretto[images]'")


def _column(workspace: Workspace, case: str, content: Content, number: int) -> tuple[str, str]:
    """Name of a column that reviewers see, and where in its values files are."""
    schema = read_schema(workspace.store, content.file)
    if number < len(schema):
        field = schema.field(number)
        place = file_in(field.type)
        if place is not None and field.name in shown_columns(content.columns, schema.names):
            return field.name, place
    raise NotFoundError(f"column {number} of {case} holds no pictures that are shown")


def _first(files: dict[int, bytes | None]) -> dict[int, bytes | None]:
    """As many as are decoded at once, at least one."""
    taken: dict[int, bytes | None] = {}
    room = MOST_BYTES
    for position, data in sorted(files.items()):
        room -= len(data or b"")
        if taken and room < 0:
            break
        taken[position] = data
    return taken


def _drawn(files: Mapping[int, bytes | None], size: int) -> dict[int, Picture]:
    """What to show of some files."""
    asked = [position for position, data in files.items() if is_picture(data)]
    found: dict[int, Thumbnail | str] = dict.fromkeys(files, "it is no PNG or JPEG file")
    if asked:
        images = pa.array([files[position] for position in asked], pa.large_binary())
        found |= dict(zip(asked, read_thumbnails(images, size), strict=True))
    return {position: _picture(one) for position, one in found.items()}


def _picture(found: Thumbnail | str) -> Picture:
    from PIL import Image

    if isinstance(found, str):
        why = f"This picture cannot be shown: {found}."
        return Picture(_words(why), why)
    return Picture(_png(Image.frombytes("RGB", (found.width, found.height), found.rgb)), None)


def _png(image: object) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")  # type: ignore[attr-defined]
    return written.getvalue()


def _words(text: str) -> bytes:
    """A picture of some words, dark on light in any theme."""
    from PIL import Image, ImageDraw

    lines: Sequence[str] = textwrap.wrap(text, 24)
    image = Image.new("RGB", (SIZES["small"], 16 + 14 * len(lines)), "#f4f6f9")
    ImageDraw.Draw(image).multiline_text((8, 6), "\n".join(lines), fill="#9b1c1c")
    return _png(image)
