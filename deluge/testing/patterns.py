"""Strings that match a regular expression: the shortest one, and longer ones where a length is asked for. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

# The parser of the standard library: its module was renamed in 3.11.
_parser: Any = sys.modules["re._parser" if "re._parser" in sys.modules else "sre_parse"]

_CLASSES = {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a", "CATEGORY_NOT_DIGIT": "a",
            "CATEGORY_NOT_SPACE": "a", "CATEGORY_NOT_WORD": "-"}
_PLAIN = "a0A -_.:/@x1Zé"


def matching(pattern: str, length: int = 0) -> Iterator[str]:
    """Strings that should match, the shortest first, then ones that reach the length. The caller checks them."""
    try:
        tree = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return
    for times in (0, 1, 2, max(3, length)):
        groups: dict[int, str] = {}
        text = _text(tree, times, groups)
        if text is not None:
            yield text
            yield from (text.ljust(length, filler) for filler in "a0 " if len(text) < length)


def _text(tree: Any, times: int, groups: dict[int, str]) -> str | None:
    parts = []
    for operator, argument in tree:
        part = _part(str(operator), argument, times, groups)
        if part is None:
            return None
        parts.append(part)
    return "".join(parts)


def _part(operator: str, argument: Any, times: int, groups: dict[int, str]) -> str | None:
    if operator == "LITERAL":
        return chr(argument)
    if operator in ("ANY", "NOT_LITERAL"):
        return next(letter for letter in _PLAIN if operator == "ANY" or ord(letter) != argument)
    if operator == "IN":
        return _member(argument)
    if operator in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        low, high, inner = argument
        one = _text(inner, times, groups)
        return None if one is None else one * max(int(low), min(int(high), times))
    if operator == "BRANCH":
        texts = (_text(branch, times, groups) for branch in argument[1])
        return next((text for text in texts if text is not None), None)
    if operator in ("SUBPATTERN", "ATOMIC_GROUP"):
        text = _text(argument[-1] if operator == "SUBPATTERN" else argument, times, groups)
        if operator == "SUBPATTERN" and argument[0] is not None:
            groups[argument[0]] = text or ""
        return text
    return groups.get(argument, "") if operator == "GROUPREF" else ""


def _member(members: Any) -> str | None:
    """A character of a set such as ``[a-z_]`` or ``[^0-9]``."""
    if str(members[0][0]) == "NEGATE":
        return next((letter for letter in _PLAIN if not _within(letter, members[1:])), None)
    operator, argument = str(members[0][0]), members[0][1]
    if operator == "LITERAL":
        return chr(argument)
    return chr(argument[0]) if operator == "RANGE" else _CLASSES.get(str(argument))


def _within(letter: str, members: Any) -> bool:
    for name, argument in members:
        operator = str(name)
        if operator == "LITERAL" and ord(letter) == argument:
            return True
        if operator == "RANGE" and argument[0] <= ord(letter) <= argument[1]:
            return True
        if operator == "CATEGORY" and re.match("\\" + _ESCAPES[str(argument)], letter):
            return True
    return False


_ESCAPES = {"CATEGORY_DIGIT": "d", "CATEGORY_SPACE": "s", "CATEGORY_WORD": "w", "CATEGORY_NOT_DIGIT": "D",
            "CATEGORY_NOT_SPACE": "S", "CATEGORY_NOT_WORD": "W"}
