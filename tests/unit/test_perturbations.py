"""Changes of texts: what each does to English and Chinese, and what none of them may do."""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bessemer.evaluate.perturbations import PERTURBATIONS, words

NAMES = sorted(PERTURBATIONS)
#: Sentences and odd characters: lone surrogates, combining marks, letters that grow in capitals.
TEXTS = st.text(
    st.one_of(
        st.sampled_from("abcdefghij ABC .,!?'\t\n不没的在我，。！ßŉİſΩ\u0301\u200d🏰\ud800"),
        st.characters(exclude_categories=()),
    ),
    max_size=60,
)


def change(name: str, text: str, seed: int = 0) -> str:
    return PERTURBATIONS[name](text, Random(seed))


@settings(deadline=None)  # the first text waits for words to be read
@given(st.sampled_from(NAMES), TEXTS, st.integers(0, 999))
def test_any_text_can_be_changed_and_again_the_same_way(name: str, text: str, seed: int) -> None:
    once = change(name, text, seed)
    assert once == change(name, text, seed)
    if PERTURBATIONS[name].aligned:
        assert len(once) == len(text)
        assert [c.isspace() for c in once] == [c.isspace() for c in text]


@given(st.sampled_from(NAMES), st.text("0123456789 .,-+:/()%🏰\n", max_size=30))
def test_a_text_without_letters_stays(name: str, text: str) -> None:
    assert change(name, text) == text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "text",
    [
        "Can you help me to buy a big parcel today, please?",
        "这个 ABC 酒店的服务非常好，但是我不知道怎么付款。",
    ],
)
def test_every_perturbation_does_something_to_both_languages(name: str, text: str) -> None:
    assert all(change(name, text, seed) != text for seed in range(20))


@given(st.integers(0, 9999))
def test_typos_are_few_and_spare_the_first_letters(seed: int) -> None:
    text = "my card payment was declined at the supermarket"  # 40 letters, so 3 typos
    typed = change("typos", text, seed)
    parts = typed.split(" ")
    assert [part[0] for part in parts] == [part[0] for part in text.split(" ")]
    changed = sum(a != b for a, b in zip(parts, text.split(" "), strict=True))
    assert changed <= 3
    assert abs(len(typed) - len(text)) <= 3
    assert SequenceMatcher(None, text, typed, autojunk=False).ratio() > 0.85


def test_typos_are_of_all_kinds() -> None:
    found = Counter(change("typos", "cart", seed) for seed in range(300))
    assert {"crat", "cat", "caart"} <= set(found)
    assert {"csrt", "caet", "cary"} & set(found)


def test_chinese_typos_take_characters_for_others_alike() -> None:
    text = "他在这里做账"
    alike = {frozenset(pair) for pair in words("characters")["chinese"]}
    for seed in range(20):
        typed = change("typos", text, seed)
        wrong = [(a, b) for a, b in zip(text, typed, strict=True) if a != b]
        assert len(wrong) == 1
        assert frozenset(wrong[0]) in alike


def test_case_is_drawn_and_never_without_effect() -> None:
    assert {change("case", "Straße 5", n) for n in range(20)} == {"STRAßE 5", "straße 5"}
    assert {change("case", "all small", n) for n in range(20)} == {"ALL SMALL"}
    assert change("case", "全是汉字") == "全是汉字"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Yes, 1,000 of them. ", {"Yes 1,000 of them"}),
        ("really?!", {"really"}),
        ("no mark", {"no mark.", "no mark!", "no mark..."}),
        ("好，谢谢。", {"好谢谢"}),
        ("谢谢", {"谢谢。", "谢谢！", "谢谢…"}),
    ],
)
def test_punctuation(text: str, wanted: set[str]) -> None:
    assert {change("punctuation", text, seed) for seed in range(40)} == wanted


@given(st.integers(0, 9999))
def test_spacing_moves_no_character(seed: int) -> None:
    for text in ("where is my new card", "我的卡 不见了"):
        spaced = change("spacing", text, seed)
        assert "".join(spaced.split()) == "".join(text.split())
        assert spaced != text


def test_homoglyphs_look_alike_and_are_one_in_eight() -> None:
    text = "please reset my passcode"  # 21 letters
    found = change("homoglyphs", text)
    wrong = [(a, b) for a, b in zip(text, found, strict=True) if a != b]
    assert len(wrong) == 3
    assert all(words("characters")["lookalikes"][a] == b and ord(b) > 0x36F for a, b in wrong)


def test_full_width() -> None:
    assert change("full-width", "Card 5!卡") == "Ｃａｒｄ ５！卡"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("I don't know", "I do know"),
        ("Won't it open?", "Will it open?"),
        ("you cannot pay", "you can pay"),
        ("it is not here", "it is here"),
        ("CAN'T YOU", "CAN YOU"),
        ("Why does it not work? It's not on", "Why does it work? It's not on"),
        ("It's not only slow but never works", "It's not only slow but works"),
        ("Can you help me?", "Can't you help me?"),
        ("WILL YOU GO", "WON'T YOU GO"),
        ("How do I pay", "How don't I pay"),
        ("I will do it", "I will not do it"),
        ("it has been paid", "it has not been paid"),
        ("I have been waiting", "I have not been waiting"),
        ("I want a card", "I do not want a card"),
        ("Please close it", "Please do not close it"),
        ("Card arrived broken", "It is not true that card arrived broken"),
        ("请问能不能退款", "请问不能退款"),
        ("有没有优惠", "没有优惠"),
        ("我没有收到货", "我有收到货"),
        ("没收到货", "收到货"),
        ("我不喜欢", "我喜欢"),
        ("对不起，我想退款", "对不起，我不想退款"),
        ("这个重要会议是明天", "这个重要会议不是明天"),
        ("我有卡", "我没有卡"),
        ("我没钱，不去", "我有钱，不去"),
        ("服务不错", "服务不好"),
        ("不得不说，我不去", "不得不说，我去"),
        ("质量差", "并非质量差"),
    ],
)
def test_negation(text: str, wanted: str) -> None:
    assert change("negation", text) == wanted


def test_synonyms() -> None:
    assert change("synonyms", "A BIG Problem") == "A LARGE Issue"
    assert change("synonyms", "an error, as soon as possible") == "a mistake, asap"
    assert change("synonyms", "Can I get it") == "Could I get it"
    assert change("synonyms", "电影院在哪里") == "电影院在哪儿"
    assert {change("synonyms", "to choose", n) for n in range(20)} == {"to pick", "to select"}


def test_a_synonym_stands_in_one_group() -> None:
    for language, least in (("english", 150), ("chinese", 80)):
        groups = words("synonyms")[language]
        assert len(groups) >= least
        times = Counter(term.lower() for group in groups for term in group)
        assert max(times.values()) == 1


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("one two three four five six", "one two three four"),
        ("我的账号登录不了", "我的账号登"),
        ("two words", "two"),
        ("one", "one"),
    ],
)
def test_truncation_keeps_two_thirds(text: str, wanted: str) -> None:
    assert change("truncation", text) == wanted
