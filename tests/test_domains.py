"""No name of ours is under a domain that the project does not own, and names stay what they are."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "operators", "lineage", "plugins", "dags", "docker", "docs", "benchmarks")
PAGES = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml")

# What a reader is sent to, or what a standard of somebody else is named by.
THEIRS = {
    "model_signing",  # OpenSSF Model Signing names its predicate by it
    "airflow.apache.org",
    "bitol-io.github.io",  # the Open Data Contract Standard
    "c2sp.org",
    "cyclonedx.org",
    "delta.io",
    "docs.greatexpectations.io",
    "download.pytorch.org",
    "filesystem-spec.readthedocs.io",
    "github.com",
    "import-linter.readthedocs.io",
    "in-toto.io",
    "json-schema.org",
    "keepachangelog.com",
    "openlineage.io",
    "pandera.readthedocs.io",
    "semver.org",
    "www.apache.org",
    "www.textualize.io",
    "www.w3.org",
}
# Names that no DNS resolves: RFC 2606 and 6761, and services of the deployment in docker/.
NOBODYS = re.compile(
    r"(.+\.)?(example|test|invalid|localhost|internal|example\.(com|org|net))"
    r"|127\.0\.0\.1|host|api-server|marquez|objects"
)
# Readers of signed and stored documents compare these: none is changed, or used for another thing.
URNS = {
    "urn:lazaretto:attestation:folder-manifest:v1",
    "urn:lazaretto:attestation:model-evaluation:v1",
    "urn:lazaretto:attestation:source-manifest:v1",
    "urn:lazaretto:facet:1-0-0",
    "urn:lazaretto:ledger",
    "urn:lazaretto:ledger-consistency:1",
    "urn:lazaretto:ledger-inclusion:1",
    "urn:lazaretto:release",
    "urn:lazaretto:run",
    "urn:lazaretto:schema:policy-replay:1",
    "urn:lazaretto:schema:policy:1",
    "urn:lazaretto:schema:trace:1",
    "urn:lazaretto:store",
}


def texts() -> list[tuple[str, str]]:
    """Every text file that is shipped or read: its path and what it says."""
    # Other people's libraries are not in the repository; tests/plugins/test_assets.py is of those.
    files = [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not {"node_modules", "bundled"}.intersection(path.parts)
    ]
    files += [ROOT / page for page in PAGES]
    kinds = {".py", ".md", ".yaml", ".yml", ".json", ".toml", ".html", ".css", ".svg", ".sh", ""}
    return [
        (path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
        for path in files
        if path.suffix in kinds
        and "__pycache__" not in path.parts
        and "schemas/openlineage" not in path.as_posix()  # copied as they are
    ]


def addresses(text: str) -> set[str]:
    """The hosts of the addresses in a text."""
    found = re.findall(r"https?://[^\s\"'`<>()\[\]{},\\]+", text)
    return {host for address in found if (host := urlsplit(address.rstrip(".;:")).hostname or "")}


def test_every_address_is_of_somebody_known_or_of_nobody() -> None:
    strange = {
        (path, host)
        for path, text in texts()
        for host in addresses(text)
        if host not in THEIRS and not NOBODYS.fullmatch(host)
    }
    assert strange == set()


def test_no_text_makes_up_a_domain_of_the_project() -> None:
    """Not as an address, nor as the bare host of an id, of a mail or of a package's home."""
    made_up = re.compile(r"\blazaretto\.(dev|io|org|com|net|ai|app|example|invalid|test)\b")
    assert [path for path, text in texts() if made_up.search(text)] == []


@pytest.mark.parametrize("made_up", ["https://lazaretto.dev/x", "see http://my.lazaretto-data.io."])
def test_a_made_up_address_is_found(made_up: str) -> None:
    hosts = addresses(made_up)
    assert hosts
    assert not any(host in THEIRS or NOBODYS.fullmatch(host) for host in hosts)


def test_the_names_of_what_is_signed_and_sent_are_stable() -> None:
    used: set[str] = set()
    for path, text in texts():
        if path.endswith((".py", ".json")) and not path.startswith(("docs", "benchmarks")):
            used |= set(re.findall(r"urn:lazaretto:[a-z-]+(?::(?!\{)[a-zA-Z0-9-]+)*", text))
    assert {name.removesuffix(":") for name in used if "Facet" not in name} == URNS


def test_what_is_written_carries_these_names() -> None:
    from lazaretto.lineage.openlineage.facets import FACETS_URN
    from lazaretto.policy import policy_schema
    from lazaretto.sources.manifest import PREDICATE_TYPE

    assert PREDICATE_TYPE in URNS
    assert FACETS_URN in URNS
    assert policy_schema()["$id"] in URNS
    for path, text in texts():
        if path.startswith("lineage/schemas/lazaretto"):
            assert f'"$id": "{FACETS_URN}:{Path(path).stem}"' in text
