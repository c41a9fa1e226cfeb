"""What pages tell people to run does run: the blocks that no other test executes.

`ELSEWHERE` and `NOT_RUN` name all others, so that no new block is left out by mistake.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pages
import pytest
import yaml
from pages import ROOT, run_lines

from lazaretto.policy import Policy

pytestmark = pytest.mark.long
DOCS = ROOT / "docs"
BLOCKS = [block for page in pages.pages() for block in pages.blocks(page)]
HERE = "tests/test_pages_run.py"

# Which test executes the blocks of a page, by their language or title.
ELSEWHERE = {
    ("README.md", "python"): "tests/test_readme.py",
    ("README.md", "bash"): HERE,
    ("CONTRIBUTING.md", "console"): HERE,
    ("docs/explanation/files-and-types.md", "python"): (
        "tests/lazaretto/test_files_and_types_page.py"
    ),
    ("docs/how-to/add-a-detector.md", "angle.py"): "tests/lazaretto/test_cli_docs.py",
    ("docs/how-to/add-a-detector.md", "pyproject.toml"): "tests/lazaretto/test_cli_docs.py",
    ("docs/how-to/audit-the-ledger.md", "bash"): HERE,
    ("docs/how-to/bill-of-materials.md", "bash"): "tests/lineage/test_bom.py",
    ("docs/how-to/contracts.md", "bash"): "tests/lazaretto/test_contracts_page.py",
    ("docs/how-to/contracts.md", "orders.py"): "tests/lazaretto/test_contracts_page.py",
    ("docs/how-to/contracts.md", "alone.yaml"): "tests/lazaretto/test_contracts_page.py",
    ("docs/how-to/contracts.md", "orders.rules.yaml"): "tests/lazaretto/test_contracts_page.py",
    ("docs/how-to/contracts.md", "orders.odcs.yaml"): "tests/lazaretto/test_contracts_page.py",
    ("docs/how-to/encoders.md", "encoder.py"): "tests/lazaretto/test_own_data.py",
    ("docs/how-to/encoders.md", "fit_encoder.py"): "tests/lazaretto/test_own_data.py",
    **{
        ("docs/how-to/great-expectations.md", block): "tests/lazaretto/test_gx_page.py"
        for block in (
            "install",
            "reviews.json",
            "policy.yaml",
            "check",
            "nightly.py",
            "before",
            "after",
        )
    },
    **{
        ("docs/how-to/model-gate.md", block): "tests/lazaretto/test_model_gate_page.py"
        for block in ("bash", "policy.yaml", "release.py")
    },
    ("docs/how-to/organisation-base.md", "bash"): "tests/lazaretto/test_policy_pages.py",
    ("docs/how-to/organisation-base.md", "base.yaml"): "tests/lazaretto/test_policy_pages.py",
    ("docs/how-to/organisation-base.md", "loose.yaml"): "tests/lazaretto/test_policy_pages.py",
    ("docs/how-to/organisation-base.md", "team.yaml"): "tests/lazaretto/test_policy_pages.py",
    ("docs/how-to/own-data.md", "bash"): HERE,
    ("docs/how-to/replay-a-policy.md", "bash"): "tests/lazaretto/test_policy_pages.py",
    ("docs/how-to/lineage-of-other-tools.md", "openlineage.yml"): (
        "tests/plugins/test_lineage_intake.py"
    ),
    ("docs/how-to/lineage-of-other-tools.md", "both.yml"): "tests/plugins/test_lineage_intake.py",
    ("docs/how-to/operations.md", "Doctor"): "tests/lazaretto/test_operations_page.py",
    ("docs/how-to/operations.md", "PostgreSQL"): "tests/lazaretto/test_operations_page.py",
    ("docs/how-to/operations.md", "Retention"): "tests/lazaretto/test_operations_page.py",
    ("docs/how-to/read-and-grow.md", "python"): "tests/lazaretto/test_files_and_types_page.py",
    ("docs/how-to/register-a-model.md", "bash"): "tests/lineage/test_from_mlflow.py",
    ("docs/how-to/register-a-model.md", "python"): "tests/lazaretto/test_models.py",
    ("docs/how-to/respond-to-an-incident.md", "bash"): HERE,
    ("docs/how-to/write-a-dag.md", "function.py"): "tests/operators/test_screened.py",
    ("docs/how-to/write-a-dag.md", "group.py"): "tests/operators/test_screened.py",
    ("docs/how-to/write-a-dag.md", "mapped.py"): "tests/operators/test_screened.py",
    ("docs/how-to/review-in-a-dag.md", "asked.py"): (
        "tests/operators/test_review_in_a_dag_page.py"
    ),
    ("docs/how-to/review-in-a-dag.md", "reviewed.py"): (
        "tests/operators/test_review_in_a_dag_page.py"
    ),
    ("docs/how-to/review-in-a-dag.md", "told.py"): ("tests/operators/test_review_in_a_dag_page.py"),
    ("docs/how-to/review-in-a-dag.md", "training.py"): (
        "tests/operators/test_review_in_a_dag_page.py"
    ),
    ("docs/how-to/scale-out.md", "policy.yaml"): "tests/lazaretto/test_engine.py",
    ("docs/how-to/scale-out.md", "hints.yaml"): "tests/lazaretto/test_engine.py",
    ("docs/how-to/scale-out.md", "window.yaml"): "tests/lazaretto/test_admit_window.py",
    ("docs/how-to/scale-out.md", "check"): "tests/lazaretto/test_engine.py",
    ("docs/how-to/scale-out.md", "cluster.py"): "tests/operators/test_screened.py",
    ("docs/how-to/scale-out.md", "maintain.py"): "tests/operators/test_maintain_dataset.py",
    ("docs/how-to/run-in-production.md", "bash"): HERE,
    ("docs/how-to/run-in-production.md", "sql"): HERE,
    ("docs/how-to/sanitize-a-training-set.md", "bash"): "tests/lazaretto/test_cli_path.py",
    ("docs/how-to/sanitize-a-training-set.md", "python"): "tests/lazaretto/test_sanitize_page.py",
    ("docs/how-to/sanitize-a-training-set.md", "reviews.py"): (
        "tests/lazaretto/test_sanitize_page.py"
    ),
    **{
        ("docs/how-to/robust-training.md", block): (
            "tests/lazaretto/training/test_robust_training_page.py"
        )
        for block in ("train.py", "vote.py", "look.py")
    },
    ("docs/how-to/sign-deliveries.md", "bash"): HERE,
    ("docs/how-to/trace-a-prediction.md", "bash"): "tests/lazaretto/test_trace_prediction.py",
    ("docs/how-to/trace-a-prediction.md", "capture.py"): (
        "tests/lazaretto/test_trace_prediction.py"
    ),
    ("docs/how-to/trace-a-prediction.md", "net.py"): "tests/lazaretto/test_trace_prediction.py",
    ("docs/reference/ledger-format.md", "json"): "tests/lazaretto/test_ledger_format.py",
    ("docs/reference/ledger-format.md", "python"): "tests/lazaretto/test_ledger_format.py",
    ("docs/reference/operators.md", "python"): "tests/test_reference_pages.py",
    ("docs/reference/operators.md", "pycon"): "tests/test_examples.py",
    ("docs/reference/python.md", "python"): "tests/test_reference_pages.py",
    ("docs/reference/python.md", "pycon"): "tests/test_examples.py",
    ("docs/tutorial/first-gate.md", "bash"): HERE,
}
# What cannot be executed here, and why.
NOT_RUN = {
    ("docs/how-to/review-quarantine.md", "bash"): (
        "needs an Airflow at that address; tests/plugins/test_remote.py has one of its own"
    ),
    ("docs/how-to/scale-out.md", "install"): "installs from an index that does not have it yet",
    ("docs/how-to/scale-out.md", "screen.yaml"): "needs a Kubernetes cluster",
    ("docker/README.md", "bash"): "needs a Docker engine; tests/docker checks what can be checked",
}
SHOWN = ("text", "")  # what is printed or drawn; nobody types it


def kind(block: pages.Block) -> tuple[str, str]:
    return block.page, block.title or block.language


def body(page: str, *languages: str) -> list[str]:
    """The blocks of a page in these languages, without titles."""
    return [b.text for b in BLOCKS if b.page == page and (b.title or b.language) in languages]


def passed(results: list[tuple[str, int, str]], *, codes: dict[str, int] | None = None) -> str:
    """Asserts that every line ran and ended as expected, by default with 0; what was printed."""
    assert results
    for line, code, printed in results:
        wanted = next((c for start, c in (codes or {}).items() if line.startswith(start)), 0)
        assert code == wanted, f"$ {line}\n{printed}"
    return "".join(printed for _, _, printed in results)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tutorial's data."""
    folder = tmp_path_factory.mktemp("data")
    script = DOCS / "tutorial/first_gate_data.py"
    subprocess.run([sys.executable, str(script)], cwd=folder, check=True)
    return folder


def test_every_block_of_every_page_is_executed_by_a_test() -> None:
    transcripts = (DOCS / "generate/transcripts.py").read_text("utf-8")
    left = []
    for block in BLOCKS:
        if block.language in SHOWN or kind(block) in NOT_RUN or block.language == "yaml":
            continue
        if block.language == "console" and f'"{block.page.removeprefix("docs/")}"' in transcripts:
            continue
        if kind(block) not in ELSEWHERE:
            left.append(f"{block.name} (line {block.line})")
    assert left == []
    for page, _ in (*ELSEWHERE, *NOT_RUN):
        assert (ROOT / page).exists()
    unused = {*ELSEWHERE, *NOT_RUN} - {kind(block) for block in BLOCKS}
    assert unused == set()
    for (page, _), test in ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text("utf-8"), f"{test} does not read {page}"


# README.md


def test_the_readme_s_own_gate_works_word_by_word(data: Path, tmp_path: Path) -> None:
    shutil.copy(data / "trusted.parquet", tmp_path)
    (block,) = [text for text in body("README.md", "bash") if text.startswith("lazaretto init")]
    printed = passed(run_lines(block, tmp_path))
    assert "This policy is valid" in printed
    assert (tmp_path / "my-gate/drop").is_dir()
    # The sentences below the block: where the DAG is, where catalog and store are.
    assert (tmp_path / "my-gate/dags/ingest_reviews.py").is_file()
    assert (tmp_path / ".lazaretto/catalog.db").is_file()
    # And a clean and a poisoned delivery go on from here.
    (tmp_path / "my-gate/drop/vendor-a").mkdir(exist_ok=True)
    for day, name in enumerate(("monday", "tuesday"), 2):
        shutil.copy(data / f"{name}.parquet", tmp_path / "my-gate/drop/vendor-a")
        file = f"my-gate/drop/vendor-a/{name}.parquet"
        lines = (
            f"lazaretto manifest sign {file} --source vendor-a --key vendor-a.key"
            f" --collected-from 2026-03-0{day} --collected-to 2026-03-0{day + 1}\n"
            f"lazaretto batch ingest {file} --source vendor-a --json"
            " --policy my-gate/policies/reviews.yaml\n"
        )
        held = {"lazaretto batch ingest": int(name == "tuesday")}
        passed(run_lines(lines, tmp_path), codes=held)


def test_the_readme_s_other_blocks_are_made_of_targets_and_packages_that_exist() -> None:
    """tests/e2e runs `make demo`, `make airflow` runs `make ui`, `make test-wheel` installs."""
    text = "".join(body("README.md", "bash", "text"))
    made = set(re.findall(r"^make ([\w-]+)", text, re.MULTILINE))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert made
    assert made <= targets
    assert set(re.findall(r"`make ([\w-]+)`", (ROOT / "README.md").read_text())) <= targets
    assert_installs(text)


@pytest.mark.parametrize(
    "page",
    [
        "docs/tutorial/first-gate.md",
        "docs/how-to/own-data.md",
        "docs/how-to/sign-deliveries.md",
    ],
)
def test_what_pages_install_are_extras_that_exist(page: str) -> None:
    assert_installs("".join(body(page, "bash")))


def assert_installs(text: str) -> None:
    """Every package that is installed is this one, with extras that it has, from where it is."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(declared["optional-dependencies"])
    installs = re.findall(r"pip install (.*)", text)
    assert installs
    for line in installs:
        named = re.findall(r"'?([\w./-]+)\[([\w,]+)\]'?", line)
        assert all(set(chosen.split(",")) <= extras for _, chosen in named), line


# CONTRIBUTING.md


def test_the_contributors_commands_name_targets_and_files_that_exist() -> None:
    lines = [line[2:] for text in body("CONTRIBUTING.md", "console") for line in text.splitlines()]
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in lines:
        words = line.split("#")[0].split()
        if words[0] == "make":
            assert set(words[1:]) <= targets, line
        for word in words:
            if re.match(r"(tests|src|docs)/", word):
                assert (ROOT / word).exists(), line
        if "-k" in words:
            file = next(word for word in words if word.startswith("tests/"))
            assert words[words.index("-k") + 1] in (ROOT / file).read_text(), line


# YAML


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(block.text, id=f"{block.page}:{block.line}")
        for block in BLOCKS
        if block.language == "yaml" and kind(block) not in {*ELSEWHERE, *NOT_RUN}
    ],
)
def test_every_yaml_block_is_a_part_of_a_valid_policy(text: str, tmp_path: Path) -> None:
    from lazaretto.detect import detector_names

    part = yaml.safe_load(text)
    plug_in = set(part.get("screen", {}).get("detectors", {})) - set(detector_names())
    assert plug_in <= {"angle"}, "the plug-in of how-to/add-a-detector.md"
    for name in plug_in:
        del part["screen"]["detectors"][name]
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump({"version": 1, "dataset": "d", "columns": {}} | part))
    assert Policy.load(file).dataset == "d"


# how-to/sign-deliveries.md, how-to/respond-to-an-incident.md


@pytest.mark.parametrize(
    ("page", "source"),
    [
        ("docs/how-to/sign-deliveries.md", "acme"),
        ("docs/how-to/respond-to-an-incident.md", "vendor"),
    ],
)
def test_a_key_is_revoked_as_the_page_says(page: str, source: str, tmp_path: Path) -> None:
    (block,) = [text for text in body(page, "bash") if "source revoke" in text]
    setup = (
        f"lazaretto source keygen {source}\n"
        f"lazaretto source add {source} --key {source}.pub --trust-tier reviewed\n"
        "KEY_ID=$(lazaretto source list --json | grep -oE '[0-9a-f]{64}' | head -n 1)\n"
    )
    printed = passed(run_lines(setup + block.replace("KEY_ID", "$KEY_ID"), tmp_path))
    assert "2026-03-" in printed


# how-to/audit-the-ledger.md


def test_an_auditor_runs_the_page(tmp_path: Path) -> None:
    page = "docs/how-to/audit-the-ledger.md"
    secure = tmp_path / "secure"
    secure.mkdir()
    (secure / "checkpoints").mkdir()
    take, verify, show, prove, extend = body(page, "bash")

    def told(text: str) -> str:
        newest = max((secure / "checkpoints").glob("*.txt"), default=Path("none"))
        text = re.sub(r"/secure/checkpoints/\d+-….txt", str(newest), text)
        text = re.sub(r"(?<=\s)/secure", str(secure), text).replace(" 812 ", " 2 ")
        return text.replace("--key ledger.pub", f"--key {secure}/ledger.pub")

    setup = "lazaretto source keygen v\nlazaretto source add vendor --key v.pub\n"
    passed(run_lines(setup + told(take), tmp_path))
    assert "holds" in passed(run_lines(told(verify), tmp_path))
    shown = passed(run_lines(told(show), tmp_path))
    assert "source_registered" in shown
    shutil.copy(next((secure / "checkpoints").glob("*.txt")), tmp_path / "january.txt")
    passed(run_lines(told(prove), tmp_path))
    (key,) = re.findall(r"lazaretto ledger checkpoint .*", told(take))
    passed(run_lines("lazaretto source add other\n" + key, tmp_path))
    passed(run_lines(told(extend), tmp_path))


# how-to/run-in-production.md


@pytest.mark.postgres
def test_production_is_set_up_as_the_page_says(
    postgres_server: str, data: Path, tmp_path: Path
) -> None:
    page = "docs/how-to/run-in-production.md"
    (roles,) = body(page, "sql")
    catalog, store, _, check, register, checkpoints, checks = body(page, "bash")
    server = re.sub(r"^postgresql\+psycopg", "postgresql", postgres_server)
    admin, url = server.format(name="postgres"), server.format(name="lazaretto_page")
    roles = roles.replace("'…'", "'secret'")
    # The throw-away server's own role is named as the page names its role.
    roles = re.sub(r"\b(ROLE|OWNER) lazaretto\b", r"\1 lazaretto_page", roles)
    roles = roles.replace("DATABASE lazaretto ", "DATABASE lazaretto_page ")
    secure = tmp_path / "secure"
    (secure / "checkpoints").mkdir(parents=True)

    def told(text: str) -> str:
        text = re.sub(r"pip install .*\n", "", text)
        text = text.replace("postgresql://lazaretto@db.internal/lazaretto", f"'{url}'")
        text = text.replace("PGPASSWORD=…", "PGPASSWORD=secret")
        newest = max((secure / "checkpoints").glob("*.txt"), default=Path("none"))
        text = re.sub(r"/secure/checkpoints/\d+-….txt", str(newest), text)
        return re.sub(r"(?<=\s)/secure", str(secure), text)

    psql = "".join(f'psql -v ON_ERROR_STOP=1 "{admin}" -c "{line}"\n' for line in roles.split("\n"))
    psql = psql.replace(f'psql -v ON_ERROR_STOP=1 "{admin}" -c ""\n', "")
    passed(run_lines(psql, tmp_path))
    try:
        where = told(store).replace("s3://training-data/lazaretto", str(tmp_path / "store"))
        passed(run_lines(where + told(catalog), tmp_path))
        init = "lazaretto init .\nlazaretto source add vendor --trust-tier reviewed\n"
        there = {"LAZARETTO_CATALOG_URL": url, "LAZARETTO_STORE": str(tmp_path / "store")}
        shutil.copy(data / "trusted.parquet", tmp_path)
        passed(run_lines(init + told(check) + told(register), tmp_path, **there))
        first, _, verify = told(checkpoints).rpartition("lazaretto ledger verify")
        passed(run_lines(first, tmp_path, **there))
        verify = told("lazaretto ledger verify" + checkpoints.rpartition("ledger verify")[2])
        passed(run_lines(verify + told(checks), tmp_path, **there))
    finally:
        drop = (
            f'psql "{admin}" -c "DROP DATABASE lazaretto_page WITH (FORCE)"\n'
            f'psql "{admin}" -c "DROP ROLE lazaretto_page"\n'
        )
        run_lines(drop, tmp_path)
    assert_installs(catalog)


@pytest.mark.airflow
def test_the_connection_of_the_page_can_be_made(tmp_path: Path) -> None:
    page = "docs/how-to/run-in-production.md"
    (block,) = [text for text in body(page, "bash") if text.startswith("airflow connections")]
    lines = f"airflow db migrate\n{block}airflow connections get lazaretto_default -o json\n"
    printed = passed(run_lines(lines, tmp_path, AIRFLOW_HOME=str(tmp_path / "airflow")))
    assert "s3://training-data/lazaretto" in printed
