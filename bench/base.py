"""What every measurement shares: its rows, how they are printed, where raw outputs lie."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "out"
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")


@dataclass(frozen=True)
class Row:
    """One figure. `reach` is what it is held against, in words; "" where it is only told."""

    name: str
    value: float
    unit: str
    reach: str = ""
    met: bool = True


@dataclass(frozen=True)
class Bench:
    """One measurement: `measure` returns its rows and everything they were computed from."""

    name: str
    about: str
    reach: str
    minutes: float
    measure: Callable[[], tuple[list[Row], dict[str, Any]]]


def at_most(name: str, value: float, unit: str, bound: float) -> Row:
    return Row(name, value, unit, f"≤ {bound:g}", value <= bound)


def at_least(name: str, value: float, unit: str, bound: float) -> Row:
    return Row(name, value, unit, f"≥ {bound:g}", value >= bound)


def run(bench: Bench) -> bool:
    """Measure, print a table and, as the last line, one JSON object."""
    rows, raw = bench.measure()
    machine = {"processor": processor(), "cores": os.cpu_count()}
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{bench.name}.json"
    told = [asdict(row) for row in rows]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    document = {"name": bench.name, "at": at, "machine": machine, "rows": told, "raw": raw}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    width = max(len(row.name) for row in rows)
    print(f"\n{machine['processor']}, {machine['cores']} cores")
    for row in rows:
        verdict = "" if not row.reach else "met" if row.met else "NOT MET"
        print(f"{row.name:<{width}}  {row.value:>10.4g} {row.unit:<10} {row.reach:<14} {verdict}")
    met = all(row.met for row in rows)
    where = path.relative_to(ROOT).as_posix()
    print(
        json.dumps({"name": bench.name, "met": met, "rows": told, "raw": where}, ensure_ascii=False)
    )
    return met


def processor() -> str:
    """Return the processor's name and which of the flags that matter here it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in lines)
    found = {key.strip(): value.strip() for key, _, value in pairs}
    has = [flag for flag in FLAGS if flag in found.get("flags", "").split()]
    name, family, model = (found.get(key, "?") for key in ("model name", "cpu family", "model"))
    return f"{name} (family {family}, model {model}; {', '.join(has) or 'no vector flags seen'})"
