"""Slow tokenizers, one character at a time, and a slow vocabulary; written from the definitions."""

import unicodedata
from collections import Counter


def lower(text: str) -> str:
    """Simple case folding: one code point to one; İ is the only one whose full mapping is longer."""
    return "".join("i" if c == "İ" else c.lower() for c in text)


def is_word(c: str) -> bool:
    return c == "_" or unicodedata.category(c)[0] in "LMN"


def words(text: str) -> list[str]:
    tokens: list[str] = []
    run = ""
    for i, c in enumerate(text):
        inner = c in "'’" and 0 < i < len(text) - 1 and is_word(text[i - 1]) and is_word(text[i + 1])
        if is_word(c) or inner:
            run += c
            continue
        if run:
            tokens.append(run)
            run = ""
        if not c.isspace():
            tokens.append(c)
    return [*tokens, run] if run else tokens


def tokens(name: str, lowercase: bool, text: str) -> list[str]:
    text = lower(text) if lowercase else text
    if name == "whitespace":
        return text.split()
    if name == "words":
        return words(text)
    if name == "chars":
        return [c for c in text if c != "\n"]
    return [f"{b:02x}" for b in text.encode()]


def kept_tokens(counts: Counter[str], min_count: int, max_vocab: int | None) -> list[str]:
    frequent = [t for t, n in counts.items() if n >= min_count]
    return sorted(frequent, key=lambda t: (-counts[t], [ord(c) for c in t]))[:max_vocab]
