"""Others' libraries: pinned by hash, under licences that go with them, nothing from elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "plugins"
LOCK = (PLUGINS / "web/package-lock.json").read_text()
PACKAGES = {name: what for name, what in json.loads(LOCK)["packages"].items() if name}
SHIPPED = {name: what for name, what in PACKAGES.items() if not what.get("dev")}
# ISC says what the two-clause BSD licence says, in fewer words.
LICENCES = {"MIT", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC"}
# Names and words, none of which is loaded.
SAID = {
    "http://www.w3.org/2000/svg",
    "http://www.w3.org/1999/xlink",
    "http://www.w3.org/1999/xhtml",
    "http://get.webgl.org",
    "https://www.npmjs.com/package/glsl-read-float",
}
BUNDLED = PLUGINS / "static/bundled"
built = pytest.mark.skipif(
    not (BUNDLED / "LICENSES.txt").exists(), reason="needs `make ui-assets`, which needs npm"
)


def test_every_package_is_pinned_by_its_hash_and_by_no_address() -> None:
    assert SHIPPED
    assert [
        name
        for name, what in PACKAGES.items()
        if not what.get("integrity", "").startswith("sha512-") or "resolved" in what
    ] == []
    assert "://" not in LOCK
    asked = json.loads((PLUGINS / "web/package.json").read_text())
    versions = asked["dependencies"] | asked["devDependencies"]
    assert [name for name, wanted in versions.items() if not re.fullmatch(r"[\d.]+", wanted)] == []


def test_the_licence_of_what_is_handed_on_asks_for_its_text_only() -> None:
    licences = {what["license"] for what in SHIPPED.values()}
    assert licences <= LICENCES
    # A test program runs it; no wheel has it.
    other = {name for name, what in PACKAGES.items() if what["license"] not in LICENCES}
    assert other == {"node_modules/axe-core"}


def test_own_files_load_nothing_from_elsewhere() -> None:
    own = [*(PLUGINS / "templates").glob("*"), *(PLUGINS / "static").glob("*.*")]
    assert _addresses(own) <= SAID


@built
def test_bundles_load_nothing_from_elsewhere_and_bring_their_licences() -> None:
    assert _addresses([path for path in BUNDLED.iterdir() if path.suffix != ".txt"]) <= SAID
    texts = (BUNDLED / "LICENSES.txt").read_text()
    for name, what in SHIPPED.items():
        package = name.rpartition("node_modules/")[2]
        assert f"{package} {what['version']} ({what['license']})" in texts
    assert texts.count("opyright") >= len(SHIPPED) - 1  # htmx's names no holder


def _addresses(files: list[Path]) -> set[str]:
    assert files
    text = "\n".join(path.read_text() for path in files)
    return set(re.findall(r"""(?:https?|wss?|ftp)://[^\s"'`)<>]*|url\(['"]?//[^)]*""", text))
