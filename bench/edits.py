"""Texts that are like others but for a few words, made by seeded edits of the shared sets' texts.

Of a text of n words, 5 to 15 % are edited, at least one. Of the edits 45 % mistype a word (two
letters change places, one is left out, doubled, or is its neighbour's on the keyboard), 15 % leave
one out, 15 % put one in (seven in ten a filler such as "please", else the word again), 13 % swap
two that stand together, and 12 % exchange one for any word of the sets. What comes out differs
from its origin in more than case.
"""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path

from bench.base import OUT, ROOT
from bessemer.prepare.locate import locate

#: Letters, and the keys beside each.
LETTERS = "qwertyuiopasdfghjklzxcvbnm"
BESIDE = (
    "wa qes wrd etf ryg tuh yij uok ipl o qsz awdx sefc drgv fthb gyjn hukm jil ko ax zsc xdv"
    " cfb vgn bhm nj"
)
KEYS = dict(zip(LETTERS, BESIDE.split(), strict=True))
FILLERS = "please hi hello so just actually now today really thanks ok well"
#: Rows of a big file that are near duplicates of another row of it.
PLANTED = 0.05


def edited(text: str, words: list[str], draw: random.Random) -> str:
    """Return a text with 5 to 15 % of its words edited, never the text itself.

    Args:
        text: It has a word.
        words: What a word is exchanged for.
        draw: Decides.
    """
    while True:
        made = text.split()
        for _ in range(max(1, round(len(made) * draw.uniform(0.05, 0.15)))):
            _edit(made, words, draw)
        if (new := " ".join(made)).lower() != " ".join(text.split()).lower():
            return new


def _edit(made: list[str], words: list[str], draw: random.Random) -> None:
    place, chance = draw.randrange(len(made)), draw.random()
    if chance < 0.45:
        made[place] = _mistyped(made[place], draw)
    elif chance < 0.60:
        if len(made) > 2:
            del made[place]
    elif chance < 0.75:
        made.insert(place, draw.choice(FILLERS.split()) if draw.random() < 0.7 else made[place])
    elif chance < 0.88:
        place = min(place, len(made) - 2)
        if place >= 0:
            made[place], made[place + 1] = made[place + 1], made[place]
    else:
        made[place] = draw.choice(words)


def _mistyped(word: str, draw: random.Random) -> str:
    if len(word) < 2:
        return word + word
    kind, place = draw.randrange(4), draw.randrange(len(word) - 1)
    before, one, two, after = word[:place], word[place], word[place + 1], word[place + 2 :]
    if kind == 0 and one != two:
        return before + two + one + after
    if kind <= 1:
        return before + two + after
    if kind == 2:
        return before + one + one + two + after
    return before + draw.choice(KEYS.get(one.lower(), "e")) + two + after


def banking77(part: str) -> list[tuple[str, str]]:
    """Return the texts and labels of a split."""
    path = locate(f"public:banking77/{part}.csv", relative_to=ROOT, cache=OUT / "downloads")
    with path.open(encoding="utf-8", newline="") as file:
        return [(" ".join(row["text"].split()), row["category"]) for row in csv.DictReader(file)]


def shared() -> list[tuple[str, str]]:
    """Return texts and labels of all shared sets; tweets have the label "tweet"."""
    rows = banking77("train") + banking77("test")
    cache = OUT / "downloads"
    clinc = locate("public:clinc150/data_full.json", relative_to=ROOT, cache=cache)
    for some in json.loads(clinc.read_text(encoding="utf-8")).values():
        rows += [(text, label) for text, label in some]
    for part in ("train", "dev", "test"):
        path = locate(f"public:wnut17/{part}.conll", relative_to=ROOT, cache=cache)
        # A line of blanks also ends a tweet.
        for block in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            said = [line.split("\t")[0] for line in block.split("\n") if line.strip()]
            rows += [(" ".join(said), "tweet")] if said else []
    return [(" ".join(text.split()), label) for text, label in rows if text.strip()]


def big(count: int) -> tuple[Path, list[int]]:
    """Return a table of many short texts, and the origins of its last rows.

    Every row before is a shared text of which each word was exchanged, with an even chance, for
    any word of the sets; no two are alike but for case. The last `PLANTED` are edits of rows
    before them. The table is kept for the next time.

    Returns:
        A CSV file with the columns text and label, and the place of each planted row's origin.
    """
    path = OUT / f"prepare-{count}.csv"
    origins = path.with_suffix(".origins.json")
    if not origins.exists():
        draw, rows = random.Random(0), shared()
        words = [word for text, _ in rows for word in text.split()]
        planted = round(count * PLANTED)
        seen: set[str] = set()
        made: list[tuple[str, str]] = []
        while len(made) < count - planted:
            text, label = draw.choice(rows)
            far = " ".join(draw.choice(words) if draw.random() < 0.5 else w for w in text.split())
            if far.lower() not in seen:
                seen.add(far.lower())
                made.append((far, label))
        places = [draw.randrange(len(made)) for _ in range(planted)]
        for place in places:
            text, label = made[place]
            made.append((edited(text, words, draw), label))
        OUT.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *made])
        # Written last: it says that the table is whole.
        origins.write_text(json.dumps(places), encoding="utf-8")
    found: list[int] = json.loads(origins.read_text(encoding="utf-8"))
    return path, found
