"""The answers of people to a question of VQA: their form in the official evaluation, and their scores for training.

The official normalisation is, in its order: white space, punctuation, lower case, number words to digits, no articles,
apostrophes in contractions.
Two oddities of the official script belong to it: a mark between two letters becomes a space but vanishes if any
instance of it touches a space, or if the text has a comma between digits; and a period vanishes wherever no digit
follows it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_NUMBERS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}
_NUMBERS |= {"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"}
_ARTICLES = frozenset(("a", "an", "the"))
_PERIOD = re.compile(r"\.(?!\d)")
_COMMA_IN_NUMBER = re.compile(r"\d,\d")

# Each stands for its spellings that lack an apostrophe. Forms that are words without it ("well", "shell") are not here.
_CONTRACTIONS = """
    'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've
    must've mustn't needn't not've o'clock oughtn't shan't she'd've should've shouldn't shouldn't've
    somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've
    something'll that's there'd there'd've there're there's they'd they'd've they'll they're they've wasn't
    we'd've we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll
    who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd
    you'd've you'll you're you've
"""


def _spellings() -> dict[str, str]:
    found = {"somebody'd": "somebodyd"}  # the wrong way round in the official script too
    for form in _CONTRACTIONS.split():
        for place, character in enumerate(form):
            if character == "'":
                found[form[:place] + form[place + 1 :]] = form
    return found


_SPELLINGS = _spellings()


def clean_answer(answer: str) -> str:
    """An answer without line ends, tabs, and white space at its ends; all that is done where everybody agrees."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


def normalize_answer(answer: str) -> str:
    """An answer in the form in which the official evaluation compares it.

    >>> [normalize_answer(text) for text in ("Two dogs.", "dont know", "the T-shirt", "1,000", "yes/no", "2.5")]
    ['2 dogs', "don't know", 't shirt', '1000', 'yes no', '2.5']
    """
    plain = text = clean_answer(answer)
    for mark in _MARKS:
        loose = f"{mark} " in text or f" {mark}" in text or _COMMA_IN_NUMBER.search(text) is not None
        plain = plain.replace(mark, "" if loose else " ")
    words = (_NUMBERS.get(word, word) for word in _PERIOD.sub("", plain).lower().split())
    return " ".join(_SPELLINGS.get(word, word) for word in words if word not in _ARTICLES)


def soft_scores(answers: Iterable[str]) -> dict[str, float]:
    """Training labels of a question: min(how many gave the answer / 3, 1), for each normalised answer.

    >>> soft_scores(["Two", "2", "2.", "two dogs"])
    {'2': 1.0, '2 dogs': 0.3333333333333333}
    """
    counts = Counter(map(normalize_answer, answers))
    return {answer: min(count / 3, 1.0) for answer, count in counts.items()}
