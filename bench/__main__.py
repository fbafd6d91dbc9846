"""`python -m bench` lists the measurements; `python -m bench NAME` makes one."""

from __future__ import annotations

import argparse
import sys

from bench import (
    accuracy,
    demo,
    density,
    evaluate,
    labelling,
    labels,
    overhead,
    pii,
    prepare,
    restart,
    resume,
    serve,
    start,
    train,
)
from bench.base import run

MODULES = (
    demo,
    start,
    train,
    accuracy,
    resume,
    serve,
    overhead,
    density,
    restart,
    pii,
    prepare,
    labels,
    labelling,
    evaluate,
)
ALL = {module.BENCH.name: module.BENCH for module in MODULES}
PARTS = {part.name: part for part in (*accuracy.PARTS, *evaluate.PARTS)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=[*sorted(ALL), *PARTS])
    name = parser.parse_args().name
    if name is not None:
        return 0 if run((ALL | PARTS)[name]) else 1
    for bench in ALL.values():
        print(f"{bench.name:<8} {bench.about}")
        print(f"         reach: {bench.reach}; about {bench.minutes:g} min")
    return 0


if __name__ == "__main__":
    sys.exit(main())
