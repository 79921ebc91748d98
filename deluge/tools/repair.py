"""The JSON in what a model wrote: whole, in a code fence, between sentences, or with small mistakes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from deluge import _json

_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n?(.*?)```", re.S)
_START = re.compile(r"[{\[]")
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.S)
_PLACES = 20  # braces in a text at which a value is looked for
_DECODER = json.JSONDecoder()


def json_values(text: str) -> Iterator[Any]:
    """The values that the text may mean, the likeliest first; none when there is nothing like JSON in it.

    Looked at in this order: the fenced blocks, each value among the words, the same without trailing commas, and what
    ``json-repair`` makes of it where that is installed (the extra ``repair``).
    """
    blocks = [match[1] for match in _FENCE.finditer(text)]
    for block in (*blocks, text):
        whole = _whole(block)
        if whole is not None:
            yield whole[0]
    for form in (text, without_trailing_commas(text)):
        yield from _among_words(form)
    for block in (*blocks, text):
        yield from _mended(block)


def without_trailing_commas(text: str) -> str:
    """The text without commas before a closing bracket; those inside strings stay."""
    return _STRING_OR_COMMA.sub(lambda match: match[0] if match[0] != "," else "", text)


def _whole(text: str) -> tuple[Any] | None:
    for form in (text, without_trailing_commas(text)):
        try:
            return (_json.loads(form),)
        except (ValueError, RecursionError):
            continue
    return None


def _among_words(text: str) -> Iterator[Any]:
    at = 0
    for _ in range(_PLACES):
        match = _START.search(text, at)
        if match is None:
            return
        try:
            value, at = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            at = match.end()
        else:
            yield value


def _mended(text: str) -> Iterator[Any]:
    match = _START.search(text)
    if match is None:
        return
    try:
        import json_repair  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return
    try:
        value = json_repair.loads(text[match.start():])
    except Exception:  # a text of whose nesting or kind it knew nothing
        return
    if isinstance(value, (dict, list)) and value:
        yield value
