"""The sample data: small files with planted structure, written by rules, so that results on them mean something.

The same bytes on every run: all choices come from rnncli.rng.
"""

from pathlib import Path

from rnncli.sample_data.corpus import corpus_text
from rnncli.sample_data.dice import Dice
from rnncli.sample_data.questions import analogies_text, similarity_text
from rnncli.sample_data.readme import readme_text
from rnncli.sample_data.reviews import review_files
from rnncli.sample_data.series import series_text
from rnncli.sample_data.tagged import tagged_files
from rnncli.sample_data.topics import topic_files

__all__ = ["sample_files", "write_sample_data"]

SEED = 1
CORPUS, ANALOGIES, SIMILARITY, REVIEWS, TOPICS, TAGGED, SERIES = range(7)  # one sequence of draws each


def sample_files(seed: int = SEED) -> dict[str, str]:
    """Name and text of every sample file."""
    files = {
        "corpus.txt": corpus_text(Dice(seed, CORPUS)),
        "analogies.txt": analogies_text(Dice(seed, ANALOGIES)),
        "similarity.tsv": similarity_text(Dice(seed, SIMILARITY)),
    }
    for name, splits in (
        ("reviews", review_files(Dice(seed, REVIEWS))),
        ("topics", topic_files(Dice(seed, TOPICS))),
        ("tagged", tagged_files(Dice(seed, TAGGED))),
    ):
        files |= {f"{name}.{split}.tsv": text for split, text in splits.items()}
    files["series.csv"] = series_text(seed, SERIES)
    files["README.md"] = readme_text(files)
    return files


def write_sample_data(folder: Path, seed: int = SEED) -> list[Path]:
    """Write every sample file into `folder` (made where missing; files of these names are replaced)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in sample_files(seed).items():
        path = folder / name
        path.write_bytes(text.encode())
        paths.append(path)
    return paths
