"""tagged.*.tsv: a word and its tag a line; many words have several tags, and the words around them decide which."""

from rnncli.sample_data.dice import Dice

SENTENCES = {"train": 700, "test": 150}

# word/TAG is itself, {slot} a word of the slot with the slot's tag.
FRAMES = [
    "the/DET {adj} {noun} {aux} {adj} ./PUNCT",
    "{name} {past} the/DET {noun} {prep} the/DET {place} ./PUNCT",
    "they/PRON {verb} the/DET {noun} {adv} ./PUNCT",
    "we/PRON want/VERB to/PART {verb} a/DET {adj} {noun} ./PUNCT",
    "her/DET {noun} {aux} {prep} the/DET {place} ./PUNCT",
    "{name} saw/VERB her/PRON {prep} the/DET {place} {adv} ./PUNCT",
    "that/DET {noun} {aux} {adj} ./PUNCT",
    "{name} said/VERB that/CONJ they/PRON {verb} {adv} ./PUNCT",
    "that/PRON {aux} a/DET {adj} {noun} ./PUNCT",
    "do/AUX you/PRON {verb} the/DET {noun} {prep} the/DET {place} ?/PUNCT",
    "{name} {past} {adv} and/CONJ {past} the/DET {noun} ./PUNCT",
    "the/DET {noun} {prep} the/DET {place} {aux} {adj} but/CONJ we/PRON {verb} it/PRON {adv} ./PUNCT",
    "{num} people/NOUN {verb} {adv} {prep} the/DET {place} ./PUNCT",
    "to/PART {verb} {adv} {aux} {adj} ./PUNCT",
    "she/PRON gave/VERB her/PRON the/DET {adj} {noun} ./PUNCT",
    "in/PREP the/DET {place} you/PRON can/AUX {verb} a/DET {noun} ./PUNCT",
    "the/DET can/NOUN {aux} {prep} the/DET {place} ./PUNCT",
]
# What is both a noun and a verb, and what is both an adjective and an adverb, stands in both lists.
BOTH_NOUN_AND_VERB = ["watch", "cook", "drink", "play", "fish", "book", "paint", "plan", "visit", "guard"]
BOTH_ADJECTIVE_AND_ADVERB = ["fast", "hard", "late", "early", "straight", "daily"]
SLOTS = {
    "noun": ("NOUN", [*BOTH_NOUN_AND_VERB, "dog", "letter", "clock", "guitar", "story", "boat", "apple"]),
    "verb": ("VERB", [*BOTH_NOUN_AND_VERB, "like", "find", "know", "remember", "sell"]),
    "adj": ("ADJ", [*BOTH_ADJECTIVE_AND_ADVERB, "small", "warm", "cheap", "heavy", "quiet", "new"]),
    "adv": ("ADV", [*BOTH_ADJECTIVE_AND_ADVERB, "slowly", "often", "together", "again", "there"]),
    "past": ("VERB", ["found", "painted", "watched", "sold", "dropped", "cleaned"]),
    "aux": ("AUX", ["is", "was", "seems"]),
    "prep": ("PREP", ["in", "near", "behind", "beside", "like"]),
    "place": ("NOUN", ["garden", "kitchen", "village", "library", "park", "station"]),
    "name": ("PROPN", ["Anna", "Tom", "Maria", "Paris", "Peter"]),
    "num": ("NUM", ["two", "seven", "twelve", "forty"]),
}


def tagged_files(dice: Dice) -> dict[str, str]:
    """Text of train and test: `word<TAB>tag` lines, a blank line after each sentence; no sentence comes twice."""
    seen: set[str] = set()
    files = {}
    for split, n_sentences in SENTENCES.items():
        sentences: list[str] = []
        while len(sentences) < n_sentences:
            sentence = "".join(f"{word}\t{tag}\n" for word, tag in _sentence(dice))
            if sentence not in seen:
                seen.add(sentence)
                sentences.append(sentence)
        files[split] = "".join(f"{sentence}\n" for sentence in sentences)
    return files


def _sentence(dice: Dice) -> list[tuple[str, str]]:
    tagged = []
    for piece in dice.pick(FRAMES).split():
        if piece.startswith("{"):
            tag, words = SLOTS[piece.strip("{}")]
            tagged.append((dice.pick(words), tag))
        else:
            word, tag = piece.split("/")
            tagged.append((word, tag))
    word, tag = tagged[0]
    return [(word[0].upper() + word[1:], tag), *tagged[1:]]
