"""analogies.txt and similarity.tsv: what vectors trained on corpus.txt should know, read off the grammar."""

from collections.abc import Iterator

from rnncli.sample_data.dice import Dice
from rnncli.sample_data.words import ADJECTIVES, ASPECTS, BLAME, COUNTRIES, NOUNS, PEOPLE, PRAISE

PER_SECTION = 100
PER_LEVEL = 16
SAME_CONTEXTS, SAME_TOPIC, SAME_ROLE, UNRELATED = 9.0, 6.0, 4.0, 0.5


def sections() -> dict[str, list[tuple[str, str]]]:
    """The pairs of every planted relation."""
    return {
        "capital-country": [(c.capital, c.country) for c in COUNTRIES],
        "singular-plural": [(p.first, p.second) for p in NOUNS],
        "male-female": [(p.first, p.second) for p in PEOPLE],
        "adjective-comparative": [(p.first, p.second) for p in ADJECTIVES],
    }


def analogies_text(dice: Dice) -> str:
    """The form of word2vec's questions-words: `: section`, then lines `a b c d`, read "a is to b as c is to d"."""
    lines = []
    for name, pairs in sections().items():
        lines.append(f": {name}")
        questions = [(*first, *second) for first in pairs for second in pairs if first != second]
        lines += [" ".join(question) for question in sorted(dice.shuffled(questions)[:PER_SECTION])]
    return "".join(f"{line}\n" for line in lines)


def similarity_text(dice: Dice) -> str:
    """A header, then word1, word2 and the planted score, 0 .. 10."""
    levels = {
        SAME_CONTEXTS: _same_contexts(dice),
        SAME_TOPIC: _same_topic(dice),
        SAME_ROLE: _same_role(dice),
        UNRELATED: _unrelated(dice),
    }
    rows = []
    for score, pairs in levels.items():
        chosen: set[tuple[str, str]] = set()
        while len(chosen) < PER_LEVEL:
            first, second = next(pairs)
            if (second, first) not in chosen:
                chosen.add((first, second))
        rows += [f"{first}\t{second}\t{score}\n" for first, second in sorted(chosen)]
    return "word1\tword2\tscore\n" + "".join(dice.shuffled(rows))


def _same_contexts(dice: Dice) -> Iterator[tuple[str, str]]:
    """Words that the grammar puts into the same places."""
    while True:
        words = dice.pick([PRAISE, BLAME, ASPECTS])
        word = dice.pick(words)
        yield word, dice.pick_other(words, word)


def _same_topic(dice: Dice) -> Iterator[tuple[str, str]]:
    """The two members of a pair."""
    while True:
        yield dice.pick(dice.pick(list(sections().values())))


def _same_role(dice: Dice) -> Iterator[tuple[str, str]]:
    """The same side of two pairs of one relation."""
    while True:
        pairs = dice.pick(list(sections().values()))
        pair, side = dice.pick(pairs), dice.integer(2)
        yield pair[side], dice.pick_other(pairs, pair)[side]


def _unrelated(dice: Dice) -> Iterator[tuple[str, str]]:
    """Words of two relations."""
    while True:
        relations = list(sections().values())
        one = dice.pick(relations)
        yield dice.pick(dice.pick(one)), dice.pick(dice.pick(dice.pick_other(relations, one)))
