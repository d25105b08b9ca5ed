"""The sample data is what its generator writes, and holds the structure that its README promises."""

import math
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from rnncli.config.embeddings import EmbeddingsConfig
from rnncli.config.inspection import GradientCheckConfig, InspectConfig
from rnncli.config.rnn import ClassifierConfig
from rnncli.config.yaml12 import parse_yaml
from rnncli.sample_data import sample_files, write_sample_data
from rnncli.sample_data.dice import Dice
from rnncli.sample_data.series import GAIN, LAG, NOISE
from rnncli.sample_data.words import BLAME, COUNTRIES, PRAISE

SPLITS = ("train", "valid", "test")
SCHEMAS = {
    "embeddings": EmbeddingsConfig,
    "imdb_vectors": EmbeddingsConfig,
    "reviews": ClassifierConfig,
    "topics": ClassifierConfig,
    "sst2": ClassifierConfig,
    "trec": ClassifierConfig,
    "inspect": InspectConfig,
    "check": GradientCheckConfig,
}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return sample_files()


@pytest.fixture(scope="module")
def corpus_words(files: dict[str, str]) -> Counter[str]:
    return Counter("".join(c if c.isalnum() else " " for c in files["corpus.txt"].lower()).split())


def rows_of(files: dict[str, str], name: str) -> list[list[str]]:
    header, *rows = files[name].removesuffix("\n").split("\n")
    assert all(row.count("\t") == header.count("\t") for row in rows)
    return [row.split("\t") for row in rows]


def sentences_of(files: dict[str, str], name: str) -> list[list[tuple[str, str]]]:
    sentences = files[name].removesuffix("\n\n").split("\n\n")
    return [[(word, tag) for word, tag in (line.split("\t") for line in s.split("\n"))] for s in sentences]


def test_the_committed_files_are_what_the_generator_writes(root: Path, tmp_path: Path) -> None:
    written = {path.name: path.read_bytes() for path in write_sample_data(tmp_path / "new")}
    committed = {path.name: path.read_bytes() for path in (root / "sample_data").iterdir()}
    assert written.keys() == committed.keys()
    assert [name for name in written if written[name] != committed[name]] == []
    assert sum(map(len, committed.values())) < 1_000_000


def test_the_module_can_be_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rnncli.sample_data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / name) for name in sample_files()]
    assert done.stderr == ""


def test_another_seed_gives_other_files_of_the_same_kind(files: dict[str, str]) -> None:
    others = sample_files(seed=2)
    assert files.keys() == others.keys()
    assert all(files[name] != others[name] for name in files if name != "README.md")


def test_dice_crosses_blocks_and_keeps_every_item() -> None:
    dice = Dice(1, 0)
    counts = np.bincount([dice.integer(10) for _ in range(10_000)], minlength=10)
    assert (abs(counts - 1000) < 5 * math.sqrt(900)).all()
    assert sorted(dice.shuffled(range(100))) == list(range(100))
    assert all(dice.pick_other("ab", "a") == "b" for _ in range(20))


def test_corpus_has_natural_case_and_the_promised_size(files: dict[str, str], corpus_words: Counter[str]) -> None:
    lines = files["corpus.txt"].splitlines()
    assert all(line[0].isupper() and line[-1] in ".!" and "  " not in line and "{" not in line for line in lines)
    assert 60_000 <= corpus_words.total() <= 75_000
    assert 500 <= len(corpus_words) <= 1000


def test_a_pair_shares_topic_words_and_a_side_shares_role_words(files: dict[str, str]) -> None:
    """The neighbours that make a relation additive: counted within sentences."""
    neighbours: dict[str, Counter[str]] = defaultdict(Counter)
    for line in files["corpus.txt"].splitlines():
        words = line.strip(".!").replace(",", "").split()
        for word in set(words):
            neighbours[word].update(set(words))
    for one in COUNTRIES:
        both = neighbours[one.capital], neighbours[one.country]
        for topic in (one.adjective, one.landmark, one.product):
            assert min(side[topic] for side in both) >= 10
            assert not any(neighbours[other.capital][topic] for other in COUNTRIES if other != one)
        assert both[0]["mayor"] >= 5 > both[1]["mayor"] == 0
        assert both[1]["government"] >= 5 > both[0]["government"] == 0


def test_every_question_and_pair_is_about_words_of_the_corpus(
    files: dict[str, str], corpus_words: Counter[str]
) -> None:
    sections: dict[str, list[list[str]]] = {}
    for line in files["analogies.txt"].splitlines():
        if line.startswith(": "):
            sections[line[2:]] = []
        else:
            sections[list(sections)[-1]].append(line.split(" "))
    assert list(sections) == ["capital-country", "singular-plural", "male-female", "adjective-comparative"]
    assert ["Paris", "France"] in [q[:2] for q in sections["capital-country"]]
    for questions in sections.values():
        assert len(questions) == 100 == len({tuple(q) for q in questions})
        assert all(len(set(q)) == 4 and all(corpus_words[w.lower()] >= 25 for w in q) for q in questions)
    pairs = rows_of(files, "similarity.tsv")
    assert len({frozenset(pair[:2]) for pair in pairs}) == len(pairs) == 64
    assert all(corpus_words[word.lower()] >= 25 for pair in pairs for word in pair[:2])
    assert Counter(pair[2] for pair in pairs) == dict.fromkeys(["9.0", "6.0", "4.0", "0.5"], 16)


def test_reviews_come_in_twins_of_the_same_words_and_opposite_labels(files: dict[str, str]) -> None:
    """So a bag of words, whatever its weights, is right on exactly half of the rows."""
    everywhere: set[tuple[str, ...]] = set()
    for split, n_rows in zip(SPLITS, (2000, 300, 300), strict=True):
        labels_of_bag: dict[tuple[str, ...], list[str]] = defaultdict(list)
        texts = set()
        for label, text in rows_of(files, f"reviews.{split}.tsv"):
            labels_of_bag[tuple(sorted(text.split()))].append(label)
            texts.add(text)
        assert len(texts) == n_rows == 2 * len(labels_of_bag)
        assert all(sorted(labels) == ["negative", "positive"] for labels in labels_of_bag.values())
        assert everywhere.isdisjoint(labels_of_bag)
        everywhere |= labels_of_bag.keys()
    lengths = [len(bag) for bag in everywhere]
    assert min(lengths) <= 6
    assert max(lengths) == 25
    assert np.std(lengths) > 4


def test_neither_the_last_nor_the_first_judgement_alone_gives_the_label(files: dict[str, str]) -> None:
    rows = rows_of(files, "reviews.test.tsv")
    judged = [[word in PRAISE for word in text.split() if word in PRAISE + BLAME] for _, text in rows]
    positive = [label == "positive" for label, _ in rows]
    assert all(sorted(words) == [False, True] for words in judged)
    last_decides = np.mean([words[-1] == label for words, label in zip(judged, positive, strict=True)])
    assert 0.35 < last_decides < 0.65


def test_connectives_and_the_order_of_judgements_together_give_the_label(files: dict[str, str]) -> None:
    """The task is solvable: which form it is, and which judgement comes first, decide every row."""
    first_decides_by_form: dict[str, set[bool]] = defaultdict(set)
    for label, text in (row for split in SPLITS for row in rows_of(files, f"reviews.{split}.tsv")):
        words = text.split()
        first = next(word in PRAISE for word in words if word in PRAISE + BLAME)
        form = " ".join("X" if word in PRAISE + BLAME else word for word in words)
        first_decides_by_form[form].add(first == (label == "positive"))
    assert all(len(outcomes) == 1 for outcomes in first_decides_by_form.values())


def test_reviews_are_written_in_words_of_the_corpus(files: dict[str, str], corpus_words: Counter[str]) -> None:
    words = Counter(w for _, text in rows_of(files, "reviews.train.tsv") for w in text.split() if w.isalnum())
    assert sum(n for word, n in words.items() if word in corpus_words) >= 0.99 * words.total()
    assert all(corpus_words[word] >= 25 for word in PRAISE + BLAME)


def test_topics_are_balanced_and_no_text_comes_twice(files: dict[str, str]) -> None:
    train, test = rows_of(files, "topics.train.tsv"), rows_of(files, "topics.test.tsv")
    assert Counter(label for label, _ in train) == dict.fromkeys(["food", "sport", "travel", "weather"], 200)
    assert Counter(label for label, _ in test) == dict.fromkeys(["food", "sport", "travel", "weather"], 50)
    assert len({text for _, text in train + test}) == 1000


def test_tags_depend_on_context(files: dict[str, str]) -> None:
    """The most frequent tag of each word is right on a good part of the tokens, and wrong on too many."""
    train, test = sentences_of(files, "tagged.train.tsv"), sentences_of(files, "tagged.test.tsv")
    assert {tuple(s) for s in train}.isdisjoint(tuple(s) for s in test)
    tags_of: dict[str, Counter[str]] = defaultdict(Counter)
    for word, tag in (token for sentence in train for token in sentence):
        tags_of[word.lower()][tag] += 1
    for word, tags in {"watch": "NOUN VERB", "fast": "ADJ ADV", "her": "DET PRON", "that": "CONJ DET PRON"}.items():
        assert set(tags_of[word]) == set(tags.split())
        assert min(tags_of[word].values()) >= 5
    tokens = [token for sentence in test for token in sentence]
    assert all(word.lower() in tags_of for word, _ in tokens)
    by_word = np.mean([tags_of[word.lower()].most_common(1)[0][0] == tag for word, tag in tokens])
    assert 0.80 < by_word < 0.95


def test_series_follows_its_driver_with_the_lag(files: dict[str, str]) -> None:
    """Least squares on trend, cycles and lags 0..9 of the driver finds the gain at lag 6 and nothing elsewhere."""
    header, *lines = files["series.csv"].splitlines()
    assert header == "time,value,driver"
    time, value, driver = np.array([line.split(",") for line in lines], dtype=np.float64).T
    assert np.array_equal(time, np.arange(1500))
    lags = np.array([np.roll(driver, lag) for lag in range(10)])
    waves = [f(2 * np.pi * time / period) for f in (np.sin, np.cos) for period in (24, 168)]
    design = np.array([*lags, *waves, time, np.ones(1500)]).T[10:]
    weights, residual, *_ = np.linalg.lstsq(design, value[10:], rcond=None)
    expected = np.zeros(10)
    expected[LAG] = GAIN
    assert np.allclose(weights[:10], expected, atol=0.02)
    assert math.sqrt(residual[0] / len(design)) == pytest.approx(NOISE, rel=0.1)


def test_every_recipe_is_valid_and_its_sample_files_exist(root: Path) -> None:
    found = {path.stem: path for path in (root / "configs").glob("*.yaml")}
    assert found.keys() >= SCHEMAS.keys()
    for name, schema in SCHEMAS.items():
        text = found[name].read_text()
        config = schema.model_validate(parse_yaml(text)[0])
        if isinstance(config, EmbeddingsConfig):
            paths = list(config.corpus.paths)
        elif isinstance(config, ClassifierConfig):
            paths = [p for p in (config.data.train, config.data.valid, config.data.test) if p is not None]
        else:
            paths = [config.config] if isinstance(config, GradientCheckConfig) else []
        assert all((root / p).is_file() for p in paths if p.parts[0] != "..")
        values = [line for line in text.splitlines() if ": " in line and not line.startswith("#")]
        assert all("  # " in line for line in values), f"{name}: a value without a comment"


def test_the_checked_recipe_needs_no_trained_vectors(root: Path) -> None:
    check = GradientCheckConfig.model_validate(parse_yaml((root / "configs/check.yaml").read_text())[0])
    recipe = ClassifierConfig.model_validate(parse_yaml((root / check.config).read_text())[0])
    assert recipe.embeddings.path is None
