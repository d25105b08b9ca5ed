"""reviews.*.tsv: labels that depend on the order of the words alone.

Every review is written twice, once with the praise where it decides and the blame where it does not, once the other
way round. The twins hold exactly the same words and have opposite labels, so any classifier that sees only a bag of
words is right on exactly half of them.
"""

from rnncli.sample_data.dice import Dice
from rnncli.sample_data.words import ASPECTS, BLAME, PRAISE, WORKS

PAIRS = {"train": 1000, "valid": 150, "test": 150}
SHORTEST, LONGEST = 5, 25

# {deciding} is what the reviewer thinks; {other} is denied, conceded or surpassed. Half of the forms have it last,
# so that "the last judgement decides" is no rule either.
FORMS = [
    "the {aspect} was {other} {between} but the {second} was {deciding}",
    "although the {aspect} was {other} {between} , the {second} was {deciding}",
    "at first the {aspect} seemed {other} {between} , in the end it was {deciding}",
    "it was not {other} {between} , it was {deciding}",
    "i expected a {other} {work} {between} and got a {deciding} one",
    "they call the {aspect} {other} {between} , i call it {deciding}",
    "never {other} {between} and always {deciding}",
    "not a {other} {work} {between} but a {deciding} one",
    "the {second} was {deciding} {between} although the {aspect} was {other}",
    "the {aspect} was {deciding} in the end {between} even if it seemed {other} at first",
    "it was {deciding} {between} , it was not {other}",
    "i got a {deciding} {work} {between} where i expected a {other} one",
    "i call the {aspect} {deciding} {between} , they call it {other}",
    "always {deciding} {between} and never {other}",
    "a {deciding} {work} {between} , not a {other} one",
    "the {aspect} was {deciding} {between} rather than {other}",
]
BEFORE = [
    "last night we saw it in a small cinema :",
    "my sister took me to this one :",
    "to be honest ,",
    "we had two tickets for the {work} and here is what i think :",
    "after a long day at the office i can say that",
    "my friends asked me about it :",
]
BETWEEN = [
    ", as my brother said ,",
    ", and we talked about it on the bus ,",
    ", at least for the people in the first row ,",
    ", so much is clear ,",
    ", as you can read in the newspaper ,",
]
AFTER = [
    ", and that is all",
    ", and then we went home by bus",
    ", so my father and i said on the way to the station",
    ", and the cinema was full",
    ", if you ask me",
]


def review_files(dice: Dice) -> dict[str, str]:
    """Text of train, valid and test: a header, then label and text; twins stay in one file, rows are shuffled."""
    seen: set[tuple[str, ...]] = set()
    files = {}
    for split, n_pairs in PAIRS.items():
        rows: list[tuple[str, str]] = []
        while len(rows) < 2 * n_pairs:
            positive, negative = _twins(dice)
            words = positive.split()
            bag = tuple(sorted(words))
            if SHORTEST <= len(words) <= LONGEST and bag not in seen:
                seen.add(bag)
                rows += [("positive", positive), ("negative", negative)]
        files[split] = "label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in dice.shuffled(rows))
    return files


def _twins(dice: Dice) -> tuple[str, str]:
    """A positive and a negative review of the same words."""
    aspect = dice.pick(ASPECTS)
    names = {"aspect": aspect, "second": dice.pick_other(ASPECTS, aspect), "work": dice.pick(WORKS)}
    parts = [
        dice.pick(BEFORE) if dice.chance(40) else "",
        dice.pick(FORMS).replace("{between}", dice.pick(BETWEEN) if dice.chance(40) else ""),
        dice.pick(AFTER) if dice.chance(40) else "",
    ]
    frame = " ".join(" ".join(parts).split()).replace(", ,", ",") + " ."
    praise, blame = dice.pick(PRAISE), dice.pick(BLAME)
    return (
        frame.format(deciding=praise, other=blame, **names),
        frame.format(deciding=blame, other=praise, **names),
    )
