"""Takes OpenLineage events from any client, as an OpenLineage backend does.

The address is ``/lazaretto/api/v1/lineage``. A client authenticates by a token of Airflow in the
header ``Authorization``; the cookie of a browser does not count here, so that no page of another
site can send events. What is sent is bounded before it is read.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool

from lazaretto.plugins.api.bodies import PREFIX
from lazaretto.plugins.security import SignedIn, may_send
from lazaretto.plugins.site import answer

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

MOST_BYTES = 8 * 2**20
"""Of one request, as it is sent and as it is unpacked."""
MOST_EVENTS = 1_000


def routes(site: Site) -> APIRouter:
    """The route; it has a check of what somebody may do."""
    api, workspace = APIRouter(prefix=PREFIX), site.workspace

    @api.post("/lineage", dependencies=may_send, status_code=201)
    async def take(request: Request, actor: SignedIn) -> Response:
        events = _events(await _body(request))

        def kept() -> Any:
            from lazaretto.lineage import take as take_events

            return take_events(workspace(), events, taken_from=actor.id)

        taken = await run_in_threadpool(kept)
        # What is no run event, such as one of a job alone, is no fault of the client.
        return answer(
            {"events": taken.events, "new": taken.new, "skipped": taken.skipped},
            status=201 if len(taken.skipped) < taken.events else 200,
        )

    return api


async def _body(request: Request) -> bytes:
    """The body, unpacked.

    Raises:
        HTTPException: it is too large, or packed in a way that is not known.
    """
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > MOST_BYTES:
            raise HTTPException(413, f"at most {MOST_BYTES} bytes at once")
    packed = request.headers.get("content-encoding", "identity").lower()
    if packed == "identity":
        return bytes(found)
    if packed != "gzip":
        raise HTTPException(415, "send events as they are, or packed by gzip")
    unpack = zlib.decompressobj(wbits=31)
    try:
        plain = unpack.decompress(bytes(found), MOST_BYTES + 1)
    except zlib.error:
        raise HTTPException(400, "that is no gzip") from None
    if len(plain) > MOST_BYTES:
        raise HTTPException(413, f"at most {MOST_BYTES} bytes at once, unpacked")
    return plain


def _events(body: bytes) -> list[dict[str, Any]]:
    """One event, or a list of some.

    Raises:
        HTTPException: it is something else.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "that is no JSON") from None
    events = value if isinstance(value, list) else [value]
    if len(events) > MOST_EVENTS:
        raise HTTPException(413, f"at most {MOST_EVENTS} events at once")
    if not all(isinstance(event, dict) for event in events):
        raise HTTPException(422, "an event is a JSON object")
    return events
