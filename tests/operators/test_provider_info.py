"""What the provider tells Airflow is valid, complete and importable."""

from __future__ import annotations

import importlib
import json
import re
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from lazaretto.get_provider_info import get_provider_info

OPERATORS = Path(__file__).parents[2] / "operators"
INFO = get_provider_info()


def test_metadata_fits_airflows_own_schema() -> None:
    schema = json.loads((files("airflow") / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_both_entry_points_lead_here() -> None:
    providers = {point.value for point in entry_points(group="apache_airflow_provider")}
    assert "lazaretto.get_provider_info:get_provider_info" in providers
    plugins = {point.name: point.value for point in entry_points(group="airflow.plugins")}
    assert plugins["lazaretto"] == "lazaretto.plugins.lazaretto_plugin:LazarettoPlugin"


@pytest.mark.airflow
def test_every_named_thing_can_be_imported() -> None:
    modules = [
        module
        for kind in ("operators", "sensors", "hooks", "triggers")
        for group in INFO[kind]
        for module in group["python-modules"]
    ]
    paths = [
        *INFO["extra-links"],
        *INFO["notifications"],
        INFO["connection-types"][0]["hook-class-name"],
    ]
    paths += [
        INFO["asset-uris"][0][key] for key in ("handler", "factory", "to_openlineage_converter")
    ]
    for module in modules:
        importlib.import_module(module)
    for path in paths:
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.airflow
def test_every_operator_file_is_listed() -> None:
    listed = {
        module.rsplit(".", 1)[1]
        for kind in ("operators", "sensors")
        for group in INFO[kind]
        for module in group["python-modules"]
    }
    there = {
        path.stem
        for path in OPERATORS.glob("*.py")
        if re.search(r"^class \w+Operator\(", path.read_text(), re.MULTILINE)
    }
    assert listed == there - {"base"}


@pytest.mark.airflow
def test_the_connection_form_has_fields_of_its_own_and_no_deprecated_hook_method(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """As Airflow 3.2 and later read it, without importing the hook."""
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    manager.initialize_providers_hooks()
    prefix = "extra__lazaretto__"
    form = {
        name.removeprefix(prefix): widget
        for name, widget in manager.connection_form_widgets.items()
        if name.startswith(prefix)
    }
    titles = {name: widget.field["schema"]["title"] for name, widget in form.items()}
    assert titles == {
        "catalog_url": "Catalog URL",
        "store": "Store",
        "namespace": "OpenLineage namespace",
    }
    assert all(widget.field["description"] for widget in form.values())
    behaviour = manager.field_behaviours["lazaretto"]
    assert set(behaviour["hidden_fields"]) == {"host", "port", "schema", "login", "extra"}
    assert behaviour["relabeling"] == {"password": "Catalog password"}
    assert manager.hooks["lazaretto"] is not None  # imports the hook
    assert not [one for one in recwarn if "LazarettoHook" in str(one.message)]


@pytest.mark.airflow
def test_what_the_form_sends_is_what_the_hook_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Empty fields come as null; the password is a field of its own."""
    from lazaretto.operators import LazarettoHook
    from lazaretto.storage.catalog import Catalog

    Catalog.open(f"sqlite:///{tmp_path}/c.db")
    fields = INFO["connection-types"][0]["conn-fields"]
    entered = {"catalog_url": f"sqlite:///{tmp_path}/c.db", "store": str(tmp_path / "store")}
    sent = dict.fromkeys(fields) | entered
    for name, value in sent.items():
        jsonschema.validate(value, fields[name]["schema"])
    connection = {"conn_type": "lazaretto", "extra": sent, "password": None}
    monkeypatch.setenv("AIRFLOW_CONN_FORM", json.dumps(connection))
    opened = LazarettoHook("form").workspace()
    assert (opened.store.root, opened.namespace) == (entered["store"], "lazaretto")


@pytest.mark.airflow
def test_airflow_finds_configuration_and_connection_type() -> None:
    from airflow.sdk import conf
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    assert conf.get("lazaretto", "namespace", fallback="missing") == ""
    manager = ProvidersManagerTaskRuntime()
    assert manager.hooks["lazaretto"] is not None
    assert "lazaretto" in manager.asset_uri_handlers


@pytest.mark.airflow
@pytest.mark.parametrize(
    ("kind", "base"), [("hooks", "(BaseHook)"), ("triggers", "(Base(?:Event)?Trigger)")]
)
def test_every_hook_and_trigger_file_is_listed(kind: str, base: str) -> None:
    listed = {
        module.rsplit(".", 1)[1] for group in INFO[kind] for module in group["python-modules"]
    }
    pattern = re.compile(rf"^class \w+\({base.strip('()')}\)", re.MULTILINE)
    assert listed == {p.stem for p in OPERATORS.glob("*.py") if pattern.search(p.read_text())}


def test_every_link_is_listed_and_every_option_says_since_when() -> None:
    links = {
        f"lazaretto.operators.{path.stem}.{name}"
        for path in OPERATORS.glob("*.py")
        for name in re.findall(r"^class (\w+)\(BaseOperatorLink\)", path.read_text(), re.MULTILINE)
    }
    assert set(INFO["extra-links"]) == links
    for option in INFO["config"]["lazaretto"]["options"].values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", option["version_added"])
        assert option["description"]
