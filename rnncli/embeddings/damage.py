"""What is wrong with a file of word vectors: counted and told afterwards, or, when strict, an error at the first place."""

from dataclasses import dataclass, field, fields

from rnncli.errors import ArtifactError
from rnncli.results import Damage, DamageReport

WHAT = {
    "duplicates": "a word that had a vector already",
    "bad_utf8": "a word that is not UTF-8",
    "wrong_field_count": "too few fields for a word and its vector",
    "bad_numbers": "a field of the vector is not a number",
    "non_finite": "the vector holds nan or inf",
    "tokens_with_spaces": "a word of several fields",
    "header_mismatch": "the header does not fit the rows",
    "truncated": "the file ends, or cannot be read on",
}
DONE = {
    "duplicates": "repeat a word; the first vector is kept",
    "bad_utf8": "hold a word that is not UTF-8; left out",
    "wrong_field_count": "have too few fields; left out",
    "bad_numbers": "hold a field that is not a number; left out",
    "non_finite": "hold nan or inf; left out",
    "tokens_with_spaces": "have a word of several fields; kept, joined by spaces",
    "header_mismatch": "more or fewer than the header says, or of another dimension",
    "truncated": "missing or unreadable at the end",
}


@dataclass
class DamageLog:
    """Collects damage while a file is read. `unit` is "line" or "row" (of a binary file)."""

    name: str
    strict: bool = False
    unit: str = "line"
    counts: dict[str, int] = field(default_factory=dict)
    firsts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, place: int, count: int = 1) -> None:
        """Note damage at a line or row. Several kinds may be noted in any order before `check`."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        self.firsts[kind] = min(place, self.firsts.get(kind, place))

    def check(self) -> None:
        """When strict, raise ArtifactError for what was noted and stands first in the file."""
        if not self.strict or not self.counts:
            return
        kind = min(self.firsts, key=lambda kind: self.firsts[kind])
        where = f"{self.name}:{self.firsts[kind]}" if self.unit == "line" else f"{self.name}: row {self.firsts[kind]}"
        raise ArtifactError(f"{where}: {WHAT[kind]}; repair the file, or read it without --strict")

    def report(self) -> DamageReport:
        """All of it."""
        return DamageReport(**{kind: Damage(count, self.firsts[kind]) for kind, count in self.counts.items()})


def damage_sentences(report: DamageReport, unit: str = "line") -> list[str]:
    """One sentence for each kind that occurred, with its count and where it was first met."""
    found = [(kind.name, getattr(report, kind.name)) for kind in fields(report)]
    return [
        f"{damage.count:,} {unit}{'' if damage.count == 1 else 's'} {DONE[kind]} (first: {unit} {damage.first})"
        for kind, damage in found
        if damage is not None
    ]
