"""A million short texts through `prepare`, and what is found of near duplicates across splits.

How the texts are made says `bench.edits`: of the million, 95 % are shared texts of which half of
all words were exchanged, all distinct, and 5 % are edits of one of these in 5 to 15 % of its words.
A planted text counts as found when it lies in one cluster with its origin.

Peers find the same near duplicates in the same table, with two processes each. Of their settings
those are tried on a tenth of the texts that reach our recall by computation, from the fewest
hashes to the fewest texts marked; of those that do reach it there, the quickest and the one that
marks the fewest texts go through the million. A peer looks at no pair of texts again: what shares
a bucket is one cluster, so that a quick setting joins nearly all texts there are.

A result of a peer on this kind of processor is taken from `bench/peers/results/`, where it lies
with its date, but for the quickest one, which is measured again each time; remove the file to
measure all again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench import leaks
from bench.base import OUT, ROOT, Bench, Row, at_least, at_most, processor
from bench.edits import big
from bench.peers.environment import PEERS, python_of
from bessemer.core import digest

BIG, SMALL = 1_000_000, 100_000
#: Words of a shingle, buckets, hashes of a bucket.
Setting = tuple[int, int, int]
SETTINGS: tuple[Setting, ...] = ((1, 2, 2), (2, 3, 1), (1, 10, 6), (1, 20, 8))
#: Names by their folders.
OTHERS = {"datatrove": "datatrove", "textdedup": "text-dedup"}
Result = dict[str, Any]


def measure() -> tuple[list[Row], dict[str, Any]]:
    rows, raw = _million()
    found, pairs = leaks.find()
    for name, low, high, bound in (
        (f"{leaks.LONG} words and more", leaks.LONG, 1 << 30, 0.95),
        (f"fewer than {leaks.LONG} words", 0, leaks.LONG, 0.85),
    ):
        some = [one.found for one in found if low <= len(one.origin.split()) < high]
        title = f"planted across splits, {name}: recall of {len(some)}"
        rows.append(at_least(title, float(np.mean(some)), "", bound))
    sample = leaks.judged(pairs)
    print(f"pairs that are judged: {leaks.write(sample).relative_to(ROOT)}")
    unknown = [pair for pair, verdict in sample if verdict is None]
    for pair in unknown:
        print(f"to be judged: {pair.digest()}\n  {pair.earlier}\n  {pair.later}")
    right = [verdict for _, verdict in sample if verdict is not None]
    title = f"found across splits: precision of {len(right)} judged of {len(pairs):,}"
    row = at_least(title, float(np.mean(right)) if right else 0.0, "", 0.95)
    rows.append(Row(row.name, row.value, row.unit, row.reach, row.met and not unknown))
    raw["missed"] = [asdict(one) for one in found if not one.found]
    return rows, raw


def _million() -> tuple[list[Row], dict[str, Any]]:
    began = _now()
    whole, small, ours = _ours("prepare", BIG), _ours("find", SMALL), _ours("find", BIG)
    peers = {folder: _tuned(folder, small["recall"]) for folder in OTHERS}
    folder, place = min(
        ((folder, place) for folder, some in peers.items() for place in range(len(some[BIG]))),
        key=lambda one: peers[one[0]][BIG][one[1]]["seconds"],
    )
    rival = peers[folder][BIG][place]
    if rival["at"] < began:
        rival = _peer(folder, BIG, tuple(rival["setting"]), again=True)
        peers[folder][BIG][place] = rival
    best = min((one for some in peers.values() for one in some[BIG]), key=lambda one: one["marked"])
    rows = [
        Row("prepare, a million texts: seconds", whole["seconds"], "s"),
        at_most("… peak memory", whole["peak_bytes"] / 1e9, "GB", 1.5),
        Row("near duplicates alone: seconds", ours["seconds"], "s"),
        Row("… recall of 50,000 planted", ours["recall"], ""),
        Row("… share of texts marked", ours["marked"], ""),
    ]
    for name, results in peers.items():
        for what, result in zip(("quickest", "marks fewest"), results[BIG], strict=False):
            words, buckets, hashes = result["setting"]
            told = f"words of a shingle {words}, buckets {buckets} × {hashes}"
            title = f"{OTHERS[name]}, {what} ({told}): seconds"
            rows += [
                Row(title, result["seconds"], "s"),
                at_least("… recall", result["recall"], "", round(ours["recall"], 4)),
                Row("… share of texts marked", result["marked"], ""),
                Row("… its largest process", result["peak_bytes"] / 1e9, "GB"),
            ]
    rows += [
        at_least(
            f"seconds of the fastest, {OTHERS[folder]}, whatever it marks / Bessemer's",
            rival["seconds"] / ours["seconds"],
            "×",
            2,
        ),
        Row(
            "seconds of what marks the fewest / Bessemer's", best["seconds"] / ours["seconds"], "×"
        ),
    ]
    return rows, {"prepare": whole, "near duplicates": ours, "peers": peers}


def _tuned(folder: str, recall: float) -> dict[int, list[Result]]:
    """Return all results on the tenth, and on the million the quickest, and the sparest if other.

    Args:
        folder: The peer's.
        recall: What a setting must reach.
    """
    tried = [_peer(folder, SMALL, setting) for setting in SETTINGS]
    enough = [result for result in tried if result["recall"] >= recall]
    quick = min(enough, key=lambda result: result["seconds"])
    spare = min(enough, key=lambda result: result["marked"])
    chosen = [quick] if quick is spare else [quick, spare]
    return {SMALL: tried, BIG: [_peer(folder, BIG, tuple(one["setting"])) for one in chosen]}


def _ours(what: str, count: int) -> Result:
    told, clusters = OUT / f"prepare-{what}.json", OUT / f"prepare-{what}.npy"
    table, origins = big(count)
    command = [sys.executable, "-m", "bench.near", what, str(table), str(told), str(clusters)]
    return _result(command, told, clusters, origins)


def _peer(folder: str, count: int, setting: Setting, *, again: bool = False) -> Result:
    files = [PEERS / folder / name for name in ("run.py", "requirements.txt")]
    table, origins = big(count)
    what = digest.of_json([{f.name: digest.of_file(f) for f in files}, digest.of_file(table)])
    known = {
        "setting": list(setting),
        "machine": processor(),
        "cores": os.cpu_count(),
        "measured": what,
    }
    kept = PEERS / "results" / f"{folder}-prepare.json"
    name = f"{count}: {' '.join(map(str, setting))}"
    results = _read(kept) if kept.exists() else {}
    found: Result = results.get(name, {})
    if not again and known.items() <= found.items():
        print(f"{OTHERS[folder]} of {name}: measured on {found['at']}", flush=True)
        return found
    told, clusters = OUT / f"prepare-{folder}.json", OUT / f"prepare-{folder}.npy"
    script = str(PEERS / folder / "run.py")
    command = [str(python_of(folder)), script, str(table), str(told), str(clusters)]
    result = _result([*command, *map(str, setting)], told, clusters, origins)
    found = results[name] = {**result, "at": _now(), **known}
    kept.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return found


def _result(command: list[str], told: Path, clusters: Path, origins: list[int]) -> Result:
    """Run a finder; add the share of planted texts that it found, and of all that it marks."""
    print(" ".join(Path(part).name for part in command), flush=True)
    # Peers tell their progress in thousands of lines.
    with told.with_suffix(".log").open("w") as log:
        subprocess.run(command, check=True, cwd=ROOT, stdout=log, stderr=log)
    found = np.load(clusters)
    first = len(found) - len(origins)
    recall = float((found[first:] == found[np.array(origins)]).mean())
    marked = 1 - len(np.unique(found)) / len(found)
    return {**_read(told), "recall": recall, "marked": marked}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read(path: Path) -> Result:
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    return result


BENCH = Bench(
    "prepare",
    "a million short texts through prepare; near duplicates beside datatrove's and text-dedup's",
    "≤ 1.5 GB, ≥ 2 × the fastest peer at equal recall; across splits recall ≥ 0.95 from ten words"
    " up, ≥ 0.85 below, precision ≥ 0.95 of 200 judged",
    40,
    measure,
)
