"""Which keys of train-regressor go together, said before anything is read."""

import pytest
from pydantic import ValidationError

from rnncli.config.regression import ONLY_FOR, RegressionDataConfig


def forecast(**more):
    return RegressionDataConfig.model_validate({"input": "forecast", "train": "t.csv"} | more)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"split": (0.6, 0.5, 0.2)}, "split: three shares above 0 that add up to 1 or less, or three numbers of rows"),
        ({"split": (0.6, -0.2, 0.2)}, "split: three shares above 0"),
        ({"split": (100, 20.5, 20)}, "split: three shares above 0"),
        ({"anchor": "season", "window": 12}, "window: must be season or more with anchor season"),
        ({"standardise": False}, "standardise: has no meaning for input forecast"),
        ({"valid_fraction": 0.3}, "valid_fraction: has no meaning for input forecast"),
        ({"tokenizer": "chars"}, "tokenizer: has no meaning for input forecast"),
        ({"channels": []}, "channels"),
        ({"targets": []}, "targets"),
    ],
)
def test_a_key_that_would_do_nothing_or_harm_is_refused(data, message):
    with pytest.raises(ValidationError, match=message):
        forecast(**data)


def test_what_is_allowed():
    assert forecast(split=[8640, 2880, 2880]).split == (8640, 2880, 2880)
    assert forecast(split=(0.7, 0.15, 0.15), anchor="season", window=24).season == 24
    assert RegressionDataConfig(input="probe").train is None


@pytest.mark.parametrize("kind", ["text", "series", "forecast", "probe"])
def test_a_config_written_out_in_full_is_read_again(kind):
    data = RegressionDataConfig.model_validate({"input": kind, "train": None if kind == "probe" else "f"})
    assert RegressionDataConfig.model_validate(data.model_dump()) == data


def test_the_table_of_keys_names_fields_and_kinds_that_exist():
    kinds = {"text", "series", "forecast", "probe"}
    assert set(ONLY_FOR) <= set(RegressionDataConfig.model_fields)
    assert all(set(kinds_of) < kinds for kinds_of in ONLY_FOR.values())
