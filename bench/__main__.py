"""`python -m bench` lists the measurements; `python -m bench NAME` makes one."""

from __future__ import annotations

import argparse
import sys

from bench import demo, http, start
from bench.base import run

ALL = {bench.name: bench for bench in (demo.BENCH, http.BENCH, start.BENCH)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(ALL))
    name = parser.parse_args().name
    if name is not None:
        return 0 if run(ALL[name]) else 1
    for bench in ALL.values():
        print(f"{bench.name:<8} {bench.about}")
        print(f"         reach: {bench.reach}; about {bench.minutes:g} min")
    return 0


if __name__ == "__main__":
    sys.exit(main())
