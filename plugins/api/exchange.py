"""A case as a file, and decisions that come back as one."""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from lazaretto.plugins.api.bodies import LONGEST_REASON, PREFIX
from lazaretto.plugins.records import FilterQuery
from lazaretto.plugins.security import Reader, SignedIn, may_decide, may_read
from lazaretto.plugins.site import answer
from lazaretto.quarantine.export import export_case
from lazaretto.quarantine.importing import LARGEST, as_told, import_decisions, read_decisions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.plugins.site import Site

_IN_MEMORY = 8 * 2**20
_TYPES = {
    "csv": ("text/csv; charset=utf-8", "csv"),
    "parquet": ("application/vnd.apache.parquet", "parquet"),
    "argilla": ("application/json", "json"),
}


class ImportBody(BaseModel):
    """A file of decisions; without `apply` it is only checked and counted."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["csv", "argilla"]
    text: str = Field(max_length=LARGEST)
    reason: str | None = Field(None, min_length=1, max_length=LONGEST_REASON)
    seen: int | None = Field(None, ge=0)
    apply: bool = False


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    api, workspace = APIRouter(prefix=PREFIX), site.workspace

    @api.get("/cases/{case}/export", dependencies=[may_read])
    def export(
        request: Request,
        case: str,
        reader: Reader,
        format: Literal["csv", "parquet", "argilla"],  # noqa: A002
    ) -> Response:
        wanted = FilterQuery.of(request.query_params)
        file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  _pieces closes it
        try:
            export_case(workspace().acting(reader), case, file, format, wanted.filter)
        except BaseException:
            file.close()
            raise
        media_type, ending = _TYPES[format]
        # The id of a case that was found is letters, digits and a hyphen.
        name = {"Content-Disposition": f'attachment; filename="{case}.{ending}"'}
        return StreamingResponse(_pieces(file), media_type=media_type, headers=name)

    @api.post("/cases/{case}/import", dependencies=may_decide)
    def import_(case: str, body: ImportBody, actor: SignedIn) -> Response:
        acting = workspace().acting(actor)
        found = read_decisions(acting, case, body.text.encode(), body.format)
        made = []
        if body.apply:
            made = import_decisions(acting, found, reason=body.reason, seen=body.seen)
        return answer(as_told(found, made))

    return api


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(2**20):
            yield piece
