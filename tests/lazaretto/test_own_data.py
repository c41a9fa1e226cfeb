"""The pages on own data and on encoders are true: their walks and policies work as they are."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from pages import quick_commands

import lazaretto as lz
from lazaretto.embed.options import OPTIONS
from lazaretto.errors import PolicyError
from lazaretto.stages.check_policy import check_policy

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = [pytest.mark.box, pytest.mark.long]
DOCS = Path(__file__).parents[2] / "docs"
WALKS = ["texts", "table", "images", "vectors", "events", "nested"]
ENCODERS = (DOCS / "how-to/encoders.md").read_text("utf-8")
BLOCK = re.compile(r"^<!-- tested (?P<how>.*?) -->\n```yaml\n(?P<text>.*?)^```$", re.M | re.DOTALL)
CODE = re.compile(r'^```python title="(?P<name>\w+\.py)"\n(?P<text>.*?)^```$', re.M | re.DOTALL)


def transcripts() -> ModuleType:
    path = DOCS / "generate/transcripts.py"
    spec = importlib.util.spec_from_file_location("transcripts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["transcripts"] = module
    spec.loader.exec_module(module)
    return module


def test_every_walk_comes_to_a_judged_delivery_in_four_commands(tmp_path: Path) -> None:
    pages = transcripts()
    shell = pages.Shell(tmp_path.resolve(), quick_commands())
    try:
        steps = list(pages.play(shell, DOCS / "how-to/own-data.md"))
    finally:
        shell.close()
    for step in steps:
        assert step.code == 0, f"$ {step.command}\n{step.printed}"
        assert not step.differs, (
            f"$ {step.command}\nthe page says:\n{step.told}\nit prints:\n{step.printed}\n"
            "run `python docs/generate/transcripts.py how-to/own-data.md`"
        )
    commands = [step.command for step in steps]
    assert [command.split()[-1] for command in commands[::5]] == WALKS
    for start in range(0, len(steps), 5):
        words = [command.split()[1:3] for command in commands[start + 1 : start + 5]]
        assert [one[0] for one in words] == ["init", "source", "reference", "batch"]
        judged = steps[start + 4].printed
        assert "HOLD_RECORDS" in judged, "the poison is found, and the rest admitted"
        held = int(re.search(r"held +(\d+) of 400", judged).group(1))  # type: ignore[union-attr]
        assert 20 <= held <= 36


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for kind in WALKS:
        script = DOCS / "how-to/own_data.py"
        subprocess.run([sys.executable, str(script), kind], cwd=folder, check=True)
    script = DOCS / "how-to/instruction_data.py"
    subprocess.run([sys.executable, str(script), "pairs"], cwd=folder, check=True)
    for code in CODE.finditer(ENCODERS):
        (folder / code["name"]).write_text(code["text"])
    return folder


def test_the_page_shows_every_encoder_and_every_option() -> None:
    shown = [yaml.safe_load(block["text"])["embed"] for block in BLOCK.finditer(ENCODERS)]
    assert {one["encoder"] for one in shown} == set(OPTIONS)
    assert len(shown) == ENCODERS.count("```yaml"), "each says how it is tested"
    options = {name for kind in OPTIONS.values() for name in kind.model_fields}
    assert set(re.findall(r"^\| `(\w+)` \| ", ENCODERS, re.MULTILINE)) >= options


@pytest.mark.parametrize(
    "block", list(BLOCK.finditer(ENCODERS)), ids=lambda block: block["how"].replace(" ", "-")
)
def test_a_policy_of_the_page_is_valid_and_a_reference_is_fitted(
    data: Path, tmp_path: Path, block: re.Match[str]
) -> None:
    said = dict(re.findall(r"(id|label|embedding) (\w+)", block["how"]))
    columns = {"record_id": said.get("id", "id")} | {k: v for k, v in said.items() if k != "id"}
    head = {"version": 1, "dataset": "own", "columns": columns}
    path = data / f"{tmp_path.name}.yaml"
    path.write_text(yaml.safe_dump(head) + block["text"])
    policy = lz.Policy.load(path)
    if block["how"].startswith("where"):
        if importlib.util.find_spec("sentence_transformers") is None:
            with pytest.raises(PolicyError, match=rf"{path.name}:\d+: .*is not installed"):
                check_policy(policy)
        return
    sample = next(word for word in re.split("[ ,]+", block["how"]) if (data / word).exists()
                  and not word.endswith(".py"))  # fmt: skip
    if script := re.search(r"\w+\.py", block["how"]):
        subprocess.run([sys.executable, script.group()], cwd=data, check=True)
    check_policy(policy)
    reference = lz.Reference.fit(data / sample, policy)
    assert reference.encoder.name.startswith(policy.embed.encoder)
    assert reference.calibration_rows >= 700


def test_the_script_says_what_it_takes(tmp_path: Path) -> None:
    shutil.copy(DOCS / "how-to/own_data.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "own_data.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert all(kind in done.stderr for kind in WALKS)
