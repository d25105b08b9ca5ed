"""load_config: order of the layers, origins, and one-line errors that say where, what and what to do."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnncli.config.embeddings import CorpusConfig, EmbeddingsConfig
from rnncli.config.inspection import GradientCheckConfig, InspectConfig
from rnncli.config.load import config_to_yaml, json_schema, load_config, template_yaml
from rnncli.config.rnn import ClassifierConfig, DataConfig
from rnncli.errors import ConfigError, UsageError

DATA = "data: {train: a}\n"
SCHEMAS = [ClassifierConfig, EmbeddingsConfig, InspectConfig, GradientCheckConfig]


@pytest.fixture
def recipe(tmp_path):
    """A function that writes a config file and returns its path."""

    def write(text):
        path = tmp_path / "x.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def problem(schema, path, overrides=(), flags=None, environ=None):
    with pytest.raises(ConfigError) as caught:
        load_config(schema, path, overrides, flags or {}, environ or {})
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(str(path), "x.yaml")


def test_each_layer_wins_over_the_next(recipe):
    """flag > --set > environment > file > default, one layer taken away at a time."""
    path = recipe("data: {train: a.tsv}\nseed: 10\n")
    environ, overrides, flags = {"RNNCLI_SEED": "20"}, ["seed=30"], {"seed": 40}
    empty = recipe
    cases = [
        (load_config(ClassifierConfig, path, overrides, flags, environ), 40, "flag --seed"),
        (load_config(ClassifierConfig, path, overrides, {"seed": None}, environ), 30, "--set"),
        (load_config(ClassifierConfig, path, (), {}, environ), 20, "environment RNNCLI_SEED"),
        (load_config(ClassifierConfig, path, (), {}, {}), 10, f"file {path}:2"),
        (load_config(ClassifierConfig, empty("data: {train: a.tsv}"), (), {}, {}), 1, "default"),
    ]
    for loaded, seed, origin in cases:
        assert loaded.config.seed == seed
        assert loaded.origin["seed"] == origin


def test_origin_names_every_value(recipe):
    loaded = load_config(ClassifierConfig, recipe("data:\n  train: a.tsv\n"), (), {}, {"RNNCLI_TRAINING__LR": "1e-2"})
    assert loaded.config.training.lr == 0.01
    assert loaded.origin["training.lr"] == "environment RNNCLI_TRAINING__LR"
    assert loaded.origin["data.valid"] == "default"
    assert loaded.origin["data.train"].endswith("x.yaml:2")


def test_variables_that_mean_something_else_are_ignored(recipe):
    """Sections and unknown names without `__`, other commands' sections, and empty values are not ours."""
    environ = {"RNNCLI_DATA": "/d", "RNNCLI_CACHE": "/c", "RNNCLI_CORPUS__PATHS": "x", "RNNCLI_SEED": "", "SEED": "3"}
    loaded = load_config(ClassifierConfig, recipe("data: {train: a}"), environ=environ)
    assert loaded.config.seed == 1
    assert {v for k, v in loaded.origin.items() if k != "data.train"} == {"default"}


def test_sections_are_merged_key_by_key(recipe):
    path = recipe("data: {train: a}\ntraining: {lr: 0.5, epochs: 7}\n")
    training = load_config(ClassifierConfig, path, ["training={epochs: 3}"], {}, {}).config.training
    assert (training.lr, training.epochs) == (0.5, 3)


def test_set_with_nothing_is_null_and_last_wins(recipe):
    path = recipe("data: {train: a, max_length: 5}\n")
    config = load_config(ClassifierConfig, path, ["data.max_length=", "seed=2", "seed=3"], {}, {}).config
    assert config.data.max_length is None
    assert config.seed == 3


def test_whole_floats_stand_for_integers(recipe):
    config = load_config(
        ClassifierConfig, recipe("data: {train: a, max_vocab: 1e5}\ntraining: {lr: 1}"), (), {}, {}
    ).config
    assert config.data.max_vocab == 100_000
    assert config.training.lr == 1.0


def test_one_path_or_several(recipe):
    for text, n in (("a.txt", 1), ("[a.txt, b.txt]", 2), ("-", 1)):
        config = load_config(
            EmbeddingsConfig,
            recipe(f"corpus: {{paths: '{text}'}}" if n == 1 else f"corpus: {{paths: {text}}}"),
            (),
            {},
            {},
        ).config
        assert len(config.corpus.paths) == n


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DATA + "training:\n  lerning_rate: 1\n", ":3: training.lerning_rate: unknown key; did you mean training.lr?"),
        (DATA + "lr: 1\n", ":2: lr: unknown key; did you mean training.lr?"),
        (DATA + "training: {learning_rate: 1}\n", ":2: training.learning_rate: unknown key; did you mean training.lr?"),
        (DATA + "modle: {cell: rnn}\n", ":2: modle: unknown key; did you mean model?"),
        (DATA + "zzzz: 1\n", ":2: zzzz: unknown key; known here: data, embeddings, model, training, seed, threads"),
        (DATA + "seed: abc\n", ":2: seed: expected a whole number, found the text 'abc'"),
        (DATA + "seed: '5'\n", ":2: seed: expected a whole number, found the text '5'"),
        (DATA + "seed: true\n", ":2: seed: expected a whole number, found true"),
        (DATA + "seed: 1.5\n", ":2: seed: expected a whole number, found 1.5"),
        ("data: {train: a, lowercase: no}", ":1: data.lowercase: expected true or false, found the text 'no'"),
        ("data: {train: a, text_column: 5}", ":1: data.text_column: expected text (put a number in quotes), found 5"),
        (DATA + "training:\n  lr: -1\n", ":3: training.lr: expected a number above 0, found -1"),
        (DATA + "training: {lr: .inf}\n", ":2: training.lr: expected a finite number, found infinity"),
        (DATA + "model: 3\n", ":2: model: expected a section (key: value lines), found 3"),
        (DATA + "model:\n", ":2: model: expected a section (key: value lines), found null"),
        ("seed: 1\ndata:\n  valid: b\n", ":2: data.train: required key is missing (Labelled file to learn from)"),
        ("seed: 1\n", ": data.train: required key is missing (Labelled file to learn from)"),
        ("", ": data.train: required key is missing (Labelled file to learn from)"),
        ("- a\n", ":1: expected lines of the form key: value, found a list"),
        (DATA + "seed: 1\nseed: 2\n", ":3: seed: written twice, first on line 2; remove one"),
        (b"seed: 1\nx: \xff\n", ":2: not UTF-8 text; a config is a YAML file"),
        (b"\x89PNG\r\n\x1a\n\x00", ":1: not UTF-8 text; a config is a YAML file"),
        (b"seed: 1\n\x00\x01", ":2: holds control characters; not a text file"),
    ],
)  # fmt: skip
def test_errors_in_a_file(recipe, text, expected):
    assert problem(ClassifierConfig, recipe(text)) == "x.yaml" + expected


def test_literal_error_names_the_choices(recipe):
    assert ": model.cell: expected rnn, relu, lstm or gru" in problem(
        ClassifierConfig, recipe("data: {train: a}\nmodel: {cell: x}")
    )


def test_several_errors_report_the_first_by_line(recipe):
    text = "data:\n  train: a\ntraining:\n  epochs: many\n  lerning_rate: 1\nseed: -1\n"
    assert problem(ClassifierConfig, recipe(text)) == (
        "x.yaml:4: training.epochs: expected a whole number, found the text 'many' (and 2 more)"
    )


@pytest.mark.parametrize(
    ("overrides", "flags", "environ", "expected"),
    [
        (["model.cel=x"], {}, {}, "--set: model.cel: unknown key; did you mean model.cell?"),
        (["model.cell.x=1"], {}, {}, "found a section"),
        (["seed"], {}, {}, "--set seed: expected key=value, for instance --set seed=2"),
        (["=3"], {}, {}, "expected key=value"),
        (["data.train=@x"], {}, {}, "--set data.train: not YAML"),
        ([], {"seed": -1}, {}, "--seed: expected a number of at least 0, found -1"),
        ([], {}, {"RNNCLI_MODEL__CEL": "1"}, "environment RNNCLI_MODEL__CEL: model.cel: unknown key; did you mean"),
        ([], {}, {"RNNCLI_SEED": "x"}, "environment RNNCLI_SEED: seed: expected a whole number"),
    ],
)
def test_errors_elsewhere_say_where(recipe, overrides, flags, environ, expected):
    """A mistake in --set, a flag or the environment is not blamed on the file."""
    found = problem(ClassifierConfig, recipe("data: {train: a}\nmodel: {cell: rnn}\n"), overrides, flags, environ)
    assert expected in found
    assert "x.yaml" not in found


def test_missing_file_and_folder_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match="no such config file"):
        load_config(ClassifierConfig, tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="is a folder"):
        load_config(ClassifierConfig, tmp_path)


def test_without_a_file_the_error_says_how_to_give_the_key():
    with pytest.raises(ConfigError, match=r"^data\.train: required key is missing .*--set data\.train="):
        load_config(ClassifierConfig, None, environ={})


def test_byte_order_mark_and_windows_line_ends(recipe):
    assert load_config(ClassifierConfig, recipe(b"\xef\xbb\xbfdata:\r\n  train: a.tsv\r\n"), environ={}).config.data


@pytest.mark.parametrize("schema", SCHEMAS)
def test_template_is_valid_and_has_every_key(schema, recipe):
    """The template loads as it is, and only required values differ from the defaults."""
    loaded = load_config(schema, recipe(template_yaml(schema)), environ={})
    assert "default" not in loaded.origin.values()
    required = {name for name, field in schema.model_fields.items() if field.is_required()}
    for name, field in schema.model_fields.items():
        if name not in required:
            assert getattr(loaded.config, name) == field.get_default()


@pytest.mark.parametrize("schema", SCHEMAS)
def test_json_schema_knows_every_key_and_forbids_others(schema):
    document = json.loads(json.dumps(json_schema(schema), allow_nan=False))
    assert set(document["properties"]) == set(schema.model_fields)
    assert document["additionalProperties"] is False


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda s: "\0" not in s)


@settings(deadline=None, max_examples=80)
@given(text_column=names, train=names, lr=st.floats(1e-300, 1e300), n=st.none() | st.integers(1, 10**12))
def test_written_configs_are_read_back(tmp_path_factory, text_column, train, lr, n):
    """config_to_yaml then load_config is the identity, and writing again gives the same text."""
    config = ClassifierConfig(
        data=DataConfig(train=train, text_column=text_column, max_vocab=n), training={"lr": lr}, seed=n or 0
    )
    path = tmp_path_factory.mktemp("round") / "config.yaml"
    path.write_text(config_to_yaml(config), encoding="utf-8", newline="\n")
    again = load_config(ClassifierConfig, path, environ={}).config
    assert again == config
    assert config_to_yaml(again) == config_to_yaml(config)


def test_written_lists_are_read_back(recipe):
    config = EmbeddingsConfig(corpus=CorpusConfig(paths=["-", "no", "a b.txt", "ü: x.txt"]))
    assert load_config(EmbeddingsConfig, recipe(config_to_yaml(config)), environ={}).config == config
