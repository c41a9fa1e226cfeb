"""Whatever the shape of an address, no credential of it is shown, logged or stored."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lazaretto.errors import DeliveryError, UsageError
from lazaretto.redact import carries_credentials, error_line, safe_text, safe_uri

ODD = "@:/?#%&=+;,'\"[]{}~$ \t\n\\|^<>éß\u202e\x1b-_.!"
SECRETS = st.tuples(
    st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), min_size=6),
    st.text(st.sampled_from(ODD + "abc123"), max_size=12),
    st.text(st.sampled_from("0123456789ABCDEFxyz"), min_size=6, max_size=20),
).map(lambda parts: f"Hush{parts[0]}{parts[1]}Hush{parts[2]}")
"""Secrets of letters with anything in between; `Hush` marks what must not be seen."""

RAW = [
    "{scheme}://bob:{s}@host.example/day.csv",
    "{scheme}://bob:{s}@host.example:8080/in/day.csv?x=1",
    "{scheme}://:{s}@host/day.csv",
    "{scheme}://{s}:x@host/day.csv",
    "{scheme}://host/day.csv?password={s}",
    "{scheme}://host/day.csv?sig={s}#part",
    "{scheme}://host/day.csv#{s}",
    "{upper}://bob:{s}@host/day.csv",
    "simplecache::{scheme}://bob:{s}@host/day.csv",
    "zip://day.csv::{scheme}://bob:{s}@host/day.zip",
    "filecache::{scheme}://host/day.csv?token={s}",
    "reference::bob:{s}@host/x",
    "//bob:{s}@host/day.csv",
    "bob:{s}@host:/day.csv",
    "abfs://container:{s}@account.dfs.core.windows.net/in/day.csv",
    "postgresql+psycopg://lz:{s}@db/lz?password={s}",
]
ENCODED = [
    "{scheme}://{s}@host/day.csv",
    "{scheme}://bob:{s}@host/day.csv",
    "{scheme}://bob%3A{s}%40host/day.csv",
    "{scheme}://host/day.csv;token={s}",
    "{scheme}://host/day.csv?X-Amz-Signature={s}&X-Amz-Credential={s}",
    "{scheme}://host/in/password={s}/day.csv",
    "host=db user=lz password={s} dbname=lz",
    "Server=db;User=lz;Pwd={s}",
    "DefaultEndpointsProtocol=https;AccountKey={s};EndpointSuffix=core.windows.net",
    "/srv/in/access_token={s}/day.csv",
]
SCHEMES = ["https", "ftp", "sftp", "s3", "gs", "abfs", "webhdfs", "hdfs", "no-such", "mlflow"]


@given(st.sampled_from(RAW), st.sampled_from(SCHEMES), SECRETS)
@example("{scheme}://bob:{s}@host.example/day.csv", "s3", "Hush12/AbCd@eF/Hush99")
@example("{scheme}://bob:{s}@host.example/day.csv", "ftp", "12?Hush#34@Hush56")
@example("{scheme}://bob:{s}@host.example/day.csv", "https", "12/Hush")
def test_no_secret_is_shown_whatever_is_in_it(shape: str, scheme: str, secret: str) -> None:
    uri = shape.format(scheme=scheme, upper=scheme.upper(), s=secret)
    assert "Hush" not in safe_uri(uri)


@given(st.sampled_from(ENCODED), st.sampled_from(SCHEMES), SECRETS)
def test_no_encoded_secret_is_shown_in_an_address_or_a_message(
    shape: str, scheme: str, secret: str
) -> None:
    uri = shape.format(scheme=scheme, s=quote(secret, safe=""))
    assert "Hush" not in safe_uri(uri)
    for text in (uri, f"could not open {uri!r}: no such file", f"('{uri}', 13)", f"<{uri}>"):
        assert "Hush" not in safe_text(text)
        assert "Hush" not in str(UsageError(f"what of {text}?"))
        assert "Hush" not in str(DeliveryError(text, code="unreadable"))
        assert "Hush" not in error_line(OSError(text))


@given(st.text(st.characters(), max_size=200))
def test_any_text_is_shown_in_one_short_line_and_twice_is_once(text: str) -> None:
    shown = safe_uri(text)
    assert shown.isprintable() or re.search(r"\s", shown)
    assert len(shown) <= 2_000
    assert safe_uri(shown) == shown
    message = safe_text(text)
    assert safe_text(message) == message


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("/srv/drop/a@b/day.csv", "/srv/drop/a@b/day.csv"),
        ("in/a::b.parquet", "in/a::b.parquet"),
        ("s3://bucket/mail/a@b.c/x.parquet", "s3://bucket/mail/a@b.c/x.parquet"),
        ("https://bob:pw@host:8443/a/b.csv?sig=1#x", "https://host:8443/a/b.csv"),
        ("HTTPS://Host/a", "https://Host/a"),
        (
            "abfs://box@acc.dfs.core.windows.net/in/x?sv=1&sig=2",
            "abfs://box@acc.dfs.core.windows.net/in/x",
        ),
        ("sqlite:////home/a@b/catalog.db", "sqlite:////home/a@b/catalog.db"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("http://[", "http://\N{HORIZONTAL ELLIPSIS}"),
        ("zip://a.csv::https://host/b.zip?x=1", "zip://a.csv::https://host/b.zip"),
        ("x" * 10_000, "an address of 10,000 characters"),
        ("lazaretto://reviews", "lazaretto://reviews"),
        ("bob\x1b[31m.csv", "bob\\x1b[31m.csv"),
    ],
)
def test_what_is_no_secret_stays(uri: str, shown: str) -> None:
    assert safe_uri(uri) == shown


def test_plain_words_of_a_message_stay() -> None:
    text = "vendor-a/20260504/ab12 at https://host/x: 3 of 9 rows, reviews@12, see `a=b`; key: x\nb"
    assert safe_text(text) == text


def test_known_secrets_go_wherever_they_stand() -> None:
    assert safe_text("login for hunter2 failed", hide=["hunter2", ""]) == "login for *** failed"
    assert error_line(OSError(13, "hunter2"), hide=["hunter2"]) == "PermissionError: [Errno 13] ***"


def test_a_long_message_does_not_lose_the_mark_of_a_password() -> None:
    text = "x " * 3_990 + "https://bob" + "y" * 40 + ":Hush@host/"
    assert "bob" not in safe_text(text)
    assert len(safe_text("a b " * 10_000)) <= 8_000
    assert len(error_line(ValueError("a b " * 10_000))) < 220


def test_a_foreign_error_is_one_line_and_may_be_broken() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert error_line(BrokenError()) == "BrokenError"
    assert error_line(ValueError()) == "ValueError"
    assert error_line(ValueError("row 3:\n'a\x1b[2J'")) == "ValueError: row 3: 'a\\x1b[2J'"


@pytest.mark.parametrize(
    ("uri", "does"),
    [
        ("s3://bucket/lazaretto", False),
        ("/srv/store", False),
        ("abfs://box@acc.dfs.core.windows.net/x", False),
        ("memory://lz", False),
        ("s3://KEY:SECRET@bucket/x", True),
        ("s3://bucket/x?endpoint=1", True),
        ("simplecache::s3://bucket/x", True),
        ("https://host/x#y", True),
    ],
)
def test_which_addresses_carry_something_that_is_not_shown(uri: str, does: bool) -> None:
    assert carries_credentials(uri) is does
