"""Personal data: found by form and checksum, masked in place, and left alone where it is none."""

from __future__ import annotations

import csv
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import write_csv

from bessemer.core.errors import DataError
from bessemer.core.project import Columns, Data, Labels, Prepare
from bessemer.prepare import checks, pii
from bessemer.prepare.sources.csv import Csv
from bessemer.tasks.text_classification import TextClassification
from bessemer.tasks.token_classification import TokenClassification

ROOT = Path(__file__).resolve().parents[2]


def kinds(text: str) -> list[tuple[str, str]]:
    return [(text[one.start : one.end], one.kind) for one in pii.find(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("write to Ann.O'Neil+x@mail.example.co.uk.", ("Ann.O'Neil+x@mail.example.co.uk", "email")),
        ("邮箱是zhang.san@example.cn，谢谢", ("zhang.san@example.cn", "email")),
        ("call +44 20 7946 0958 today", ("+44 20 7946 0958", "phone")),
        ("call (212) 555-0123 x45!", ("(212) 555-0123 x45", "phone")),
        ("212.555.0123 is mine", ("212.555.0123", "phone")),
        ("我的手机13812345678请回电", ("13812345678", "phone")),
        ("座机 010-62345678 找我", ("010-62345678", "phone")),
        ("手机１３８１２３４５６７８", ("１３８１２３４５６７８", "phone")),
        ("card 4111 1111 1111 1111 was charged", ("4111 1111 1111 1111", "card")),
        ("amex 378282246310005", ("378282246310005", "card")),
        ("银行卡6222021234567890128", ("6222021234567890128", "card")),
        ("to DE89 3704 0044 0532 0130 00 please", ("DE89 3704 0044 0532 0130 00", "iban")),
        ("GB29NWBK60161331926819", ("GB29NWBK60161331926819", "iban")),
        ("身份证11010519491231002X。", ("11010519491231002X", "cn-id")),
        ("from 192.168.0.17, again", ("192.168.0.17", "ip")),
        ("from 2001:db8::8a2e:370:7334", ("2001:db8::8a2e:370:7334", "ip")),
        ("护照号 E12345678", ("E12345678", "passport")),
        ("my passport is 123456789", ("123456789", "passport")),
        ("车牌京A·12345停在门口", ("京A·12345", "plate")),
        ("粤B12345D 是绿牌", ("粤B12345D", "plate")),
    ],
)
def test_what_is_found(text: str, wanted: tuple[str, str]) -> None:
    assert kinds(text) == [wanted]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I paid 1,234,567.89 on 2024-05-06 at 12:30:45",
        "order 4111111111111112 is late",  # one digit off
        "it was 1111111111111111",
        "DE88370400440532013000 is no IBAN",
        "110105194912310021 has another check digit",
        "version 1.2.3 and 999.1.1.1 and 1.2.3.4.5",
        "std::vector and 10::20",
        "me @home and a@b",
        "E12345678 without a word",
        "between 2010-2019 there were 300-400-500",
        "invoice 20240506-00017",
        "it costs $2125550123",
    ],
)
def test_what_is_not(text: str) -> None:
    assert not kinds(text)


def test_several_in_one_text_are_masked_in_their_places() -> None:
    text = "a@b.de or 13812345678, card 4111111111111111"
    found = pii.find(text)
    assert pii.mask(text, found) == "[EMAIL] or [PHONE], card [CARD]"
    word = text.index("or")
    assert pii.mask(text, found)[pii.moved(word, found, end=False) :].startswith("or ")


def test_a_long_text_of_digits_does_not_take_long() -> None:
    began = time.process_time()
    plain = ("1", "1 ", "1-", "a@", "::", "AB12", "a.", "+1 2345 ", "1.1.", "(12)", "@a.")
    full = ("212 555 0123 ", "212-555-0123 ", "a@b.de ", "4111111111111111 ", "1.2.3.4 ")
    for part in plain + full:
        pii.find(part * (100_000 // len(part)) + "@")
    assert time.process_time() - began < 10


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_finds_lie_in_the_text_and_do_not_overlap(text: str) -> None:
    found = pii.find(f"{text} 13812345678 {text}")
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert all(0 <= one.start < one.end <= 2 * len(text) + 13 for one in found)


def mended(folder: Path, rule: str, rows: list[tuple[str, str]], task=None):
    write_csv(folder / "table.csv", rows, ("text", "label"))
    columns, data = Columns(), Data(source="table.csv")
    table = pa.Table.from_batches(Csv().read(folder / "table.csv", data))
    table = checks.select(table, columns, {}, "table.csv")
    task = task or TextClassification(Labels())
    return checks.mend(table, task, Prepare.model_validate({"pii": rule}), "table.csv")


ROWS = [("call 13812345678", "a"), ("call 13987654321", "a"), ("hello", "b")]


def test_rules_for_rows(tmp_path: Path) -> None:
    table, [finding] = mended(tmp_path, "report", ROWS)
    assert table.num_rows == 3
    assert (finding.rule, finding.action, finding.count, finding.rows, finding.detail) == (
        "personal data", "kept", 2, (1, 2), "phone 2",
    )  # fmt: skip
    table, findings = mended(tmp_path, "mask", ROWS)
    assert table["text"].to_pylist() == ["call [PHONE]", "hello"], "masked texts are alike"
    assert [one.action for one in findings] == ["masked", "dropped"]
    table, _ = mended(tmp_path, "drop", ROWS)
    assert table["text"].to_pylist() == ["hello"]
    assert mended(tmp_path, "ignore", ROWS)[1] == []
    with pytest.raises(DataError, match="2 of 3 texts hold personal data"):
        mended(tmp_path, "error", ROWS)
    with pytest.raises(DataError, match="every text"):
        mended(tmp_path, "drop", ROWS[:2])


def test_spans_move_with_the_text(tmp_path: Path) -> None:
    rows = [("mail a@b.de about Berlin", '[{"start": 18, "end": 24, "label": "PLACE"}]')]
    task = TokenClassification(Labels())
    table, _ = mended(tmp_path, "mask", rows, task)
    [text], [cell] = table["text"].to_pylist(), table["label"].to_pylist()
    [(start, end, label)] = task.parse(text, cell)
    assert (text, text[start:end], label) == ("mail [EMAIL] about Berlin", "Berlin", "PLACE")


def test_what_the_shipped_messages_hold() -> None:
    """People read them all: invented addresses, two telephone numbers, the test card of a bank."""
    with (ROOT / "examples/support-intents/messages.csv").open(encoding="utf-8") as file:
        found = [one for row in csv.DictReader(file) for one in kinds(row["text"])]
    assert Counter(kind for _, kind in found) == {"email": 22, "phone": 2, "card": 1}, found
