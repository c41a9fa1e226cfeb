"""Policies: mistakes are named by file, line and key; the schema says what the model accepts."""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples
from pydantic import ValidationError

from lazaretto.errors import PolicyError
from lazaretto.policy import Policy, policy_schema

if TYPE_CHECKING:
    from pathlib import Path

FULL = """\
# yaml-language-server: $schema=policy.schema.json
version: 1
dataset: reviews
columns: {record_id: id, label: label, embedding: embedding, payload: [text]}
contract: contracts.reviews:Review
sources: {require_signature: true, clock_skew_seconds: 60}
limits: {max_columns: 64}
screen:
  reference: reviews
  false_quarantine_rate: 1e-2
  detectors:
    mahalanobis: {mode: enforce}
    knn_label: {mode: enforce, k: 20}
    autoencoder: {mode: shadow}
  batch: {alpha: 0.001, hold_when_held_fraction: 0.2}
sanitize: {layers: [fc1], methods: [whitened_spectral], false_quarantine_rate: 0.01}
review: {require_two_people: false, expire_days: 90}
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "policy.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def error_of(folder: Path, text: str | bytes) -> str:
    path = write(folder, text)
    with pytest.raises(PolicyError) as raised:
        Policy.load(path)
    return str(raised.value).replace(str(path), "policy.yaml")


def test_a_policy_is_read_with_path_and_digest_of_its_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, FULL)
    policy = Policy.load(path)
    assert policy.screen.false_quarantine_rate == 0.01
    assert policy.screen.detectors["knn_label"].options == {"k": 20}
    assert policy.screen.detectors["autoencoder"].mode == "shadow"
    assert policy.sha256 == hashlib.sha256(FULL.encode()).hexdigest()
    assert policy.ref(None).path == str(path)


def test_three_keys_make_a_policy_and_a_dict_makes_the_same(tmp_path: Path) -> None:
    text = "version: 1\ndataset: reviews\ncolumns: {record_id: id}\n"
    loaded = Policy.load(write(tmp_path, text))
    made = Policy.model_validate(
        {"version": 1, "dataset": "reviews", "columns": {"record_id": "id"}}
    )
    assert loaded.model_dump() == made.model_dump()
    assert made.sha256 == Policy.model_validate(made.model_dump()).sha256
    assert loaded.sha256 != made.sha256


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "reference:",
            "refrence:",
            "policy.yaml:9: screen.refrence: unknown key (did you mean 'reference'?)",
        ),
        (
            "label: label",
            "labl: label",
            "policy.yaml:4: columns.labl: unknown key (did you mean 'label'?)",
        ),
        (
            "limits: {max_columns: 64}",
            "limits: {zzz: 64}",
            "policy.yaml:7: limits.zzz: unknown key; there are cpu_seconds, max_bytes, "
            "max_columns, ",
        ),
        ("dataset: reviews\n", "", "policy.yaml:2: dataset: is required"),
        (
            "1e-2",
            "2",
            "policy.yaml:10: screen.false_quarantine_rate: Input should be less than 1, not '2'",
        ),
        (
            "knn_label: {mode: enforce,",
            "knn_label: {mdoe: shadow,",
            "policy.yaml:13: screen.detectors.knn_label: unknown key 'mdoe' (did you mean 'mode'?)",
        ),
        (
            "{mode: shadow}",
            "{mode: shadwo}",
            "policy.yaml:14: screen.detectors.autoencoder.mode: Input should be 'enforce', "
            "'shadow' or 'off', "
            "not 'shadwo'",
        ),
        ("version: 1", "version: 2", "policy.yaml:2: version: Input should be 1, not '2'"),
        (
            "expire_days: 90",
            'expire_days: "90"',
            "policy.yaml:17: review.expire_days: Input should be a valid integer, not '90'",
        ),
        (
            "require_two_people: false",
            "require_two_people: no",
            "policy.yaml:17: review.require_two_people: Input should be a valid boolean, not 'no'",
        ),
        (
            "[text]",
            "text",
            "policy.yaml:4: columns.payload: Input should be a valid list, not 'text'",
        ),
        (
            "alpha: 0.001",
            "alpha: .nan",
            "policy.yaml:15: screen.batch.alpha: Input should be a finite number, not 'nan'",
        ),
        (
            "layers: [fc1]",
            "layers: [1]",
            "policy.yaml:16: sanitize.layers.0: Input should be a valid string, not '1'",
        ),
        (
            "dataset: reviews\n",
            "dataset: reviews\ndataset: other\n",
            "policy.yaml:4: dataset: repeated; it is on line 3 already",
        ),
        (
            "embedding: embedding,",
            "embedding: embedding, label: x,",
            "policy.yaml:4: columns.label: repeated; it is on line 4 already",
        ),
        (
            "dataset: reviews",
            "dataset: ../../etc",
            "policy.yaml:3: dataset: String should match pattern",
        ),
    ],
)
def test_a_mistake_is_named_by_file_line_and_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in FULL
    assert error_of(tmp_path, FULL.replace(old, new, 1)).startswith(message)


def test_all_mistakes_are_told_at_once_in_order_of_lines(tmp_path: Path) -> None:
    text = FULL.replace("expire_days: 90", "expire_days: 0").replace(
        "require_signature", "require_sig"
    )
    lines = error_of(tmp_path, text).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["policy.yaml:6", "policy.yaml:17"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "policy.yaml:1: a policy is a mapping of keys, such as `version: 1`"),
        (b"- a\n", "policy.yaml:1: a policy is a mapping of keys, such as `version: 1`"),
        (b"version: 1\ncolumns: {record_id: id\n", "policy.yaml:3: not valid YAML: "),
        (b"version: 1\n\tdataset: x\n", "policy.yaml:2: not valid YAML: "),
        (b"version: 1\ndataset: \xff\n", "policy.yaml: byte 20 is not UTF-8"),
        (b"version: 1\ndataset: \0\n", "policy.yaml: not valid YAML: "),
        (b"a: &x [1]\nb: *x\n", "policy.yaml:2: aliases (*x) are not read"),
        (b"version: !!python/name:os.system\n", "policy.yaml:1: version: "),
        (
            b"version: 1\ncolumns: !!set {a, b}\n",
            "policy.yaml:2: columns: tags (tag:yaml.org,2002:set)",
        ),
        (
            b"version: 1\ncolumns: !mine {a: b}\n",
            "policy.yaml:2: columns: tags (!mine) are not read",
        ),
        (b"? [a, b]\n: 1\n", "policy.yaml:1: a key is a word"),
        (b"version: 1\ndataset: x\n---\nversion: 1\n", "policy.yaml:3: not valid YAML: "),
        (b"a: " + b"[" * 100 + b"]" * 100, "policy.yaml:1: nested deeper than 32 levels"),
        (b"a: " + b"[" * 100_000, "policy.yaml:1: nested deeper than 32 levels"),
        (b"#" * (1 << 20) + b"\n", "policy.yaml: 1,048,577 bytes; a policy has at most 1,048,576"),
    ],
    ids=lambda value: str(value[:24]),
)
def test_what_is_no_policy_is_refused_without_a_crash(
    tmp_path: Path, text: bytes, message: str
) -> None:
    assert error_of(tmp_path, text).startswith(message)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as raised:
        Policy.load(tmp_path / "nowhere.yaml")
    assert (
        str(raised.value)
        == f"{tmp_path / 'nowhere.yaml'}: cannot be read: No such file or directory"
    )


def test_the_schema_is_valid_and_accepts_the_full_policy() -> None:
    schema = policy_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    content = yaml.safe_load(FULL.replace("1e-2", "0.01"))
    jsonschema.Draft202012Validator(schema).validate(content)


def _places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in items:
        found += _places(value, (*path, key))
    return found


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 200),
    # JSON schema takes 1.0 for an integer.
    st.floats(-1, 2, allow_nan=False).filter(lambda x: not x.is_integer()),
    st.sampled_from(["enforce", "mean", "5", "", "x/y", "../x"]),
    st.lists(st.sampled_from(["a", 1]), max_size=2),
    st.dictionaries(
        st.sampled_from(["mode", "label", "k", "zzz"]),
        st.sampled_from(["a", "shadow", 1]),
        max_size=2,
    ),
)


def test_a_truth_value_is_no_version() -> None:
    content = yaml.safe_load(FULL.replace("1e-2", "0.01")) | {"version": True}
    assert not jsonschema.Draft202012Validator(policy_schema()).is_valid(content)
    with pytest.raises(ValidationError, match="number 1"):
        Policy.model_validate(content)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("detectors", {}),
        ("detectors", {"knn_label": {"mode": "off"}, "autoencoder": {"mode": "off"}}),
        ("batch", {"tests": {"mdm": "shadow"}}),
    ],
)
def test_what_a_validator_refuses_the_schema_refuses(place: str, value: Any) -> None:
    content = yaml.safe_load(FULL.replace("1e-2", "0.01"))
    content["screen"][place] = value
    assert not jsonschema.Draft202012Validator(policy_schema()).is_valid(content)
    with pytest.raises(ValidationError):
        Policy.model_validate(content)


@given(data=st.data())
@settings(max_examples=examples(300), deadline=None)
def test_the_schema_accepts_just_what_the_model_accepts(data: st.DataObject) -> None:
    content: Any = yaml.safe_load(FULL.replace("1e-2", "0.01"))
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(_places(content)))
        place = content
        for step in path[:-1]:
            place = place[step]
        change = data.draw(st.sampled_from(["replace", "delete", "add"]))
        if change == "replace":
            place[path[-1]] = data.draw(JUNK)
        elif change == "delete":
            del place[path[-1]]
        elif isinstance(place, dict):
            place[data.draw(st.sampled_from(["zzz", "label", "screen"]))] = data.draw(JUNK)
    valid = jsonschema.Draft202012Validator(policy_schema()).is_valid(content)
    try:
        Policy.model_validate(copy.deepcopy(content))
        accepted = True
    except ValidationError:
        accepted = False
    assert valid == accepted


def test_who_lets_no_count_of_small_p_values_hold_a_batch_has_none_that_does() -> None:
    """Policies from before ``broad_excess`` switched the one count off that there was."""

    def mode(**tests: str) -> str:
        screen = {"reference": "digits", "batch": {"tests": tests}}
        policy = Policy.model_validate(
            {"version": 1, "dataset": "digits", "columns": {"record_id": "id"}, "screen": screen}
        )
        return policy.screen.test_modes["broad_excess"]

    assert mode() == "enforce"
    assert mode(mmd="off") == "enforce"
    assert mode(small_p_values="off") == "off"
    assert mode(small_p_values="shadow") == "shadow"
    assert mode(small_p_values="off", broad_excess="enforce") == "enforce"
