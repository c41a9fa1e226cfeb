"""Manifests over folders: whatever is not as it was signed is found, and the file is named."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples
from typer.testing import CliRunner
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.cli.app import app
from lazaretto.errors import DeliveryError, UsageError
from lazaretto.sources.folder import check_folder, sign_folder
from lazaretto.sources.keys import key_identity, keygen
from lazaretto.sources.manifest import Manifest, listing_digest, verify_manifest
from lazaretto.sources.registry import add_key
from lazaretto.sources.source_key import SourceKey
from lazaretto.sources.statement import FOLDER_TYPE, parse_envelope
from lazaretto.sources.tree import Fault, FoundFile, hash_files
from lazaretto.values import SignatureStatus

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PRIVATE, PUBLIC = keygen()
LINKS = "it is a link, and links are not followed"


def key(public: bytes = PUBLIC) -> SourceKey:
    key_id, scheme = key_identity(public)
    return SourceKey("vendor-a", key_id, scheme, public.decode(), NOW - 30 * DAY)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "march", {"a.csv": b"1\n", "day/b.csv": b"2\n", ".hidden": b"3\n"})


def signed(folder: Path, private: bytes = PRIVATE, public: bytes = PUBLIC, **said: Any) -> Manifest:
    envelope = sign_folder(
        folder, source="vendor-a", private_key=private, **{"issued_at": NOW} | said
    )
    return verify_manifest(envelope, [key(public)], now=NOW, clock_skew=timedelta(0))[0]


def faults(manifest: Manifest, folder: Path) -> list[tuple[str, str]]:
    return [(fault.name, fault.kind) for fault in check_folder(manifest, folder)]


def test_every_file_is_signed_and_an_empty_folder_is_no_file(folder: Path) -> None:
    (folder / "empty/er").mkdir(parents=True)
    manifest = signed(folder, rows=3, collected_from=NOW - DAY, collected_to=NOW)
    assert manifest.files is not None
    assert sorted(manifest.files) == [".hidden", "a.csv", "day/b.csv"]
    assert (manifest.source, manifest.subject, manifest.rows) == ("vendor-a", "march", 3)
    assert (manifest.collected_from, manifest.collected_to) == (NOW - DAY, NOW)
    assert faults(manifest, folder) == []
    (folder / "empty/er").rmdir()
    (folder / "more").mkdir()
    assert faults(manifest, folder) == []


def test_the_manifest_is_an_in_toto_statement_with_a_subject_for_each_file(folder: Path) -> None:
    envelope = sign_folder(folder, source="vendor-a", private_key=PRIVATE)
    statement = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == FOLDER_TYPE
    listed = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    told = _sha256sum(*sorted(listed), cwd=folder)
    assert told == "".join(f"{listed[name]}  {name}\n" for name in sorted(listed))
    (folder / "list").write_text(told)
    assert listing_digest(listed) == _sha256sum("list", cwd=folder).split()[0]


def _sha256sum(*names: str, cwd: Path) -> str:
    program = shutil.which("sha256sum") or pytest.skip("there is no sha256sum")
    return subprocess.run(
        [program, *names], cwd=cwd, capture_output=True, text=True, check=True
    ).stdout


def test_a_p256_key_signs_folders_too(folder: Path) -> None:
    pair = ec.generate_private_key(ec.SECP256R1())
    private = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert faults(signed(folder, private, public), folder) == []


NAMES = st.sampled_from(["a", "b/c", "b/d/e", "f.csv", ".g", "ü"])


@settings(max_examples=examples(40), deadline=None)
@given(
    files=st.dictionaries(NAMES, st.binary(max_size=40), min_size=1),
    data=st.data(),
)
def test_one_bit_one_byte_one_name_is_found_and_named(
    files: dict[str, bytes], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = write(tmp_path_factory.mktemp("f") / "folder", files)
    manifest = signed(folder)
    assert check_folder(manifest, folder) == []
    name = data.draw(st.sampled_from(sorted(files)))
    path, content = folder / name, bytearray(files[name])
    change = data.draw(st.sampled_from(["flip", "append", "rename", "remove", "add"]))
    if change == "flip" and content:
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        content[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(content)
        wanted = [(name, "differs")]
    elif change in ("flip", "append"):
        path.write_bytes(content + data.draw(st.binary(min_size=1, max_size=1)))
        wanted = [(name, "differs")]
    elif change == "rename":
        path.rename(path.with_name("other"))
        other = str(Path(name).with_name("other"))
        wanted = sorted([(name, "missing"), (other, "extra")])
    elif change == "remove":
        path.unlink()
        wanted = [(name, "missing")]
    else:
        write(folder, {"b/new": bytes(content)} if "b" not in files else {"new": bytes(content)})
        wanted = [("b/new", "extra")]
    assert faults(manifest, folder) == wanted


@settings(max_examples=examples(25), deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_bit_of_a_manifest_can_be_flipped(place: float, bit: int) -> None:
    envelope = bytearray(ENVELOPE)
    payload = json.loads(ENVELOPE)["payload"]
    start = ENVELOPE.index(payload.encode())
    envelope[start + int(place * len(payload))] ^= 1 << bit
    with pytest.raises(DeliveryError) as raised:
        verify_manifest(bytes(envelope), [key()], now=NOW, clock_skew=timedelta(0))
    assert raised.value.code in ("bad_signature", "bad_envelope")


def _one_envelope() -> bytes:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        write(Path(folder), {"a": b"1", "b/c": b"2"})
        return sign_folder(folder, source="vendor-a", private_key=PRIVATE, issued_at=NOW)


ENVELOPE = _one_envelope()


def test_links_pipes_and_sockets_are_never_followed_and_always_named(folder: Path) -> None:
    manifest = signed(folder)
    outside = folder.parent / "outside"
    write(outside, {"b.csv": b"2\n"})
    (folder / "day/b.csv").unlink()
    (folder / "day").rmdir()
    (folder / "day").symlink_to(outside)  # the same bytes, by another way
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        here = Path.cwd()
        os.chdir(folder)
        try:
            sock.bind("s")
        finally:
            os.chdir(here)
    assert faults(manifest, folder) == [
        ("dangling", "link"),
        ("day", "link"),
        ("day/b.csv", "missing"),
        ("pipe", "not a file"),
        ("s", "not a file"),
    ]
    with pytest.raises(UsageError, match=f"'dangling' cannot be signed: {LINKS}"):
        sign_folder(folder, source="vendor-a", private_key=PRIVATE)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("back\\slash", "it has a backslash"),
        ("line\nbreak", "it has control characters"),
        ("a\x1b[31m", "it has control characters"),
        (os.fsdecode(b"\xff.csv"), "it is not Unicode text"),
    ],
)
def test_odd_names_are_not_signed_and_are_named_when_they_come(
    folder: Path, name: str, why: str
) -> None:
    manifest = signed(folder)
    (folder / name).write_bytes(b"")
    assert faults(manifest, folder) == [(name, "extra")]
    with pytest.raises(UsageError, match=why):
        sign_folder(folder, source="vendor-a", private_key=PRIVATE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Data.csv", "data.csv"),
        ("Day/x", "day/y"),
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")),
    ],
)
def test_names_that_are_one_on_some_systems_are_not_signed(
    tmp_path: Path, one: str, other: str
) -> None:
    write(tmp_path / "f", {one: b"1", other: b"2"})
    if len(list((tmp_path / "f").iterdir())) < 2:
        pytest.skip("they are one on this system")
    with pytest.raises(UsageError, match="differ only in case or Unicode form"):
        sign_folder(tmp_path / "f", source="vendor-a", private_key=PRIVATE)


def test_a_name_in_another_unicode_form_is_another_name_and_the_message_says_so(
    tmp_path: Path,
) -> None:
    folder = write(tmp_path / "f", {unicodedata.normalize("NFC", "é.csv"): b"1"})
    manifest = signed(folder)
    (folder / unicodedata.normalize("NFC", "é.csv")).rename(
        folder / unicodedata.normalize("NFD", "é.csv")
    )
    missing = next(one for one in check_folder(manifest, folder) if one.kind == "missing")
    assert "differs only in case or Unicode form" in missing.detail


@pytest.mark.parametrize(
    "names",
    [
        ["../a"],
        ["/etc/passwd"],
        ["a/../b"],
        ["a//b"],
        ["."],
        ["a\\b"],
        ["a\x00"],
        ["a", "a"],
        ["a", "A"],
        ["a" * 2000],
        ["/".join("a" * 70)],
    ],
)
def test_a_signed_manifest_with_such_names_is_refused(names: list[str]) -> None:
    """Even by a key that counts: what it names could be another file than the one checked."""
    from securesystemslib import dsse

    from lazaretto.sources.keys import load_signer

    statement = json.loads(parse_envelope(ENVELOPE).payload)
    subject = [{"name": name, "digest": {"sha256": "0" * 64}} for name in names]
    payload = json.dumps(statement | {"subject": subject}).encode()
    envelope = dsse.Envelope(payload, "application/vnd.in-toto+json", {})
    envelope.sign(load_signer(PRIVATE))
    with pytest.raises(DeliveryError) as raised:
        verify_manifest(
            json.dumps(envelope.to_dict()).encode(), [key()], now=NOW, clock_skew=timedelta(0)
        )
    assert raised.value.code == "bad_envelope"


def test_a_file_that_changes_while_it_is_read_is_no_match(folder: Path) -> None:
    """The change is made between two blocks, by what is told of the progress."""
    big = folder / "big"
    big.write_bytes(bytes(3 << 20))
    manifest = signed(folder)

    def grow(_: int, __: int) -> None:
        with big.open("ab") as file:
            file.write(b"x")

    found = check_folder(manifest, folder, tell=grow)
    assert [(one.name, one.kind) for one in found] == [("big", "changed")]
    with pytest.raises(UsageError, match="'big' cannot be signed: it was changed while it was"):
        sign_folder(folder, source="vendor-a", private_key=PRIVATE, tell=grow)


def test_a_file_that_is_swapped_for_a_link_while_others_are_read_leads_nowhere(
    folder: Path,
) -> None:
    root = os.open(folder, os.O_RDONLY)
    try:
        (folder / "a.csv").unlink()
        (folder / "a.csv").symlink_to("/etc/hostname")
        [(_, found)] = hash_files(root, [FoundFile("a.csv", 2)])
        [(_, gone)] = hash_files(root, [FoundFile("none", 2)])
    finally:
        os.close(root)
    assert isinstance(found, Fault)
    assert found.kind == "unreadable"
    assert isinstance(gone, Fault)
    assert gone.kind == "missing"


def test_what_comes_while_a_folder_is_signed_is_not_left_out_silently(folder: Path) -> None:
    def add(_: int, __: int) -> None:
        (folder / "late").touch()

    with pytest.raises(UsageError, match="was changed while it was read"):
        sign_folder(folder, source="vendor-a", private_key=PRIVATE, tell=add)


def test_a_folder_without_files_is_not_signed(tmp_path: Path) -> None:
    (tmp_path / "f/g").mkdir(parents=True)
    with pytest.raises(UsageError, match="no file in the folder"):
        sign_folder(tmp_path / "f", source="vendor-a", private_key=PRIVATE)


# The command line


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "v.key").write_bytes(PRIVATE)
    (tmp_path / "v.pub").write_bytes(PUBLIC)
    return str(tmp_path / "v.key"), str(tmp_path / "v.pub")


def cli(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    return result.exit_code, result.output


def test_exit_codes_and_json_of_sign_and_verify(folder: Path, keys: tuple[str, str]) -> None:
    private, public = keys
    sign = ("manifest", "sign", folder, "--source", "vendor-a", "--key", private)
    verify = ("manifest", "verify", folder, "--key", public, "--json")
    assert cli(*sign)[0] == 0
    assert cli(*sign)[0] == 2, "an existing manifest is kept"
    assert cli(*sign, "--force")[0] == 0
    assert cli(*sign, "--out", folder / "m.json")[0] == 2, "it would lie in what it signs"
    code, printed = cli(*verify)
    assert (code, json.loads(printed)["faults"], json.loads(printed)["files"]) == (0, [], 3)
    (folder / "a.csv").write_bytes(b"9\n")
    (folder / "\x1b[31mx").touch()
    code, printed = cli(*verify)
    assert code == 1
    found = json.loads(printed)["faults"]
    assert [(one["name"], one["kind"]) for one in found] == [
        ("\x1b[31mx", "extra"),
        ("a.csv", "differs"),
    ]
    code, printed = cli(*verify[:-1])
    assert code == 1
    assert "a.csv" in printed
    assert "\x1b[31m" not in printed
    manifest = Path(f"{folder}.manifest.json")
    manifest.write_bytes(manifest.read_bytes().replace(b'"sig": "', b'"sig": "AAAA'))
    assert cli(*verify)[0] == 1
    assert cli("manifest", "verify", folder, "--key", public, "--manifest", "none")[0] == 2
    assert cli("manifest", "verify", folder, "--key", private)[0] == 2, "no public key"
    assert cli("manifest", "verify", folder / "nothing", "--key", public)[0] == 2


def test_a_file_still_needs_to_say_when_it_was_collected(
    folder: Path, keys: tuple[str, str]
) -> None:
    code, printed = cli(
        "manifest", "sign", folder / "a.csv", "--source", "vendor-a", "--key", keys[0]
    )
    assert code == 2
    assert "--collected-from" in printed


def test_a_manifest_in_the_folder_itself_is_not_an_extra_file(
    folder: Path, keys: tuple[str, str]
) -> None:
    cli("manifest", "sign", folder, "--source", "vendor-a", "--key", keys[0])
    inside = Path(f"{folder}.manifest.json").rename(folder / "manifest.json")
    assert cli("manifest", "verify", folder, "--key", keys[1], "--manifest", inside)[0] == 0


def test_signing_and_verifying_load_neither_torch_nor_a_catalog_nor_airflow(
    folder: Path, keys: tuple[str, str]
) -> None:
    code = (
        "import sys\n"
        "from lazaretto.cli.app import app\n"
        f"for line in (['sign', '--source', 'vendor-a', '--key', {keys[0]!r}],"
        f" ['verify', '--key', {keys[1]!r}]):\n"
        "    try:\n"
        f"        app(['manifest', line[0], {str(folder)!r}, *line[1:]])\n"
        "    except SystemExit as end:\n"
        "        assert not end.code, end\n"
        "heavy = {'torch', 'sqlalchemy', 'airflow', 'pandera', 'polars', 'deltalake'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert told.splitlines()[-1] == "[]"


# Receiving


@pytest.fixture
def parts(sqlite_yard: Yard, tmp_path: Path) -> tuple[Yard, Path]:
    add_key(sqlite_yard.workspace, "vendor-a", PUBLIC, valid_from=NOW - 30 * DAY)
    folder = tmp_path / "delivery"
    folder.mkdir()
    for number in range(2):
        rows = blobs(30, seed=number, prefix=f"p{number}-")
        pq.write_table(rows, folder / f"part-{number}.parquet")
    (folder / "_SUCCESS").touch()
    return sqlite_yard, folder


SIGNED = make_policy(sources={"require_signature": True})


def _receive(yard: Yard, folder: Path, **said: Any) -> Any:
    return stages.receive(
        yard.workspace, folder, "vendor-a", policy=SIGNED, now=NOW, beside=True, **said
    )


def test_a_folder_is_received_judged_and_admitted_with_its_manifest(
    parts: tuple[Yard, Path],
) -> None:
    yard, folder = parts
    envelope = sign_folder(
        folder,
        source="vendor-a",
        private_key=PRIVATE,
        issued_at=NOW,
        rows=60,
        collected_from=NOW - DAY,
        collected_to=NOW,
    )
    Path(f"{folder}.manifest.json").write_bytes(envelope)
    batch = _receive(yard, folder)
    with yard.workspace.catalog.read() as connection:
        from lazaretto.received import find_batch

        event = find_batch(connection, batch.id).event
    assert event.signature.status is SignatureStatus.VERIFIED
    assert (event.rows, event.collected_from) == (60, NOW - DAY)
    for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
        stage(yard.workspace, batch.id, SIGNED)
    # Admission verifies the manifest again, by what is on record.
    assert stages.admit(yard.workspace, batch.id).rows == 60


@pytest.mark.parametrize("change", ["flip", "extra", "missing"])
def test_a_folder_that_is_not_as_signed_is_refused_and_the_file_is_named(
    parts: tuple[Yard, Path], change: str
) -> None:
    yard, folder = parts
    envelope = sign_folder(folder, source="vendor-a", private_key=PRIVATE, issued_at=NOW)
    part = folder / "part-1.parquet"
    if change == "flip":
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
    elif change == "extra":
        pq.write_table(blobs(3, seed=9, prefix="x"), folder / "part-2.parquet")
    else:
        part.unlink()
    named = {
        "flip": "'part-1.parquet' has other bytes",
        "extra": "'part-2.parquet' was not signed",
        "missing": "'part-1.parquet' is missing",
    }
    with pytest.raises(DeliveryError, match=named[change]) as raised:
        _receive(yard, folder, manifest=envelope)
    assert raised.value.code == "digest_mismatch"


def test_a_folders_manifest_is_none_for_one_file(parts: tuple[Yard, Path]) -> None:
    yard, folder = parts
    envelope = sign_folder(folder, source="vendor-a", private_key=PRIVATE, issued_at=NOW)
    with pytest.raises(DeliveryError, match="is one file") as raised:
        _receive(yard, folder / "part-0.parquet", manifest=envelope)
    assert raised.value.code == "digest_mismatch"


def test_an_envelope_of_many_parts_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(DeliveryError, match="too many parts"):
        parse_envelope(b'{"payload": [' + b"[]," * 100_000 + b"[]]}")
