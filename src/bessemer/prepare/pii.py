"""Personal data in texts, found by form and checksum: no model, no network.

What has a checksum (cards: ISO/IEC 7812-1; IBAN: ISO 13616-1; resident identity numbers of China:
GB 11643) is told only where it is right, and what has none only where its form, or a word before
it, leaves little doubt. Full-width digits and letters are read as their plain forms.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import NamedTuple

#: Characters before a number in which a word may say what it is.
NEAR = 24
#: Full-width forms (U+FF01 to U+FF5E) to ASCII, one character for one.
_PLAIN = {0xFF01 + n: 0x21 + n for n in range(94)} | {0x3000: 0x20, 0x2212: 0x2D}
#: Every kind holds one of these.
_ANYTHING = re.compile(r"[0-9@:]")


class Found(NamedTuple):
    """Personal data in a text: `text[start:end]` is of a kind, one of `KINDS` or a model's."""

    start: int
    end: int
    kind: str


def find(text: str) -> list[Found]:
    """Return what is found, in order; nothing overlaps, the surer kind has what two claim."""
    plain = text if text.isascii() else text.translate(_PLAIN)
    if not _ANYTHING.search(plain):
        return []
    found, taken = [], bytearray(len(plain))
    for kind, spans in KINDS.items():
        for start, end in spans(plain):
            if not any(taken[start:end]):
                taken[start:end] = b"\1" * (end - start)
                found.append(Found(start, end, kind))
    return sorted(found)


#: A stretch that is not taken, and what of it is more than punctuation.
_FREE = re.compile(rb"\0+")
_WORDS = re.compile(r"\w(?:.*\w)?", re.DOTALL)


def joined(text: str, surer: Iterable[Found], others: Iterable[Found]) -> list[Found]:
    """Return all finds in order; of the others, what the surer ones leave of them."""
    found, taken = list(surer), bytearray(len(text))
    for one in found:
        taken[one.start : one.end] = b"\1" * (one.end - one.start)
    for one in others:
        for free in _FREE.finditer(taken, one.start, one.end):
            if words := _WORDS.search(text, *free.span()):
                found.append(Found(*words.span(), one.kind))
    return sorted(found)


def mask(text: str, found: Iterable[Found]) -> str:
    """Return a text in which each find is its kind in brackets, as `[EMAIL]`."""
    parts, end = [], 0
    for one in found:
        parts += [text[end : one.start], f"[{one.kind.upper()}]"]
        end = one.end
    return "".join([*parts, text[end:]])


def moved(place: int, found: Iterable[Found], *, end: bool) -> int:
    """Return where a place in a text lies once the text is masked.

    Args:
        place: Between two characters, 0 before the first.
        found: As `mask` was told.
        end: Whether a place inside of what is masked moves to its end, else to its start.
    """
    shift = 0
    for one in found:
        width = len(one.kind) + 2
        if place <= one.start:
            break
        if place < one.end:
            return one.start + shift + (width if end else 0)
        shift += width - (one.end - one.start)
    return place + shift


def luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.!#$%&'*+/=?^`{|}~-]{0,63}@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?![\w@-])",
    re.ASCII,
)


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


#: Length of an IBAN by country (the registry that SWIFT keeps for ISO 13616).
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FO GL NL SD FK", "19": "MK SI",
        "20": "AT BA EE KZ LT LU XK MN", "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS",
        "23": "AE GI IL IQ OM SO TL", "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST", "26": "IS TR", "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HU LB NI PL SV", "29": "BR EG PS QA UA", "30": "JO KW MU YE",
        "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})\d{2}(?=[ -]?[A-Za-z0-9])")


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[1].upper())
        if length is None:
            continue
        # The words that follow may look like its last groups.
        whole = re.compile(rf"(?:[ -]?[A-Za-z0-9]){{{length - 4}}}(?![A-Za-z0-9])")
        if not (rest := whole.match(text, match.end())):
            continue
        written = re.sub(r"[ -]", "", match[0] + rest[0]).upper()
        turned = written[4:] + written[:4]
        if int("".join(str(int(char, 36)) for char in turned)) % 97 == 1:
            yield match.start(), rest.end()


_RESIDENT = re.compile(r"(?<![A-Za-z0-9])[1-9]\d{16}[\dXx](?![A-Za-z0-9])")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
#: First two digits: the provinces, Taiwan, Hong Kong, Macau, and foreigners' permits.
_PROVINCES = re.compile(r"1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]|91")


def _residents(text: str) -> Iterator[tuple[int, int]]:
    for match in _RESIDENT.finditer(text):
        number = match[0].upper()
        total = sum(int(d) * weight for d, weight in zip(number, _WEIGHTS, strict=False))
        if _PROVINCES.match(number) and number[17] == "10X98765432"[total % 11]:
            year, month, day = int(number[6:10]), int(number[10:12]), int(number[12:14])
            if 1850 <= year <= 2100 and _is_date(year, month, day):
                yield match.span()


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


#: As one number, or in the groups in which cards show it.
_CARD = re.compile(
    r"(?<![\w.])(?:\d{12,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?"
    r"|\d{4}([ -])\d{6}\2\d{4,5})(?![\dA-Za-z_])",
    re.ASCII,
)
#: Issuers' ranges (ISO/IEC 7812), and the lengths that they issue.
_ISSUERS: tuple[tuple[str, range | tuple[int, ...]], ...] = (
    (r"4", (13, 16, 19)),  # Visa
    (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
    (r"3[47]", (15,)),  # American Express
    (r"6011|64[4-9]|65", range(16, 20)),  # Discover
    (r"62", range(16, 20)),  # UnionPay, most banks of China
    (r"35", range(16, 20)),  # JCB
    (r"2131|1800", (15,)),  # JCB, older
    (r"30[0-5]|3095|36|3[89]", range(14, 20)),  # Diners Club
    (r"50|5[6-8]|6|0604", range(12, 20)),  # Maestro
)
_ISSUED = [(re.compile(prefix), frozenset(lengths)) for prefix, lengths in _ISSUERS]
#: A number of this length with a right check digit is a card where a word says so.
_SAID = re.compile(r"卡号|银行卡|储蓄卡|信用卡|账号|帐号|\bcard\b|\baccount\b", re.IGNORECASE)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"[ -]", "", match[0])
        if len(set(digits)) == 1 or not luhn(digits):
            continue
        known = any(len(digits) in most and head.match(digits) for head, most in _ISSUED)
        if known or (len(digits) in (16, 19) and _said(text, match.start(), _SAID)):
            yield match.span()


def _said(text: str, start: int, words: re.Pattern[str]) -> bool:
    """Return whether one of some words stands shortly before a place."""
    return words.search(text, max(0, start - NEAR), start) is not None


_IP4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", re.ASCII)
_IP6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])", re.ASCII)


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    for form in (_IP4, _IP6) if ":" in text else (_IP4,):
        for match in form.finditer(text):
            try:
                address = ipaddress.ip_address(match[0])
            except ValueError:
                continue
            # "::" and "1::2" stand in code and in times more often than in addresses.
            if address.version == 4 or len(match[0]) > 6:
                yield match.span()


#: With a country's code; North America's ten digits; China's mobile and fixed numbers.
_PHONES = re.compile(
    r"""(?<![\w.,/@#$€£¥+-])(?:
      (?:\+|00)[1-9]\d{0,2}[ .-]?(?:\(\d{1,5}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,4}
    | (?:1[ .-])?\(\d{3}\)[ .-]?\d{3}[ .-]?\d{4}
    | (?:1[ .-]?)?\d{3}([ .-])\d{3}\1\d{4}
    | (?:1[ .-]?)?[2-9]\d{2}[2-9]\d{6}
    | (?:86[ -]?)?1[3-9]\d([ -]?)\d{4}\2\d{4}
    | (?:\(0\d{2,3}\)|0\d{2,3}[ -])[2-9]\d{6,7}
    )(?:\s?(?:x|ext\.?|转)\s?\d{1,6})?(?![\w%]|[.,-]\d)""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)


#: Groups of a longer number stand before it.
_GOES_ON = re.compile(r"\d{3} ")


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for match in _PHONES.finditer(text):
        number, start = match[0], match.start()
        digits = sum(char.isdigit() for char in number)
        least = 8 if number[0] in "+(" else 11 if number.startswith("00") else 10
        part = (
            " " in number
            and number[0].isdigit()
            and _GOES_ON.fullmatch(text[max(0, start - 4) : start])
        )
        if least <= digits <= 21 and not part:
            yield match.span()


_PASSPORT = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Z]\d{8}|[A-Z]{2}\d{7}|\d{9}|[A-Z]\d{7})(?![A-Za-z0-9])"
)
_OF_PASSPORT = re.compile(r"护照|passport", re.IGNORECASE)


def _passports(text: str) -> Iterator[tuple[int, int]]:
    for match in _PASSPORT.finditer(text):
        if _said(text, match.start(), _OF_PASSPORT):
            yield match.span()


#: A province's sign, an office's letter, and five digits and letters, six of new-energy cars
#: (GA 36-2018).
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][·• -]?"
    r"(?:[A-HJ-NP-Z0-9]{5,6}|[A-HJ-NP-Z0-9]{4}[挂学警港澳使领])(?![A-Za-z0-9])"
)


def _plates(text: str) -> Iterator[tuple[int, int]]:
    for match in _PLATE.finditer(text):
        if any(char.isdigit() for char in match[0]):
            yield match.span()


#: How each kind is found, the surest first.
KINDS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "email": _emails,
    "iban": _ibans,
    "cn-id": _residents,
    "card": _cards,
    "ip": _addresses,
    "phone": _phones,
    "passport": _passports,
    "plate": _plates,
}
