"""Terms of a group: found in texts, and swapped so that a text still agrees with itself."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bessemer.core.errors import UnknownNameError
from bessemer.core.terms import Finder, lists, replaced, shipped, swap
from bessemer.evaluate.swaps import check

GENDER = shipped()["gender"]
DRAWS = Random(0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("He lost his card", "She lost her card"),
        ("call her today, it is hers", "call him today, it is his"),
        ("I gave her card back to her.", "I gave his card back to him."),
        ("It is his.", "It is hers."),
        ("HE PAID FOR HIMSELF", "SHE PAID FOR HERSELF"),
        ("Mr. Smith, my dad", "Mrs. Smith, my mom"),
        ("the other theme is here", "the other theme is here"),
        ("他把她的卡给了其他人", "她把他的卡给了其他人"),
        ("他们的爸爸，女士", "她们的妈妈，先生"),
        ("我妻子John他是", "我丈夫John她是"),
    ],
)
def test_gender_is_swapped(text: str, wanted: str) -> None:
    # Each group has two variants, so that nothing is left to chance.
    assert swap(text, GENDER, DRAWS) == wanted


def test_all_terms_of_a_text_take_the_same_step() -> None:
    groups = (("China", "Germany", "India"), ("Chinese", "German", "Indian"))
    found = {swap("a Chinese from China", groups, Random(n)) for n in range(20)}
    assert found == {"a German from Germany", "an Indian from India"}


def test_a_group_of_one_guards_its_term() -> None:
    origin = shipped()["origin"]
    text = "印度尼西亚的中国银行, American Express in New Mexico"
    assert swap(text, origin, Random(0)) == text
    assert swap("印度的银行 in Mexico", origin, Random(0)) != "印度的银行 in Mexico"


def test_articles_and_case_follow_the_new_term() -> None:
    terms = Finder(["apple", "user"])
    assert replaced("an apple, An Apple", terms, lambda _: "pear") == "a pear, A Pear"
    assert replaced("a user", terms, lambda _: "hour") == "an hour"
    assert replaced("AN APPLE", terms, lambda _: "European") == "A EUROPEAN"
    assert replaced("plan a apple", terms, lambda _: "iPhone") == "plan an iPhone"
    assert replaced("Apple", terms, lambda _: "iPhone") == "iPhone"
    assert replaced("a user", terms, lambda _: "用户") == "a 用户"


def test_a_term_is_a_whole_word_in_letters_and_anywhere_in_chinese() -> None:
    def found(terms: list[str], text: str) -> list[str]:
        return [text[place.start : place.end] for place in Finder(terms).places(text)]

    text = "party Art,art C++ 艺术art馆"
    assert found(["art", "C++"], text) == ["Art", "art", "C++", "art"]
    assert found(["卡", "信用卡"], "信用卡和卡片") == ["信用卡", "卡"]
    assert found(["T", "T恤", "T恤 XL"], "T恤, T, TT, T恤 XL") == ["T恤", "T", "T恤 XL"]
    assert found(["new  york"], "İ New\nYork") == ["New\nYork"]
    assert found(["", " "], "any thing") == []


def test_letters_that_only_pass_for_others_are_no_terms() -> None:
    # A case-blind pattern would take the long s for s, and a dotless i for i.
    assert swap("ſhe and hıs", GENDER, DRAWS) == "ſhe and hıs"


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_lists_are_sound(name: str) -> None:
    for group in shipped()[name]:
        assert len(set(map(str.lower, group))) == len(group)
        assert all(term == " ".join(term.split()) for term in group)
    times = Counter(term.lower() for group in shipped()[name] for term in group)
    assert max(times.values()) <= 3
    assert sum(any("\u4e00" <= one <= "\u9fff" for one in term) for term in times) >= 10
    assert sum(term.isascii() for term in times) >= 10


@settings(deadline=None)  # the first text waits for terms to be read
@given(st.sampled_from(sorted(shipped())), st.text(), st.integers(0, 99))
def test_any_text_can_be_swapped(name: str, text: str, seed: int) -> None:
    groups = shipped()[name]
    once = swap(text, groups, Random(seed))
    assert once == swap(text, groups, Random(seed))


@given(st.lists(st.sampled_from(["he", "she", "the", "man", "women", "card"]), min_size=1))
def test_two_swaps_of_pairs_give_the_text_back(words: list[str]) -> None:
    text = " ".join(words)
    once = swap(text, GENDER, DRAWS)
    assert (once == text) is {"the", "card"}.issuperset(words)
    assert swap(once, GENDER, DRAWS) == text


def test_a_project_s_list_goes_before_the_shipped_one() -> None:
    own = {"gender": (("Ana", "Ben"),), "plan": (("free", "gold"),)}
    assert lists(own)["gender"] == (("Ana", "Ben"),)
    assert lists(own)["age"] == shipped()["age"]
    check(["plan", "age"], lists(own), "")
    with pytest.raises(UnknownNameError, match=r"no list of terms 'gendre'.*mean 'gender'"):
        check(["gendre"], lists(own), "evaluate.counterfactual: ")
