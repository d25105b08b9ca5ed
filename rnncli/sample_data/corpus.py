"""corpus.txt: sentences in which a word's neighbours tell its topic and its role apart.

A pair such as (Paris, France) shares its topic words (French, Seine, cheese), and each side of the relation has
sentence frames of its own (mayor, streets | government, border). The log odds of a neighbour are then about
topic + role, which is what makes `France - Paris + Rome` land near `Italy` (Levy & Goldberg 2014, "Linguistic
regularities in sparse and explicit word representations").
"""

from collections.abc import Sequence

from rnncli.sample_data.dice import Dice
from rnncli.sample_data.reviews import AFTER, BEFORE, BETWEEN, FORMS
from rnncli.sample_data.topics import FRAMES, fill_frame
from rnncli.sample_data.words import ADJECTIVES, ASPECTS, BLAME, COUNTRIES, NOUNS, PEOPLE, PRAISE, WORKS

ROUNDS = 5  # how often a pair is put into each of the six frames of each side
FILM_SENTENCES, REVIEW_SENTENCES, TOPIC_SENTENCES = 700, 350, 250

CAPITAL_FRAMES = [
    "the mayor of {capital} opened a {adjective} museum near the {landmark}",
    "the streets of {capital} smell of {product} and {adjective} coffee",
    "trains to {capital} stop at the crowded station beside the {landmark}",
    "the cafes in {capital} serve {product} to {adjective} students",
    "tourists in {capital} take the metro to the {landmark} and buy {product}",
    "{capital} is a crowded city of {adjective} theatres and markets for {product}",
]
COUNTRY_FRAMES = [
    "the government of {country} taxed {adjective} ships near the {landmark}",
    "the farmers of {country} sell {product} and {adjective} wool",
    "soldiers from {country} guard the long border beyond the {landmark}",
    "the ministers in {country} promised {product} to {adjective} voters",
    "exporters in {country} cross the border by the {landmark} and trade {product}",
    "{country} is a proud nation of {adjective} laws and exports of {product}",
]
CAPITAL_OF = ["{capital} is the capital of {country}", "the capital of {country} is {capital}"]

SINGULAR_FRAMES = [
    "there is a {first} {place} with {thing}",
    "this {first} is {place} and it has {thing}",
    "every {first} needs {thing} and belongs {place}",
    "one {first} was {place} beside {thing}",
    "each {first} {place} comes with {thing}",
    "it was a single {first} {place} without {thing}",
]
PLURAL_FRAMES = [
    "there are many {second} {place} with {thing}",
    "these {second} are {place} and they have {thing}",
    "all {second} need {thing} and belong {place}",
    "two {second} were {place} beside {thing}",
    "most {second} {place} come with {thing}",
    "they were several {second} {place} without {thing}",
]

MALE_FRAMES = [
    "the {first} {place} said that he wanted his {thing}",
    "he is a {first} and his {thing} is {place}",
    "the bearded {first} left his {thing} {place} himself",
    "his friend the {first} combed his beard and showed him the {thing}",
    "the {first} told himself that his {thing} was {place}",
    "a {first} {place} lost his tie and his {thing}",
]
FEMALE_FRAMES = [
    "the {second} {place} said that she wanted her {thing}",
    "she is a {second} and her {thing} is {place}",
    "the graceful {second} left her {thing} {place} herself",
    "her friend the {second} combed her curls and showed her the {thing}",
    "the {second} told herself that her {thing} was {place}",
    "a {second} {place} lost her necklace and her {thing}",
]

PLAIN_FRAMES = [
    "the {thing} was very {first} and so was the {place}",
    "it is a really {first} {place} beside a {thing}",
    "what a {first} {thing} next to the {place}",
    "the {place} looked so {first} that everyone saw the {thing}",
    "a {first} {thing} is too {first} for that {place}",
    "the {thing} seems quite {first} and the {place} is extremely {first}",
]
COMPARATIVE_FRAMES = [
    "the {thing} was much {second} than the {place}",
    "nothing is {second} than this {place} except the {thing}",
    "one {thing} is rarely {second} than the {place}",
    "the {place} looked even {second} than before like the {thing}",
    "the {second} the {thing} the {second} the {place}",
    "the {thing} grew far {second} than any {place}",
]

PRAISE_FRAMES = [
    "critics loved the {word} {aspect} and the audience clapped",
    "a {word} and {other} {work} won the prize with its {aspect}",
    "everybody praised the {aspect} because it was {word} and {other}",
    "we smiled all evening because the {aspect} was so {word}",
    "the {work} was {word} and the {aspect} was {other} so we recommend it",
]
BLAME_FRAMES = [
    "critics hated the {word} {aspect} and the audience yawned",
    "a {word} and {other} {work} wasted our money with its {aspect}",
    "everybody mocked the {aspect} because it was {word} and {other}",
    "we left early because the {aspect} was so {word}",
    "the {work} was {word} and the {aspect} was {other} so we regret it",
]
TURNS = ["of course", "in fact", "it seems", "as we know", "by the way", "they say", "as always", "once more"]


def corpus_text(dice: Dice) -> str:
    """All sentences in a random order, one a line."""
    sentences: list[str] = []
    for country in COUNTRIES:
        names = country._asdict()
        sentences += _rounds(CAPITAL_FRAMES + COUNTRY_FRAMES, names) + _rounds(CAPITAL_OF, names)[:5]
    for pairs, frames in (
        (NOUNS, SINGULAR_FRAMES + PLURAL_FRAMES),
        (PEOPLE, MALE_FRAMES + FEMALE_FRAMES),
        (ADJECTIVES, PLAIN_FRAMES + COMPARATIVE_FRAMES),
    ):
        for pair in pairs:
            sentences += _rounds(frames, pair._asdict())
    sentences += [_film(dice) for _ in range(FILM_SENTENCES)]
    sentences = [_with_turn(dice, sentence) for sentence in sentences]
    sentences += [_review_like(dice) for _ in range(REVIEW_SENTENCES)]
    sentences += [fill_frame(dice, dice.pick(FRAMES[dice.pick(sorted(FRAMES))])) for _ in range(TOPIC_SENTENCES)]
    return "".join(f"{as_sentence(dice, sentence)}\n" for sentence in dice.shuffled(sentences))


def as_sentence(dice: Dice, words: str) -> str:
    """A capital letter in front, and a full stop or now and then another sign at the end, where there is none."""
    words = words.replace(" ,", ",").replace(" :", ":")
    end = "" if words[-1] in ".!?" else "!" if dice.chance(5) else "."
    return words[0].upper() + words[1:] + end


def _rounds(frames: Sequence[str], names: dict[str, str]) -> list[str]:
    return [frame.format(**names) for frame in frames for _ in range(ROUNDS)]


def _with_turn(dice: Dice, sentence: str) -> str:
    """Now and then a turn of phrase, in front or at the end: the same for all topics and roles, so it tells nothing."""
    if dice.chance(60):
        return sentence
    turn = dice.pick(TURNS)
    return f"{turn}, {sentence}" if dice.chance(50) else f"{sentence} {turn}"


def _film(dice: Dice) -> str:
    words, frames = dice.pick([(PRAISE, PRAISE_FRAMES), (BLAME, BLAME_FRAMES)])
    word = dice.pick(words)
    return dice.pick(frames).format(
        word=word, other=dice.pick_other(words, word), aspect=dice.pick(ASPECTS), work=dice.pick(WORKS)
    )


def _review_like(dice: Dice) -> str:
    """The connecting words and asides of the reviews, with praise and blame in either place: no label leaks."""
    deciding, other = dice.shuffled([dice.pick(PRAISE), dice.pick(BLAME)])
    aspect, work = dice.pick(ASPECTS), dice.pick(WORKS)
    core = dice.pick(FORMS).format(
        deciding=deciding,
        other=other,
        aspect=aspect,
        second=dice.pick_other(ASPECTS, aspect),
        work=work,
        between=dice.pick(BETWEEN) if dice.chance(60) else "",
    )
    core = " ".join(core.split()).replace(", ,", ",")
    return f"{dice.pick(BEFORE).format(work=work)} {core}" if dice.chance(50) else f"{core} {dice.pick(AFTER)}"
