"""A text turned into its opposite: a negation put in or taken out, English and Chinese."""

from __future__ import annotations

import re
from random import Random

from bessemer.tasks.token_classification import IDEOGRAPHS

_AUXILIARIES = (
    "is|are|was|were|can|could|will|would|should|must|may|might|do|does|did|has|have|had|am"
)
_PERSONS = "i|you|he|she|we|they"
_SUBJECTS = f"{_PERSONS}|it|there|this|that|the|my|your|his|her|our|their"
#: What is taken out, and what stays of it.
_SHORT = re.compile(
    rf"\b({_AUXILIARIES}|ca|wo|sha|need)n['’]t\b|\b(can)not\b|(?<=\S)\s+(?:not|never)\b(?!\s+only)",
    re.IGNORECASE,
)
_WHOLE = {"ca": "can", "wo": "will", "sha": "shall"}
#: "do" and "have" are often verbs of their own: then they are left alone.
_QUESTION = re.compile(
    rf"\b(?:(?:is|are|was|were|can|could|will|would|should)(?=\s+(?:{_SUBJECTS})\b)"
    rf"|(?:do|does|did|has|have|had)(?=\s+(?:{_PERSONS})\b))",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    r"\b(?:(?:is|are|was|were|can|could|will|would|should|must|may|might|am|i['’]m|it['’]s|you['’]re"
    r"|we['’]re|they['’]re)\b|(?:has|have|had|['’]ve)(?=\s+(?:been|[a-z]+ed)\b))",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"\b(i|we|you|they)(?=\s+(?:want|need|like|love|know|think|see|use|get|understand|believe|wish"
    r"|plan|remember|trust|work|live|agree|expect|recommend|hope|prefer|own"
    r"|have(?!\s+(?:been|[a-z]+ed)\b))\b)"
    r"|\bplease(?=\s+[a-z])",
    re.IGNORECASE,
)

#: Words with a negation in them that deny nothing.
_NO_NEGATION = (
    "不但|不仅|不过|不如|不管|不论|不断|不久|不然|不客气|不好意思|不得不|不一会|要不|对不起|差不多"
    "|了不起|来不及|挥之不去|没关系|淹没|沉没|没收(?!到)"
)
#: What one has or has not; before them 没 is short for 没有.
_HAD = "啥什货钱人电网信空用"
_CHINESE = re.compile(rf"({_NO_NEGATION})|([{IDEOGRAPHS}])[不没]\2|(不错)|(没)(?=[{_HAD}])|[不没]")
#: Before these a 不 may stand, longest first; before 有 a 没. Not inside other words.
_NOT_ALONE = (
    "但是|可是|还是|总是|于是|凡是|都是|会议|社会|机会|一会|会员|会计|重要|主要|只要|要求|要是"
    "|想法|能力|功能|可能性|性能|智能|所有|有点|有些|有时|好像|你好|您好|喜好|最好|只好"
)
_DENIABLE = re.compile(
    rf"({_NOT_ALONE})|应该|可以|需要|喜欢|知道|愿意|满意|可能|觉得|建议|推荐|值得|方便|清楚|[是能会要想有好]"
)


def negation(text: str, random: Random) -> str:
    """Return a text that says the opposite, as far as rules can tell.

    A negation that is found is taken out. Else one is put behind an auxiliary, before a verb that
    can be denied, or before the text as a whole. Nothing is drawn: a text has one such form.
    """
    if re.search(f"[{IDEOGRAPHS}]", text):
        return _chinese(text)
    return _english(text)


def _english(text: str) -> str:
    if denied := _SHORT.search(text):
        stem = denied[1] or denied[2] or ""
        whole = _WHOLE.get(stem.lower())
        kept = stem if whole is None else whole.upper() if stem.isupper() else whole
        kept = kept[:1].upper() + kept[1:] if stem[:1].isupper() else kept
        return text[: denied.start()] + kept + text[denied.end() :]
    places = ((_QUESTION, "n't"), (_STATEMENT, " not"), (_VERB, " do not"))
    found = [(match, put) for one, put in places if (match := one.search(text))]
    if found:
        match, put = min(found, key=lambda pair: pair[0].start())
        head, said = text[: match.end()], put.upper() if text.isupper() else put
        if put == "n't":
            # "can" and "will" change when they are shortened.
            head = re.sub(r"(?<=\bca)n$", "", head, flags=re.IGNORECASE)
            head = re.sub(r"(?<=\bw)ill$", "O" if text.isupper() else "o", head, flags=re.I)
        return head + said + text[match.end() :]
    start = len(text) - len(text.lstrip())
    rest = text[start:]
    plain = rest if rest[:2].isupper() or re.match(r"I\b", rest) else rest[:1].lower() + rest[1:]
    prefix = "IT IS NOT TRUE THAT " if text.isupper() else "It is not true that "
    return text[:start] + prefix + plain


def _chinese(text: str) -> str:
    for match in _CHINESE.finditer(text):
        if match[1]:
            continue
        # 能不能 asks; without the first 能 it denies. 错 and 钱 alone are not the opposite of 不错
        # and 没钱. Elsewhere the negation goes.
        kept = match[0][1:] if match[2] else "不好" if match[3] else "有" if match[4] else ""
        return text[: match.start()] + kept + text[match.end() :]
    for match in _DENIABLE.finditer(text):
        if not match[1]:
            denial = "没" if match[0] == "有" else "不"
            return text[: match.start()] + denial + text[match.start() :]
    return f"并非{text}"
