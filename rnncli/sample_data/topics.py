"""topics.*.tsv: four classes told apart by their words, with a word of another class thrown in now and then."""

from rnncli.sample_data.dice import Dice

ROWS = {"train": 800, "test": 200}
ASIDE_PERCENT = 30

FRAMES = {
    "weather": [
        "{wet} is expected {where} {when}",
        "the forecast promises {dry} {where} {when}",
        "{wet} and {wet2} covered the hills {when}",
        "after {dry} came {wet} {where}",
        "the thermometer fell {when} and {wet} followed",
        "clouds and {wet} moved in from the coast {when}",
        "{who} hoped for {dry} but the sky stayed grey {where}",
    ],
    "food": [
        "{who} cooked {dish} with {spice} {when}",
        "the recipe for {dish} needs {spice} and some {spice2}",
        "fry the {spice} slowly before adding the {dish}",
        "{who} baked {dish} in the kitchen {when}",
        "the chef {where} serves {dish} with {spice}",
        "{dish} tastes best with fresh {spice} and {spice2}",
        "for dinner {who} ordered {dish} {where}",
    ],
    "travel": [
        "{who} booked {ride} {where} {when}",
        "{ride} leaves at noon and the luggage is packed",
        "the hotel {where} had no rooms left {when}",
        "{who} lost a passport at the airport {when}",
        "the guide showed {who} the sights {where}",
        "{ride} was delayed {when} and {who} missed the connection",
        "tourists waited for {ride} with maps and luggage {where}",
    ],
    "sport": [
        "{who} won the {game} {where} {when}",
        "the team lost the {game} by one goal {when}",
        "the coach praised {player} after the {game}",
        "{player} scored twice in the {game} {when}",
        "fans cheered when {player} reached the final {where}",
        "{player} will miss the next {game} with a knee injury",
        "the referee stopped the {game} {where} {when}",
    ],
}
ASIDES = {
    "weather": ["because of the rain", "although it was sunny", "before the storm"],
    "food": ["after a good breakfast", "while the soup got cold", "and then had some cake"],
    "travel": ["during the holidays", "far away from the airport", "while the train was late"],
    "sport": ["just before the match", "while others watched the football", "after the marathon"],
}
WORDS = {
    "wet": ["heavy rain", "light snow", "a thunderstorm", "thick fog", "hail", "strong wind", "freezing drizzle"],
    "dry": ["bright sunshine", "a heatwave", "clear skies", "mild air", "a dry spell"],
    "dish": ["soup", "pasta", "an omelette", "a curry", "bread", "grilled fish", "a cake", "rice"],
    "spice": ["garlic", "pepper", "onions", "basil", "lemon", "ginger", "parsley"],
    "ride": ["the train", "a flight", "the ferry", "the night bus", "a cruise", "the tram"],
    "game": ["match", "race", "tournament", "semifinal", "marathon", "derby"],
    "player": ["the striker", "the goalkeeper", "the captain", "the sprinter", "the champion"],
    "who": ["my neighbours", "Anna", "Tom", "the students", "our cousin", "Maria", "a friend of mine"],
    "where": ["in the north", "near the lake", "in the capital", "along the coast", "in the old town", "on the island"],
    "when": ["today", "on Sunday", "last week", "this morning", "in April", "after lunch", "tomorrow night"],
}


def fill_frame(dice: Dice, frame: str) -> str:
    """The frame with words of its slots; {wet2} is another word of the slot {wet}."""
    chosen: dict[str, str] = {slot: dice.pick(words) for slot, words in WORDS.items()}
    chosen |= {f"{slot}2": dice.pick_other(words, chosen[slot]) for slot, words in WORDS.items()}
    return frame.format(**chosen)


def topic_files(dice: Dice) -> dict[str, str]:
    """Text of train and test: a header, then label and text; the classes are equally frequent, no text comes twice."""
    labels = sorted(FRAMES)
    seen: set[str] = set()
    files = {}
    for split, n_rows in ROWS.items():
        rows: list[tuple[str, str]] = []
        while len(rows) < n_rows:
            label = labels[len(rows) % len(labels)]
            text = fill_frame(dice, dice.pick(FRAMES[label]))
            if dice.chance(ASIDE_PERCENT):
                text += " " + dice.pick(ASIDES[dice.pick_other(labels, label)])
            text = text[0].upper() + text[1:] + "."
            if text not in seen:
                seen.add(text)
                rows.append((label, text))
        files[split] = "label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in dice.shuffled(rows))
    return files
