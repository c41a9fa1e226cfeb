"""Bundles of OpenSSF Model Signing: one that the real tool made, and what was changed of it.

The bundle in ``model_signing`` was made by model-signing 1.1.1 of PyPI (with pyOpenSSL beside it,
which it imports and does not ask for), in an environment of its own:

    model_signing sign key model --private_key signer.key --signature model.sig
"""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lazaretto.cli.app import app
from lazaretto.errors import DeliveryError
from lazaretto.sources.keys import keygen
from lazaretto.sources.statement import parse_envelope

VERIFY = ("manifest", "verify", "--json")
MADE = Path(__file__).parent / "model_signing"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    shutil.copytree(MADE, tmp_path / "made")
    return tmp_path / "made"


def verify(made: Path) -> tuple[int, Any]:
    result = CliRunner().invoke(
        app,
        [
            *VERIFY,
            f"{made}/model",
            "--manifest",
            f"{made}/model.sig",
            "--key",
            f"{made}/signer.pub",
        ],
    )
    return result.exit_code, json.loads(result.stdout)


def _signed_by(made: Path) -> list[str]:
    return ["--manifest", f"{made}/model.sig", "--key", f"{made}/signer.pub"]


def rewrite(made: Path, change: Any) -> None:
    bundle = json.loads((made / "model.sig").read_text())
    change(bundle)
    (made / "model.sig").write_text(json.dumps(bundle))


def test_the_real_tools_bundle_verifies(made: Path) -> None:
    code, said = verify(made)
    assert (code, said["files"], said["faults"]) == (0, 3, [])
    assert said["signature"]["scheme"] == "ecdsa-sha2-nistp256"
    assert ".github" in said["bundle"]["ignored"]
    # What the signer left out may change: the answer says that it was not looked at.
    (made / "model/.github/notes").write_text("other")
    assert verify(made)[0] == 0


def test_a_bundle_in_the_folder_that_it_signs_is_no_extra_file(made: Path) -> None:
    inside = shutil.move(made / "model.sig", made / "model/model.sig")
    arguments = ["manifest", "verify", str(made / "model"), "--manifest", str(inside)]
    result = CliRunner().invoke(app, [*arguments, "--key", str(made / "signer.pub")])
    assert result.exit_code == 0, result.output


def test_every_change_is_found_and_named(made: Path) -> None:
    (made / "model/config.json").write_bytes(b'{"classes": 4}\n')
    (made / "model/layers/0.bin").rename(made / "model/layers/1.bin")
    (made / "model/layers/link").symlink_to("1.bin")
    code, said = verify(made)
    assert code == 1
    assert [(fault["name"], fault["kind"]) for fault in said["faults"]] == [
        ("config.json", "differs"),
        ("layers/0.bin", "missing"),
        ("layers/1.bin", "extra"),
        ("layers/link", "link"),
    ]


def test_another_key_or_another_statement_does_not_verify(made: Path) -> None:
    (made / "signer.pub").write_bytes(keygen()[1])
    code, said = verify(made)
    assert (code, said["error"]["code"]) == (1, "unknown_key")
    shutil.copy(MADE / "signer.pub", made)

    def loosen(bundle: Any) -> None:
        envelope = bundle["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        statement["predicate"]["serialization"]["ignore_paths"].append("config.json")
        envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()

    rewrite(made, loosen)
    code, said = verify(made)
    assert (code, said["error"]["code"]) == (1, "unknown_key")


def test_what_is_signed_by_an_identity_is_refused_and_never_taken_as_verified(made: Path) -> None:
    def by_certificate(bundle: Any) -> None:
        bundle["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}

    rewrite(made, by_certificate)
    code, said = verify(made)
    assert (code, said["error"]["code"]) == (1, "bad_envelope")
    assert "certificate" in said["error"]["message"]


def test_a_bundle_is_no_manifest_of_a_delivery_and_the_error_says_what_to_do(made: Path) -> None:
    with pytest.raises(DeliveryError, match="lazaretto manifest sign"):
        parse_envelope((made / "model.sig").read_bytes())
