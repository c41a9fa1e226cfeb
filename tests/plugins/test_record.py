"""The page of one held record: all that is known of it, its pictures, and who looked at it."""

from __future__ import annotations

import io
import re
import struct
import wave
import zlib
from functools import cache
from html import unescape
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, PngImagePlugin
from yard import ANN, Yard, blobs, make_policy

from lazaretto.quarantine.reads import list_reads
from lazaretto.sources.registry import add_source
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.testclient import TestClient

    Token = Callable[[str], dict[str, str]]

pytestmark = pytest.mark.airflow
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
SECRET = b"<script>alert('polyglot')</script>"


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@cache
def picture(number: int) -> bytes:
    """A PNG file with a text in it, and another file behind it."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", SECRET.decode())
    image = Image.new("RGB", (300, 100), (10 * number, 90, 10))
    return saved(image, pnginfo=texts) + b"PK\x03\x04" + SECRET


def sound() -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(np.arange(4_000, dtype="<i2").tobytes())
    return data.getvalue()


def media(rows: pa.Table) -> pa.Table:
    """Records of blobs with a picture, a boxed picture, a sound and a nested value."""
    count = rows.num_rows
    rows = rows.append_column("picture", pa.array([picture(n % 20) for n in range(count)]))
    boxes = [{"bytes": picture(n), "path": EVIL} for n in range(count)]
    rows = rows.append_column(f"box/..{EVIL}", pa.array(boxes))
    rows = rows.append_column("sound", pa.array([sound()] * count))
    return rows.append_column("nested", pa.array([{"a": [EVIL] * 20}] * count))


PAYLOAD_COLUMNS = {"record_id": "id", "label": "label", "embedding": "vector"}
PAYLOAD = ["text", "picture", f"box/..{EVIL}", "sound", "nested", "vector"]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """One for all tests, each of which judges a delivery of its own."""
    from lazaretto.registry.fit_version import fit_version
    from lazaretto.storage.workspace import open_workspace

    folder = tmp_path_factory.mktemp("yard")
    workspace = open_workspace(
        catalog_url=f"sqlite:///{folder / 'catalog.db'}", store=folder / "store", actor=ANN
    )
    columns = {**PAYLOAD_COLUMNS, "payload": PAYLOAD}
    made = Yard(workspace, make_policy(columns=columns), folder)
    add_source(workspace, "vendor-a", trust_tier=TrustTier.REVIEWED)
    fit_version(workspace, media(blobs(900, 1, prefix="t")), made.policy, name="blobs")
    return made


@pytest.fixture
def client(yard: Yard, token: Token) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    app = SecureHeaders(create_app(lambda: yard.workspace))
    return TestClient(app, follow_redirects=False, headers=token("VIEWER"))


_SEEDS = iter(range(100, 200))


def delivery(flips: int = 4) -> pa.Table:
    """Forty records, like no others; the labels of the first are wrong."""
    return media(blobs(40, seed=next(_SEEDS), prefix="m", flips=flips))


def hold(yard: Yard, rows: pa.Table | None = None, **columns: pa.Array) -> str:
    """The case of a delivery."""
    rows = delivery() if rows is None else rows
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    judged = yard.judge("monday", rows)
    assert judged.case is not None
    return judged.case


def test_a_record_has_a_page_with_all_that_is_known_of_it(client: TestClient, yard: Yard) -> None:
    ids = [f"m{EVIL}{n}" for n in range(40)]
    text = [f"record {n} of somebody else\x00\u202e" for n in range(40)]
    case = hold(yard, id=pa.array(ids), text=pa.array(text))
    listed = client.get(f"/cases/{case}").text
    assert f'href="/cases/{case}/records/1"' in listed
    page = client.get(f"/cases/{case}/records/1")
    assert page.status_code == 200
    told = unescape(page.text)
    for words in (
        "Its label is not that of the trusted records around it.",
        "of its 5 nearest trusted records 100%",
        "Of reference blobs/1, by the distance that screening measures.",
        "labelled <b>1</b>, at distance",
        "it came without a signed manifest",
        "trusted as REVIEWED when it delivered",
        "the source does not say when",
        "Received</dt><dd>20",
        "user:ann",
        "A delivery was authenticated, decoded once, and kept.",
        f"lazaretto ledger show --batch {yard_batch(case, yard)}",
        "WAV sound of 0.50 seconds, 1 channel, 8,000 Hz",
        "vector of 8 numbers, length",
        "Marked words are not in the nearest trusted record.",
        "… (20 in all)",
    ):
        assert words in told, words
    marked = re.findall(r"<mark>([^<]*)</mark>", page.text)
    assert any("somebody else\\x00\\u202e" in words for words in marked)
    assert 'rel="prev"' in page.text
    assert 'rel="next"' in page.text
    for shown in (listed, page.text):
        assert not re.search(r"<script(?! type=\"module\"| src=)|onerror=(?!alert\(2\)&gt;)", shown)
        assert " style=" not in shown
        assert "\x00" not in shown
        assert "\u202e" not in shown
    assert client.get(f"/cases/{case}/records/39").status_code == 404
    assert client.get("/cases/case-x/records/0").status_code == 404
    assert client.get(f"/cases/{case}/records/{10**30}").status_code == 422


def yard_batch(case: str, yard: Yard) -> str:
    from lazaretto.quarantine.review import show_case

    return show_case(yard.workspace, case).batch


def test_the_same_is_in_the_api(client: TestClient, yard: Yard) -> None:
    case = hold(yard)
    whole = client.get(f"/api/v1/cases/{case}/records/2").json()
    record, told = whole["record"], whole["provenance"]
    assert record["index"]["record_id"] == "m2"
    assert [finding["by"] for finding in record["findings"]] == ["knn_label"]
    assert [cell["kind"] for cell in record["cells"]] == [
        "text", "picture", "picture", "sound", "nested", "vector",
    ]  # fmt: skip
    assert record["cells"][0]["pieces"]
    assert [near["label"] for near in record["neighbours"]] == ["2"] * 3
    assert all(re.fullmatch(r"t\d+", near["record_id"]) for near in record["neighbours"])
    assert (whole["before"], whole["after"], whole["reference"]) == (1, 3, "blobs/1")
    assert (told["source"], told["trust_tier"], told["signature"]) == (
        "vendor-a", "REVIEWED", "UNSIGNED",
    )  # fmt: skip
    text = client.get(f"/api/v1/cases/{case}/records/2").text
    assert "PNG\\r" not in text
    assert "PK" not in text
    assert client.get(f"/api/v1/cases/{case}/records/20").status_code == 404


def test_cells_that_fail_are_marked_with_their_rule(client: TestClient, yard: Yard) -> None:
    rows = blobs(40, seed=next(_SEEDS), prefix="m", flips=4)
    values = rows["id"].to_pylist()
    values[7] = None
    columns = {**PAYLOAD_COLUMNS, "payload": ["id", "text"]}
    screen = make_policy().screen.model_dump(exclude_unset=True) | {"reference": "blobs"}
    named = Yard(
        yard.workspace, make_policy(dataset="cells", columns=columns, screen=screen), yard.folder
    )
    case = hold(named, rows.set_column(0, "id", pa.array(values)))
    told = client.get(f"/api/v1/cases/{case}/records/7").json()["record"]
    (finding,) = told["findings"]
    assert (finding["kind"], finding["column"]) == ("contract", "id")
    failing = {cell["column"]: cell["wrong"] for cell in told["cells"]}
    assert failing["text"] == []
    (words,) = failing["id"]
    assert words.startswith(finding["by"])
    page = client.get(f"/cases/{case}/records/7").text
    assert '<dt class="fails">id</dt>' in page
    assert words.split(": ")[1][:30] in unescape(page)


def _sources(page: str) -> list[str]:
    return [unescape(source) for source in re.findall(r'<img src="([^"]*)"', page)]


def test_pictures_are_made_anew(client: TestClient, yard: Yard) -> None:
    case = hold(yard)
    listed = _sources(client.get(f"/cases/{case}").text)
    assert len(listed) == 8  # two of each of the four records
    alone = _sources(client.get(f"/cases/{case}/records/3").text)
    assert len(alone) == 2 + 2 * 3  # and two of each neighbour
    for source in [*listed[:3], *alone[:4]]:
        answer = client.get(source)
        assert answer.status_code == 200, source
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-lazaretto-picture"] == "shown"
        assert SECRET not in answer.content
        assert b"PK" not in answer.content
        assert b"tEXt" not in answer.content
        with Image.open(io.BytesIO(answer.content)) as image:
            side = 300 if "size=large" in source else 160
            assert (image.size, image.mode) == ((side, round(side / 3)), "RGB")
            assert not image.info
    red = {Image.open(io.BytesIO(client.get(s).content)).getpixel((1, 1)) for s in listed[::2]}
    assert red == {(10 * n, 90, 10) for n in range(4)}


def _claims_much() -> bytes:
    whole = saved(Image.new("L", (8, 8)))
    head = struct.pack(">II", 50_000, 50_000) + whole[24:29]
    body = b"IHDR" + head
    return whole[:12] + body + struct.pack(">I", zlib.crc32(body)) + whole[33:]


BROKEN: dict[str, tuple[bytes | None, str]] = {
    "cut": (picture(1)[:60], "it is broken"),
    "claims much": (_claims_much(), "pixels"),
    "a page": (b"\x89PNG\r\n\x1a\n" + SECRET, "it is broken"),
    "another page": (b"\xff\xd8\xff" + SECRET, "it is broken"),
    "gif": (saved(Image.new("RGB", (8, 8)), "GIF"), "no PNG or JPEG"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "no PNG or JPEG"),
    "empty": (b"", "no PNG or JPEG"),
    "none": (None, "no PNG or JPEG"),
}


def test_what_cannot_be_shown_is_a_picture_of_words(client: TestClient, yard: Yard) -> None:
    given = [data for data, _ in BROKEN.values()]
    pictures = pa.array(given + [picture(0)] * (40 - len(given)), pa.binary())
    case = hold(yard, delivery(flips=len(given)), picture=pictures)
    number = yard_column(case, yard, "picture")
    for position, (_, why) in enumerate(BROKEN.values()):
        answer = client.get(f"/cases/{case}/records/{position}/image/{number}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert why in answer.headers["x-lazaretto-picture"]
        assert SECRET not in answer.content
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.width == 160
            assert len(image.getcolors(maxcolors=10_000) or []) > 1  # there are words on it
    assert "<svg xmlns" not in client.get(f"/cases/{case}").text


def yard_column(case: str, yard: Yard, name: str) -> int:
    from lazaretto.quarantine.records import content_of
    from lazaretto.storage.sidecars import read_schema

    file = content_of(yard.workspace, case).file
    return read_schema(yard.workspace.store, file).get_field_index(name)


def test_only_pictures_that_reviewers_see_are_given_out(
    client: TestClient, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = delivery()
    rows = rows.append_column("hidden", rows["picture"])
    case = hold(yard, rows)
    at = f"/cases/{case}/records"
    hidden, text = (yard_column(case, yard, name) for name in ("hidden", "text"))
    good = yard_column(case, yard, "picture")
    assert client.get(f"{at}/0/image/{good}").status_code == 200
    for path in (
        f"0/image/{hidden}", f"0/image/{text}", "0/image/999", f"9/image/{good}",
        f"0/neighbours/7/image/{good}", f"0/neighbours/0/image/{hidden}",
    ):  # fmt: skip
        assert client.get(f"{at}/{path}").status_code == 404, path
    for path in (f"0/image/{good}?size=2000", "0/image/-1", "x/image/1", "0/image/picture"):
        assert client.get(f"{at}/{path}").status_code == 422, path
    monkeypatch.setattr("lazaretto.plugins.pictures.can_draw", lambda: False)
    monkeypatch.setattr("lazaretto.plugins.pages.record.can_draw", lambda: False)
    missing = client.get(f"{at}/0/image/{good}")
    assert missing.status_code == 503
    assert "lazaretto[images]" in unescape(missing.text)
    page = client.get(f"{at}/0").text
    assert "<img" not in page
    assert "install lazaretto[images]" in page


def test_a_page_of_pictures_is_decoded_by_one_process(
    client: TestClient, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lazaretto.embed import pixels

    started = []
    run = pixels._wait

    def counted(folder: Path, seconds: int) -> int | None:
        started.append(folder)
        return run(folder, seconds)

    case = hold(yard)
    monkeypatch.setattr(pixels, "_wait", counted)
    sources = [s for s in _sources(client.get(f"/cases/{case}").text) if "small" in s][::2]
    assert {client.get(source).status_code for source in sources} == {200}
    assert len(started) == 1


def test_who_looks_is_on_the_read_log_once(
    client: TestClient, yard: Yard, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = hold(yard)
    page = client.get(f"/cases/{case}?label=1").text
    for source in _sources(page)[:1]:
        client.get(source)
    client.get(f"/cases/{case}?label=1")
    (read,) = list_reads(yard.workspace, case)
    assert (read.actor.id, read.actor.authenticated, read.via) == ("user:viewer", True, "page")
    assert read.filter == {"label": "1"}
    client.get(f"/api/v1/cases/{case}/records/3", headers=token("OP"))
    assert client.get(f"/cases/{case}/records/3").status_code == 200  # it was on the page
    assert client.get(f"/cases/{case}/records/1").status_code == 200  # between, but not on it
    newest = list_reads(yard.workspace, case)
    assert [(one.actor.id, one.via, one.records) for one in newest[:2]] == [
        ("user:viewer", "page", 1), ("user:op", "api", 1),
    ]  # fmt: skip
    client.get("/api/v1/cases", headers=token("OP"))  # shows no content
    assert len(list_reads(yard.workspace, case)) == 3
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True")
    assert client.get(f"/cases/{case}").status_code == 200
    somebody = list_reads(yard.workspace, case)[0].actor
    assert (somebody.id, somebody.authenticated) == ("user:anybody (all admins)", False)


def test_nothing_is_shown_that_cannot_be_put_on_record(
    client: TestClient, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lazaretto.errors import SystemFaultError

    case = hold(yard)

    def away(*_given: object, **_more: object) -> None:
        raise SystemFaultError("the catalog is read-only")

    monkeypatch.setattr("lazaretto.quarantine.reads.append", away)
    monkeypatch.setattr("lazaretto.quarantine.reads._known", lambda *_: False)
    number = yard_column(case, yard, "picture")
    for path in ("", "/records/0", f"/records/0/image/{number}"):
        answer = client.get(f"/cases/{case}{path}")
        assert answer.status_code == 503
        assert "record 0" not in answer.text


def test_thousands_of_columns_are_a_page(client: TestClient, yard: Yard) -> None:
    names = [f"column {n}" for n in range(1_500)]
    rows = blobs(3, seed=5, prefix="m").drop_columns(["label"])
    wide = rows.to_pydict() | dict.fromkeys(names, ["w" * 500] * 3)
    columns: dict[str, Any] = {**PAYLOAD_COLUMNS, "payload": ["text", *names]}
    case = hold(
        Yard(yard.workspace, make_policy(dataset="wide", columns=columns), yard.folder),
        pa.table(wide),
    )
    listed = client.get(f"/cases/{case}").text
    assert len(listed) < 100_000
    assert "more columns" in listed
    page = client.get(f"/cases/{case}/records/0").text
    assert page.count("<dt>column ") == 1_500
    assert len(page) < 2_000_000
    assert "w" * 300 not in page
    assert "contract is broken" in page  # so there is nothing that it lies near
