"""Values follow the YAML 1.2 core schema, and what is written is read back."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.config.yaml12 import YamlError, dump_value, parse_value, parse_yaml

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("1e-3", 1e-3),
        ("+.5", 0.5),
        ("0o17", 15),
        ("017", 17),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("true", True),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("~", None),
        ("", None),
        ("Null", None),
        ("-.inf", -math.inf),
        (".INF", math.inf),
        ("1.", 1.0),
        ("'1'", "1"),
        ("=", "="),
        ("[a, 1]", ["a", 1]),
        ("!!str 1", "1"),
    ],
)
def test_core_schema_values(text, value):
    """Each plain scalar means what YAML 1.2.2, section 10.3.2 says, in value and in type."""
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_nan_is_read():
    assert math.isnan(parse_value(".NaN"))


@settings(deadline=None, max_examples=300)
@given(scalars | st.lists(scalars, max_size=4))
def test_dumped_values_are_read_back(value):
    """dump_value and parse_value are inverse for scalars and lists, whatever the text holds."""
    found = parse_yaml(f"key: {dump_value(value)}\n")[0]["key"]
    assert found == value
    assert repr(found) == repr(value)


def test_lines_of_keys_and_items():
    _, lines = parse_yaml("a:\n  b: 1\n  c:\n    - x\n    - y\n")
    assert lines == {("a",): 1, ("a", "b"): 2, ("a", "c"): 3, ("a", "c", 0): 4, ("a", "c", 1): 5}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "written twice, first on line 1"),
        ("s:\n  k: 1\n  k: 1\n", 3, "s.k: written twice"),
        ("a: [1\n", 2, "not YAML"),
        ("a: !!python/object:os.system x\n", 1, "not a value of the type"),
        ("a: !mine {b: 1}\n", 1, "not allowed"),
        ("? [a]\n: 1\n", 1, "a key must be a word"),
        ("a: &x [*x]\n", 1, "too deeply"),
        ("a: 1\n---\nb: 2\n", 2, "single document"),
        ("ok: 1\nb: \x07\n", 2, "control characters"),
        ("!!int 1" + "0" * 5000, 1, "not a value"),
    ],
)
def test_what_is_refused(text, line, words):
    """Everything but one plain document is an error with its line; nothing is built from tags."""
    with pytest.raises(YamlError, match=words) as caught:
        parse_yaml(text)
    assert caught.value.line == line


def test_aliases_cannot_blow_up():
    """Nine levels of nine aliases are 387 million nodes; the loader stops early."""
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
    with pytest.raises(YamlError, match="repeated too often"):
        parse_yaml(text)


def test_deep_nesting_is_an_error_not_a_crash():
    with pytest.raises(YamlError, match="nested too deeply"):
        parse_yaml("[" * 5000)
