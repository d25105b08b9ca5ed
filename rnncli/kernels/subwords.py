"""Words as the mean of parts: their own row and those of their character n-grams.

    x_w = (1 / |G_w|) sum_{g in G_w} z_g;   every part takes the whole step of x_w.
Source: Bojanowski, Grave, Joulin & Mikolov 2017, "Enriching word vectors with subword information", section 3.2; mean,
whole step and hash (32-bit FNV-1a) as in fastText.

Dimension key: D floats of a padded row, W words of a shard, P parts of all of them.
"""

import numpy as np

from rnncli.kernels._jit import kernel
from rnncli.kernels.cbow import train_cbow
from rnncli.kernels.lanes import WIDTH, add, load, mul, splat, store, sub
from rnncli.kernels.word2vec import train_words

FNV_OFFSET, FNV_PRIME, MASK = np.uint64(2166136261), np.uint64(16777619), np.uint64(0xFFFFFFFF)


@kernel
def ngram_rows(text, start, end, minn, maxn, bucket, first_row, rows, at):
    """Rows of the n-grams of one word; returns where the next row goes (with an empty `rows` they are only counted).

    Shapes   text (n,) uint8: UTF-8, the word with its marks `<` and `>` at start .. end - 1; rows int32 out, from `at`.
    An n-gram has minn to maxn characters; a mark by itself is none.
    """
    for i in range(start, end):
        if text[i] & 0xC0 == 0x80:  # inside a character
            continue
        hashed = FNV_OFFSET
        j = i
        n = 0
        while j < end and n < maxn:
            n += 1
            first = True
            while j < end and (first or text[j] & 0xC0 == 0x80):
                byte = np.uint64(text[j])
                if byte >= np.uint64(128):  # fastText hashes signed characters
                    byte |= np.uint64(0xFFFFFF00)
                hashed = ((hashed ^ byte) * FNV_PRIME) & MASK
                first = False
                j += 1
            if n >= minn and not (n == 1 and (i == start or j == end)):
                if rows.shape[0]:
                    rows[at] = first_row + np.int64(hashed % np.uint64(bucket))
                at += 1
    return at


@kernel
def part_table(text, offsets, minn, maxn, bucket, starts, rows):
    """The parts of every word: its own row, then those of its n-grams.

    Shapes   text uint8, offsets (V + 1,) int64: marked words back to back; starts (V + 1,) int64 out; rows int32 out, or
             empty to learn from starts[V] how many there will be. N-grams share the rows V .. V + bucket - 1.
    """
    words = offsets.shape[0] - 1
    at = 0
    for word in range(words):
        starts[word] = at
        if rows.shape[0]:
            rows[at] = word
        at = ngram_rows(text, offsets[word], offsets[word + 1], minn, maxn, bucket, words, rows, at + 1)
    starts[words] = at


@kernel
def most_parts(ids, starts, first, last, size, reach):
    """The most parts that `size` tokens in a row have, with `reach` more on both sides; tokens first .. last - 1.

    Shapes   ids (tokens,) int32; starts (V + 1,) int64.
    """
    span = size + 2 * reach
    inside, most = 0, 0
    for p in range(first, last):
        inside += starts[ids[p] + 1] - starts[ids[p]]
        if p - span >= first:
            inside -= starts[ids[p - span] + 1] - starts[ids[p - span]]
        most = max(most, inside)
    return most


@kernel
def draw_parts(parts, starts, words, table_rows, table_starts):
    """List the parts of drawn words.

    Shapes   parts (P,) int32 out; starts (W + 1,) int64 out: those of word i are parts[starts[i] : starts[i + 1]]; words
             (n,) int32; table_rows, table_starts as part_table made them.
    """
    at = 0
    for i in range(words.shape[0]):
        starts[i] = at
        for k in range(table_starts[words[i]], table_starts[words[i] + 1]):
            parts[at] = table_rows[k]
            at += 1
    starts[words.shape[0]] = at
    return at


@kernel
def _enter(x, parts, hidden, before, slot, dim):
    """Take the mean of `parts` into a slot of `hidden`, and note it in `before`."""
    share = splat(np.float32(1.0) / np.float32(parts.shape[0]))
    for j in range(0, dim, WIDTH):
        total = load(x, np.int64(parts[0]) * dim + j)
        for k in range(1, parts.shape[0]):
            total = add(total, load(x, np.int64(parts[k]) * dim + j))
        total = mul(total, share)
        store(hidden, slot * dim + j, total)
        store(before, slot * dim + j, total)


@kernel
def _leave(x, parts, hidden, before, slot, dim):
    """Give every part the whole step of a slot."""
    for j in range(0, dim, WIDTH):
        step = sub(load(hidden, slot * dim + j), load(before, slot * dim + j))
        for k in range(parts.shape[0]):
            at = np.int64(parts[k]) * dim + j
            store(x, at, add(load(x, at), step))


@kernel
def train_parts(
    x, y, parts, starts, n_words, low, high, outputs_WK, labels_W, first, last, idle_y, window, lr, dim, cbow
):  # fmt: skip
    """Train the centres first .. last - 1 in order on words that are means of parts; returns (loss, pairs).

    A word is composed when it comes into reach of a centre, trained as any other row, and its step goes to its parts
    when it is out of reach: they are gathered once for a word, not once for each centre near it.

    Shapes   x, y float32 with one axis, rows of `dim` floats; parts (P,) int32 rows of x; starts (W + 1,) int64; the
             others as kernels.word2vec.train_words.
    Writes   x and y.
    """
    ring = 2 * window + 1
    hidden, before = np.zeros((ring + 1) * dim, np.float32), np.zeros(ring * dim, np.float32)
    slots = np.empty(n_words, np.int32)
    for p in range(n_words):
        slots[p] = p % ring
    loss, pairs = 0.0, 0
    entered, left = 0, 0
    for i in range(first, last):
        while entered < min(i + window + 1, n_words):
            if entered - left == ring:
                _leave(x, parts[starts[left] : starts[left + 1]], hidden, before, left % ring, dim)
                left += 1
            _enter(x, parts[starts[entered] : starts[entered + 1]], hidden, before, entered % ring, dim)
            entered += 1
        if cbow:
            more, met = train_cbow(
                hidden, y, slots, low, high, outputs_WK, labels_W, i, i + 1, ring, idle_y, window, lr, dim
            )  # fmt: skip
        else:
            more, met = train_words(
                hidden, y, slots, low, high, outputs_WK, labels_W, i, i + 1, ring, idle_y, window, lr, dim
            )  # fmt: skip
        loss += more
        pairs += met
    for p in range(left, entered):
        _leave(x, parts[starts[p] : starts[p + 1]], hidden, before, p % ring, dim)
    return loss, pairs
