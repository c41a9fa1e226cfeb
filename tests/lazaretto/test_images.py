"""A folder or a tar archive of images as a delivery."""

from __future__ import annotations

import io
import os
import tarfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from lazaretto import stages
from lazaretto.batch import delivered_digest, open_batch
from lazaretto.errors import DeliveryError
from lazaretto.policy import Limits
from lazaretto.received import load_batch
from lazaretto.sources.manifest import keygen, sign_manifest
from lazaretto.sources.registry import add_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from yard import Yard

PNG, JPEG = b"\x89PNG\r\n\x1a\n" + b"x" * 50, b"\xff\xd8\xff" + b"y" * 70
FILES = {"cat/1.png": PNG, "cat/2.JPG": JPEG, "dog/deep/3.jpeg": PNG + b"3", "4.png": JPEG}
ROWS = [
    ("4.png", None, JPEG),
    ("cat/1.png", "cat", PNG),
    ("cat/2.JPG", "cat", JPEG),
    ("dog/deep/3.jpeg", "deep", PNG + b"3"),
]


def folder(root: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def archive(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for entry, data in entries:
            entry.size = len(data) if entry.isreg() else 0
            tar.addfile(entry, io.BytesIO(data))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def read(path: Path, **limits: int) -> list[tuple[str, str | None, bytes]]:
    table = open_batch(path, limits=Limits(**limits)).table()  # type: ignore[arg-type]
    return [tuple(row.values()) for row in table.to_pylist()]  # type: ignore[misc]


def refused(path: Path, **limits: int) -> str:
    with pytest.raises(DeliveryError) as error:
        read(path, **limits)
    return error.value.code


def test_a_folder_and_an_archive_of_it_are_the_same_records(tmp_path: Path) -> None:
    assert read(folder(tmp_path / "a")) == ROWS
    entries = [(entry("./" + name), data) for name, data in FILES.items()]
    tar = archive(tmp_path / "a.tar", [(entry("./cat", tarfile.DIRTYPE), b""), *entries])
    assert sorted(read(tar)) == sorted(ROWS)


def test_the_digest_is_of_paths_and_bytes_alone(tmp_path: Path) -> None:
    first = folder(tmp_path / "a")
    second = folder(tmp_path / "b", dict(reversed(FILES.items())))
    os.utime(second / "4.png", (1, 1))
    (second / "cat/1.png").chmod(0o600)
    (second / ".DS_Store").write_bytes(b"left by a file manager")
    (second / "_SUCCESS").touch()
    assert delivered_digest(first) == delivered_digest(second)
    assert open_batch(first).digest() == open_batch(second).digest()
    (second / "4.png").write_bytes(PNG)
    assert delivered_digest(first) != delivered_digest(second)


def link(path: Path) -> None:
    (path / "5.png").symlink_to("/etc/passwd")


def link_to_folder(path: Path) -> None:
    (path / "more").symlink_to("/etc")


def pipe(path: Path) -> None:
    os.mkfifo(path / "5.png")


def text(path: Path) -> None:
    (path / "labels.csv").write_text("a,b\n")


def control(path: Path) -> None:
    (path / "5\x1b[2J.png").write_bytes(PNG)


def deep(path: Path) -> None:
    folder(path, {"a/" * 20 + "5.png": PNG})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (link, "link"),
        (link_to_folder, "link"),
        (pipe, "wrong_format"),
        (text, "wrong_format"),
        (control, "bad_file_name"),
        (deep, "too_deep"),
    ],
)
def test_a_folder_that_holds_something_else_is_refused(
    tmp_path: Path, change: Callable[[Path], None], code: str
) -> None:
    change(folder(tmp_path / "a"))
    assert refused(tmp_path / "a") == code


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (entry("../../etc/x.png"), "bad_file_name"),
        (entry("/etc/x.png"), "bad_file_name"),
        (entry("a/./x.png"), "bad_file_name"),
        (entry("n" * 600 + ".png"), "bad_file_name"),
        (entry("x.png", tarfile.SYMTYPE, "/etc/passwd"), "wrong_format"),
        (entry("x.png", tarfile.LNKTYPE, "/etc/passwd"), "wrong_format"),
        (entry("x.png", tarfile.CHRTYPE), "wrong_format"),
        (entry("x.exe"), "wrong_format"),
    ],
)
def test_an_archive_that_is_made_to_harm_is_refused(
    tmp_path: Path, bad: tarfile.TarInfo, code: str
) -> None:
    tar = archive(tmp_path / "a.tar", [(entry("1.png"), PNG), (bad, b"data")])
    assert refused(tar) == code


def test_bounds_hold(tmp_path: Path) -> None:
    path = folder(tmp_path / "a")
    assert refused(path, max_rows=3) == "too_large"
    assert refused(path, max_bytes=5_000) == "too_large"
    assert refused(path, max_record_bytes=100) == "record_too_large"
    claims = archive(tmp_path / "a.tar", [(entry("1.png"), PNG)])
    whole = claims.read_bytes()
    large = tarfile.TarInfo("2.png")
    large.size = 2**40
    claims.write_bytes(whole[:1024] + large.tobuf() + PNG)
    assert refused(claims) == "record_too_large"
    sparse = entry("3.png", tarfile.GNUTYPE_SPARSE)
    sparse.size = 512
    claims.write_bytes(whole[:1024] + sparse.tobuf(tarfile.GNU_FORMAT) + b"\0" * 512)
    assert refused(claims) in {"wrong_format", "record_too_large", "truncated", "unreadable"}
    claims.write_bytes(whole[:560])
    assert refused(claims) in {"truncated", "unreadable"}


def test_a_signed_folder_is_received_and_a_changed_one_is_not(
    sqlite_yard: Yard, tmp_path: Path
) -> None:
    private, public = keygen()
    now = datetime.now(UTC)
    add_key(sqlite_yard.workspace, "vendor-a", public)
    path = folder(tmp_path / "monday")
    manifest = sign_manifest(
        path,
        source="vendor-a",
        private_key=private,
        collected_from=now - timedelta(days=1),
        collected_to=now,
    )
    received = stages.receive(sqlite_yard.workspace, path, "vendor-a", manifest=manifest)
    assert received.rows == 4
    kept = load_batch(sqlite_yard.workspace, received.id).event.delivered.path
    assert kept.endswith(".images"), "a stored file is named by what it is"
    again = stages.receive(sqlite_yard.workspace, path, "vendor-a", manifest=manifest)
    assert again.id == received.id
    (path / "4.png").write_bytes(PNG)
    with pytest.raises(DeliveryError) as error:
        stages.receive(sqlite_yard.workspace, path, "vendor-a", manifest=manifest)
    assert error.value.code == "digest_mismatch"
