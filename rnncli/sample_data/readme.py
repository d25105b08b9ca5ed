"""README.md of the sample data: what each file holds, with the counts of the files as they were written."""

TEMPLATE = """\
# Sample data

Made up by `python -m rnncli.sample_data sample_data` (the same bytes on every run; a test compares them). The
sentences come from small grammars, so what can be learned from each file is known. UTF-8, `\\n` line ends.

| file | form | size |
|---|---|---|
| corpus.txt | one sentence a line, natural case | {sentences} sentences, {words} words, {types} distinct |
| analogies.txt | `: section`, then `a b c d`: a is to b as c is to d | {questions} questions |
| similarity.tsv | header, then word1, word2, score | {similarities} pairs |
| reviews.{{train,valid,test}}.tsv | header, then label, text; lower case, tokens apart | {reviews} rows |
| topics.{{train,test}}.tsv | header, then label, text | {topics} rows |
| tagged.{{train,test}}.tsv | word, tag; a blank line after each sentence | {tagged} sentences |
| series.csv | header, then time,value,driver | {steps} rows |

Fields of .tsv files stand between tabs.

## corpus.txt, analogies.txt, similarity.tsv

Twenty pairs each of capital and country, singular and plural, male and female, adjective and comparative. The two
words of a pair share their topic words (Paris and France: French, Seine, cheese), and each side of a relation has its
own sentence frames (mayor, streets, metro; government, border, exports), so topic and role add up in a good word
vector. Words of praise stand in one set of film sentences and words of blame in another: vectors of the corpus bring
their difference along to the reviews, whose words nearly all occur in the corpus.

Scores of similarity.tsv: 9 for words that the grammar puts into the same places (dull, boring), 6 for the two words
of a pair (Paris, France), 4 for the same side of two pairs (Paris, Rome), 0.5 for words of two relations (Paris,
dogs).

## reviews

The label is in the order of the words alone. Each review has a twin in the same file with exactly the same words in
another order and the opposite label: `the plot was dull but the acting was brilliant` and `the plot was brilliant but
the acting was dull`. A bag of words is therefore right on exactly half of the rows, whatever its weights. What decides
stands last in half of the sentence forms and first in the other half; asides of up to a dozen words stand before,
between and after. {shortest} to {longest} tokens. No text, and no bag of words, comes in two files.

## topics

Food, sport, travel and weather, equally frequent and told apart by their words. About a third of the texts also name
something of another class (`The striker scored twice in the derby after a good breakfast.`).

## tagged

Tags: {tags}.
The words around decide the tag of many: `watch`, `cook` and others are NOUN or VERB, `fast` and others ADJ or ADV,
`her` DET or PRON, `that` DET, PRON or CONJ, `like` VERB or PREP, `can` AUX or NOUN.

## series

    driver_t = 0.7 driver_(t-1) + e_t
    value_t  = 0.002 t + sin(2 pi t / 24) + 0.6 sin(2 pi t / 168 + 1) + 0.8 driver_(t-6) + 0.1 n_t

with e_t and n_t standard normal and independent. From both channels value can be forecast six steps ahead up to the
noise, 0.1; from `value` alone it cannot.
"""


def readme_text(files: dict[str, str]) -> str:
    """The description of `files` (name -> text)."""
    corpus = "".join(c if c.isalnum() else " " for c in files["corpus.txt"]).lower().split()
    reviews = _rows(files, "reviews", ("train", "valid", "test"))
    lengths = [len(row.split("\t")[1].split()) for part in reviews for row in part]
    tagged = [files[f"tagged.{split}.tsv"] for split in ("train", "test")]
    return TEMPLATE.format(
        sentences=files["corpus.txt"].count("\n"),
        words=len(corpus),
        types=len(set(corpus)),
        questions=sum(not line.startswith(":") for line in files["analogies.txt"].splitlines()),
        similarities=files["similarity.tsv"].count("\n") - 1,
        reviews=" / ".join(str(len(part)) for part in reviews),
        topics=" / ".join(str(len(part)) for part in _rows(files, "topics", ("train", "test"))),
        tagged=" / ".join(str(text.count("\n\n")) for text in tagged),
        steps=files["series.csv"].count("\n") - 1,
        shortest=min(lengths),
        longest=max(lengths),
        tags=", ".join(sorted({line.split("\t")[1] for text in tagged for line in text.splitlines() if line})),
    )


def _rows(files: dict[str, str], name: str, splits: tuple[str, ...]) -> list[list[str]]:
    """The records of each split, without the header."""
    return [files[f"{name}.{split}.tsv"].splitlines()[1:] for split in splits]
