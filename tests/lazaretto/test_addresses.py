"""Addresses are compared by their parts: what looks like a place's text is not therefore in it."""

from __future__ import annotations

import posixpath
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaretto.addresses import AddressError, read_address, read_place, within

FOLDER = Path("/etc/gate/policies")


def covered(place: str, address: str, source: str = "vendor-a") -> bool:
    found = within([read_place(place, folder=FOLDER, source=source)], read_address(address))
    return found is not None


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("/srv/drop", "/srv/drop/day.csv"),
        ("/srv/drop/", "/srv/drop//2026/./day.csv"),
        ("/srv/drop", "/srv/other/../drop/day.csv"),
        ("/srv/drop", "file:///srv/drop/day%207.csv"),
        ("/srv/drop", "FILE://localhost/srv/drop/day.csv"),
        ("file:///srv/drop", "/srv/drop/day.csv"),
        ("../drop/{source}", "/etc/gate/drop/vendor-a/day.csv"),
        ("/srv/drop/day.csv", "/srv/drop/day.csv"),
        ("/srv/drop", "/srv/drop/a::b.parquet"),
        ("s3://bucket/in", "s3://bucket/in/day.csv"),
        ("s3://bucket/in/", "S3A://bucket/in/day.csv?versionId=3"),
        ("s3://bucket", "s3://bucket/day.csv"),
        ("gs://{source}/in", "gcs://vendor-a/in/day.csv"),
        (
            "abfs://box@acc.dfs.core.windows.net/in",
            "abfs://box@acc.dfs.core.windows.net/in/day.csv",
        ),
        ("https://data.example/in", "HTTPS://Data.Example:443/in/day%207.csv?sig=1"),
        ("https://data.example", "https://data.example/day.csv"),
        ("http://[2001:db8:0:0:0:0:0:1]:8080/in", "http://[2001:DB8:0:0:0:0:0:1]:8080/in/day.csv"),
        ("sftp://in@files.example/in", "sftp://in@files.example:22/in/day.csv"),
    ],
)
def test_what_lies_in_a_place(place: str, address: str) -> None:
    assert covered(place, address)


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("/srv/drop", "/srv/drop-evil/day.csv"),
        ("/srv/drop", "/srv/Drop/day.csv"),
        ("/srv/drop", "/srv/drop/../secret/day.csv"),
        ("/srv/drop", "file:///srv/drop/%2e%2e/secret/day.csv"),
        ("/srv/drop/{source}", "/srv/drop/vendor-b/day.csv"),
        ("/srv/drop/{source}", "/srv/drop/vendor-a2/day.csv"),
        ("/srv/drop", "s3://srv/drop/day.csv"),
        ("s3://bucket/in", "/bucket/in/day.csv"),
        ("s3://bucket/in", "s3://bucket/input/day.csv"),
        ("s3://bucket/in", "s3://bucket2/in/day.csv"),
        ("s3://bucket/in", "gs://bucket/in/day.csv"),
        ("abfs://box@acc.dfs.core.windows.net/in", "abfs://box@evil.dfs.core.windows.net/in/x.csv"),
        ("https://data.example/in", "http://data.example/in/day.csv"),
        ("https://data.example/in", "https://data.example:8443/in/day.csv"),
        ("https://data.example/in", "https://data.example.evil/in/day.csv"),
        ("https://data.example/in", "https://data.example./in/day.csv"),
        ("https://data.example/in", "https://evil/data.example/in/day.csv"),
        ("https://data.example/in", "https://data.example/IN/day.csv"),
        ("sftp://files.example/in", "sftp://root@files.example/in/day.csv"),
    ],
)
def test_what_only_looks_like_it(place: str, address: str) -> None:
    assert not covered(place, address)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("reference::/tmp/x", "unreadable"),  # a file of this machine, that is not there
        ("simplecache::s3://bucket/in/day.csv", "chained_address"),
        ("s3://bucket/in/day.csv::file:///etc/passwd", "chained_address"),
        ("x::file:///etc/passwd", "chained_address"),
        ("reference://x::file:///srv/drop/day.csv", "chained_address"),
        ("http://[::1]/x.csv", "chained_address"),
        ("github://org:repo@main/day.csv", "unknown_scheme"),
        ("zip:///srv/drop/a.zip", "unknown_scheme"),
        ("reference:///srv/drop/a.json", "unknown_scheme"),
        ("filecache:///srv/drop/a.csv", "unknown_scheme"),
        ("data://text/plain,x", "unknown_scheme"),
        ("local:///etc/passwd", "unknown_scheme"),
        ("dir:///etc/passwd", "unknown_scheme"),
        ("jupyter://localhost/x.csv", "unknown_scheme"),
        (" https://host/x.csv", "unknown_scheme"),
        ("file://host/etc/passwd", "bad_address"),
        ("file://../etc/passwd", "bad_address"),
        ("file:///srv/drop/x.csv?y", "bad_address"),
        ("s3:///in/day.csv", "bad_address"),
        ("s3://bucket/in//day.csv", "bad_address"),
        ("s3://bucket/in/../day.csv", "bad_address"),
        ("s3://bucket/in/", "bad_address"),
        ("s3://bucket/in/day.csv#x", "bad_address"),
        ("https://host/in/%2e%2e/day.csv", "bad_address"),
        ("https://host/in/%252e%252e/day.csv", "bad_address"),
        ("https://host/in/..;x/day.csv", "bad_address"),
        ("https://host/in/%2fetc/day.csv", "bad_address"),
        ("https://host/in/..%5cday.csv", "bad_address"),
        ("https://host\\@evil/in/day.csv", "bad_address"),
        ("https://host/in/\nday.csv", "bad_address"),
        ("https://ho st/in/day.csv", "bad_address"),
        ("https://bob@host/in/day.csv", "bad_address"),
        ("ftp://bob:pw@host/in/day.csv", "bad_address"),
        ("https:///in/day.csv", "bad_address"),
        ("", "bad_address"),
        ("day\0.csv", "bad_address"),
        ("day\ud800.csv", "bad_address"),
    ],
)
def test_addresses_that_are_not_read(address: str, code: str) -> None:
    if code == "unreadable":
        assert read_address(address).scheme == "file"
        return
    with pytest.raises(AddressError) as caught:
        read_address(address)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "place",
    ["/", "//", ".", "s3://", "https://", "zip://x/y", "/srv/{date}", "/srv/*", "x::s3://y"],
)
def test_places_that_would_be_everything_or_nothing(place: str) -> None:
    with pytest.raises(AddressError):
        read_place(place, folder=Path("/"))


PIECES = st.sampled_from(
    [
        "in",
        "IN",
        "..",
        ".",
        "",
        "x.csv",
        "%2e%2e",
        "%2f",
        "..;",
        "in2",
        "a b",
        "%00",
        "é",
        "?q",
        "#f",
    ]
)


@given(st.lists(PIECES, max_size=6), st.sampled_from(["s3://bucket", "https://h", "https://H:443"]))
def test_what_is_opened_lies_below_the_place_however_often_it_is_decoded(
    pieces: list[str], start: str
) -> None:
    place = read_place(f"{start}/in")
    try:
        address = read_address(f"{start}/{'/'.join(pieces)}")
    except AddressError:
        return
    path = urlsplit(address.uri).path
    for _ in range(3):
        below = posixpath.normpath(path) == "/in" or posixpath.normpath(path).startswith("/in/")
        assert below == place.covers(address)
        path = unquote(path)


@given(st.lists(st.sampled_from(["in", "..", ".", "", "x", "é", "a b", "%2e"]), max_size=7))
def test_a_path_and_its_file_uri_are_one_address(pieces: list[str]) -> None:
    path = "/" + "/".join(pieces)
    assert read_address(path) == read_address(f"file://{quote(path)}")
    assert read_address(path).uri == "/" + posixpath.normpath(path).lstrip("/")
