"""`python -m rnncli.sample_data [FOLDER]` writes the sample data."""

import argparse
import sys
from pathlib import Path

from rnncli.sample_data import write_sample_data


def main() -> None:
    """Write the files and name them on stdout."""
    parser = argparse.ArgumentParser(prog="python -m rnncli.sample_data", description="Write the sample data.")
    parser.add_argument("folder", nargs="?", default="sample_data", type=Path, help="where to (default: sample_data)")
    for path in write_sample_data(parser.parse_args().folder):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
