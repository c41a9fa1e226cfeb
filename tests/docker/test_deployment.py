"""What can be checked of the deployment without a Docker engine."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lazaretto.policy import Policy

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LONG_RUNNING = sorted(name for name, service in SERVICES.items() if service.get("restart") != "no")


def images() -> list[str]:
    base = re.findall(r"^FROM (\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    return base + sorted({service["image"] for service in SERVICES.values()})


@pytest.mark.parametrize("image", images())
def test_images_are_pinned_to_a_release(image: str) -> None:
    name, _, tag = image.partition(":")
    assert name
    assert re.search(r"\d+\.\d+", tag), f"{image}: 'latest' or a major version moves under the user"


def test_airflow_has_its_four_parts() -> None:
    commands = {service.get("command") for service in SERVICES.values()}
    assert {"api-server", "scheduler", "dag-processor", "triggerer"} <= commands


def test_every_mounted_path_exists() -> None:
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source, target, *_ = mount.split(":")
            assert target.startswith("/")
            if source.startswith("."):
                assert (DOCKER / source).exists(), f"{name} mounts {source}"
                assert mount.endswith(":ro"), f"{name} could change {source} of this checkout"
            else:
                assert source in COMPOSE["volumes"], f"{name} uses an undeclared volume"


def test_no_secret_is_written_down_or_has_a_default() -> None:
    required = r"\$\{[A-Z0-9_]+:\?[^}]+\}"
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            text = str(value)
            if re.search(r"PASSWORD$|SECRET|_KEY$|FERNET|ACCESS_KEY", key):
                assert re.fullmatch(required, text), f"{name}.{key} has a literal or a default"
            for password in re.findall(r"://[^/@\s]*:([^@\s]+)@", text):
                assert re.fullmatch(required, password), f"{name}.{key} has a password in its URL"
    assert "${" in (DOCKER / "marquez.yml").read_text().split("password:")[1].splitlines()[0]


def test_readme_generates_every_required_secret() -> None:
    needed = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (DOCKER / "compose.yaml").read_text()))
    readme = (DOCKER / "README.md").read_text()
    assert needed == {name for name in needed if re.search(rf"\b{name}\b", readme)}
    assert "Not run" in readme


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_long_running_services_say_when_they_are_well(name: str) -> None:
    if name == "marquez-web":  # a page for people; nothing waits for it
        return
    assert SERVICES[name]["healthcheck"]["test"]


def test_what_is_waited_for_can_come() -> None:
    for service in SERVICES.values():
        for other, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]
            else:
                assert SERVICES[other]["restart"] == "no"


def test_ports_are_open_on_the_loopback_address_only() -> None:
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_image_ends_unprivileged() -> None:
    users = re.findall(r"^USER (\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert users[-1] == "airflow"
    assert not any(
        service.get("privileged") or service.get("user") for service in SERVICES.values()
    )


@pytest.mark.parametrize("script", sorted(DOCKER.glob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_parse(script: Path) -> None:
    shell = script.read_text().splitlines()[0].rsplit("/", 1)[1].split()[-1]
    subprocess.run([shell, "-n", str(script)], check=True)


def test_policy_is_valid_and_for_the_dataset_of_the_deployment() -> None:
    policy = Policy.load(DOCKER / "policies" / "policy.yaml")
    assert policy.dataset == SERVICES["scheduler"]["environment"]["LAZARETTO_DATASET"]


# --- the deployment that `make airflow` runs is this one, without containers

PARTS = "".join(
    (ROOT / "tests" / file).read_text()
    for file in ("deployment/parts.py", "support/servers.py", "support/airflow_settings.py")
)


def test_what_runs_without_containers_are_the_same_parts_with_the_same_settings() -> None:
    commands = {service.get("command") for service in SERVICES.values()}
    parts = re.search(r"^PARTS = \((.*)\)$", PARTS, re.MULTILINE)
    assert parts is not None
    assert set(re.findall(r'"([\w-]+)"', parts[1])) <= commands
    settings = dict(re.findall(r'^        "([A-Z0-9_]+)": "([^"]*)",$', PARTS, re.MULTILINE))
    for name in ("AIRFLOW__CORE__EXECUTOR", "AWS_ALLOW_HTTP", "AWS_CONDITIONAL_PUT", "AWS_REGION"):
        assert settings[name] == SERVICES["scheduler"]["environment"][name]


def test_make_airflow_runs_it() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "airflow: $(STAMP) assets\n\t$(BIN)/python tests/deployment\n" in makefile
    assert (ROOT / "tests" / "deployment" / "__main__.py").exists()


def test_packages_that_the_image_adds_can_be_installed_with_the_constraints() -> None:
    """One pin that a driver does not take, and the image cannot be built."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines]
    pinned = {canonicalize_name(name): version for name, version in pairs}
    recipe = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    (command,) = re.findall(r"pip install .*", recipe)
    added = set(re.findall(r"(?<= )[a-z][\w-]*(?= |$)", command)) - {"install"}
    assert "s3fs" in added
    seen: set[str] = set()
    waiting = sorted(added)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        assert name in pinned, f"{name} is not in constraints.txt"
        for text in requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                version = pinned.get(canonicalize_name(needed.name), "none")
                assert needed.specifier.contains(version), f"{name} needs {text}, not {version}"
                waiting.append(needed.name)
    assert "botocore" in seen
