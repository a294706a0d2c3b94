"""YAML as recipes have it: numbers by version 1.2, and one line for what cannot be read."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from laws_support import few

from priorsolve.recipe.yamlfile import dump, parse, problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("-08", -8),
        ("+7", 7),
        ("0o10", 8),
        ("0xfF", 255),
        ("1:30", "1:30"),
        ("1:30.5", "1:30.5"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("010.", 10.0),
        ("-.5E-1", -0.05),
        ("6.", 6.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        (".", "."),
        ("-", [None]),
        ("1.2.3", "1.2.3"),
        ("12e", "12e"),
        ("'010'", "010"),
        ("\u0663", "\u0663"),
    ],
)
def test_numbers_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = parse(text)
    assert (found, type(found)) == (value, type(value))


@few
@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.text(st.sampled_from("0123456789abcdefoxE_:.+-"), max_size=6)))
def test_what_is_kept_reads_back_the_same(value: Any) -> None:
    """By older YAML too, which takes more texts for numbers."""
    for read in (parse, yaml.safe_load):
        again = read(dump({"key": value}))["key"]
        assert (again, type(again)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!bool maybe", "line 1: 'maybe' is no bool"),
        ('!!int ""', "line 1: invalid literal for int"),
        ('!!float ""', "line 1: '' is no float"),
        ("!!timestamp x", "line 1: 'x' is no timestamp"),
        ("a: 1\nb: 2024-13-45", "line 2: month must be in 1..12"),
        ("!!python/name:os.system x", "line 1: could not determine a constructor"),
    ],
)
def test_a_value_that_its_tag_does_not_fit_is_one_line(text: str, message: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        parse(text)
    assert problem(caught.value).startswith(message)
