"""What kind of model a recipe trains: from its keys, its values, the form of its data, or --kind."""

import gzip
from pathlib import Path

import pytest

from rnncli.config.load import config_to_yaml, read_config_file
from rnncli.config.regression import RegressorConfig
from rnncli.config.rnn import ClassifierConfig
from rnncli.config.sequences import LanguageModelConfig, TaggerConfig
from rnncli.errors import ConfigError, UsageError
from rnncli.pipelines.recipe_files import kind_of, recipe_file
from rnncli.pipelines.recipes import RECIPES

ROOT = Path(__file__).parents[2]
KINDS = {
    "regressor": ["adding", "adding200", "etth1", "forecast"],
    "tagger": ["conll2000", "tagged", "ud_ewt"],
    "language-model": ["characters", "tinyshakespeare", "wikitext2"],
    "classifier": ["banking77", "imdb10k", "nsmc", "reviews", "sst2", "topics", "trec"],
}
FILES = {
    "words.tsv": "label\ttext\n" + "yes\tone thing\nno\tanother\n" * 20,
    "binary.tsv": "label\ttext\n" + "1\tone thing\n0\tanother\n" * 20,
    "stars.tsv": "label\ttext\n" + "".join(f"{i % 5}\tthing {i}\n" for i in range(40)),
    "few.tsv": "label\ttext\n" + "".join(f"{i % 4 / 2}\tthing {i}\n" for i in range(40)),
    "scores.tsv": "label\ttext\n" + "".join(f"{i / 7:.3f}\tthing {i}\n" for i in range(40)),
    "words.csv": 'text,label\n"one, thing",yes\nanother,no\n',
    "words.jsonl": '{"text": "one", "label": "yes"}\n{"text": "other", "label": "no"}\n',
    "fast.txt": "__label__yes one thing\n__label__no another\n",
    "tagged.tsv": "the\tDET\ndog\tNOUN\n\na\tDET\ncat\tNOUN\n\n",
    "conll.txt": "-DOCSTART- -X- O\n\nthe DT B-NP\ndog NN I-NP\n\na DT B-NP\ncat NN I-NP\n",
    "corpus.txt": "It rained all day.\nThe dog, who had hoped for a walk, slept.\n\nThen the sun came out.\n",
    "other.tsv": "class\tbody\n" + "yes\tone thing\nno\tanother\n" * 20,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "packed.txt.gz").write_bytes(gzip.compress(FILES["corpus.txt"].encode()))
    return folder


def kind(folder, data, more=""):
    file = folder / "recipe.yaml"
    file.write_text(f"data: {{{data}}}\nembeddings: {{dim: 8}}\n{more}\n")
    return kind_of(file, read_config_file(file))


@pytest.mark.parametrize("folder", ["here", "elsewhere"])
@pytest.mark.parametrize(("expected", "name"), [(kind, name) for kind, names in KINDS.items() for name in names])
def test_every_recipe_of_the_project_is_recognised_with_its_data_and_without(
    expected, name, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(ROOT if folder == "here" else tmp_path)
    path = ROOT / f"configs/{name}.yaml"
    assert kind_of(path, read_config_file(path)) == expected


def test_no_recipe_of_the_project_is_left_out():
    named = {name for names in KINDS.values() for name in names}
    trained = {p.stem for p in (ROOT / "configs").glob("*.yaml") if "data" in read_config_file(p)[0]}
    assert named == trained
    for path in (ROOT / "configs").glob("*.yaml"):
        if path.stem not in named:
            with pytest.raises(UsageError, match="fit no recipe"):
                recipe_file(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("words.tsv", "classifier"), ("binary.tsv", "classifier"), ("scores.tsv", "regressor"), ("words.csv", "classifier"),
        ("words.jsonl", "classifier"), ("fast.txt", "classifier"), ("tagged.tsv", "tagger"), ("conll.txt", "tagger"),
        ("corpus.txt", "language-model"), ("packed.txt.gz", "language-model"),
        ("gone.txt", "language-model"), ("gone.tsv", "classifier"),
    ],
)  # fmt: skip
def test_the_form_of_the_data_decides_where_keys_do_not(files, name, expected):
    assert kind(files, f"train: {files / name}", "model: {hidden_size: 8}") == expected


@pytest.mark.parametrize("name", ["stars.tsv", "few.tsv", "other.tsv", "-"])
def test_kinds_that_fit_equally_are_named_in_one_line(files, name):
    with pytest.raises(UsageError, match=r"classifier.* and .*--kind") as error:
        kind(files, f"train: '{name if name == '-' else files / name}'")
    assert "\n" not in str(error.value)
    assert ("tagger" in str(error.value).partition("--kind")[0]) == (name in ("other.tsv", "-"))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("model: {head: multiclass}", "classifier"), ("training: {class_weights: balanced}", "classifier"),
        ("training: {label_smoothing: 0.1}", "classifier"), ("training: {lr: 0.1}", None),
    ],
)  # fmt: skip
def test_values_that_a_kind_refuses_rule_it_out(files, more, expected):
    data = f"train: {files / 'stars.tsv'}"
    if expected is not None:
        assert kind(files, data, more) == expected
    else:
        with pytest.raises(UsageError, match="--kind"):
            kind(files, data, more)
    assert kind(files, "train: '-', features: ['column:1']") == "tagger"


def test_what_only_one_kind_reads_is_left_to_its_reader(files):
    assert kind(files, f"train: {files / 'other.tsv'}", "model: {pooling: mean}") == "classifier"
    assert kind(files, f"train: {files / 'other.tsv'}, text_column: body, label_column: class") == "classifier"


@pytest.mark.parametrize("name", RECIPES)
def test_a_given_kind_outweighs_the_guess(files, name):
    path = files / "given.yaml"
    path.write_text(f"data: {{train: {files / 'stars.tsv'}}}\n")
    recipe, config = recipe_file(path, kind=name)
    assert recipe.task == name
    assert isinstance(config, recipe.schema)


@pytest.mark.parametrize(
    ("schema", "name"),
    [(ClassifierConfig, "classifier"), (RegressorConfig, "regressor"), (TaggerConfig, "tagger"),
     (LanguageModelConfig, "language-model")],
)  # fmt: skip
def test_the_config_of_a_run_folder_says_what_it_is(files, schema, name):
    path = files / "config.yaml"
    path.write_text(config_to_yaml(schema(data={"train": files / "stars.tsv"})))
    assert kind_of(path, read_config_file(path)) == name


def test_values_of_no_kind_are_named_by_whoever_loads_them(tmp_path):
    (tmp_path / "rows.tsv").write_text("label\ttext\na\tsome words\n")
    path = tmp_path / "recipe.yaml"
    for column in ("text_column: [x]", "label_column: {a: 1}"):
        path.write_text(f"data: {{train: {tmp_path}/rows.tsv, {column}}}\n")
        with pytest.raises(ConfigError, match="_column"):
            recipe_file(path)
