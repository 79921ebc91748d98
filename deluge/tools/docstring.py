"""What a docstring says of a function and of its arguments, in the three common styles: Google, NumPy, reST."""

from __future__ import annotations

import inspect
import re

_ARGUMENTS = frozenset({"args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters"})
_REST = frozenset({"returns", "return", "raises", "yields", "yield", "attributes", "see also", "warns"})
_FIELD = re.compile(r":(?P<word>\w+)(?:\s+(?P<middle>[^:]*?))?:(?:\s+(?P<text>.*))?$")
_GOOGLE = re.compile(r"\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)$")
_NUMPY = re.compile(r"(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_UNDERLINE = re.compile(r"\s*[-=]{3,}\s*$")


def read_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """The description (all up to the arguments, results and errors), and the text of each argument."""
    lines = inspect.cleandoc(text or "").splitlines()
    said: list[str] = []
    arguments: dict[str, list[str]] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        numpy = at + 1 < len(lines) and _UNDERLINE.match(lines[at + 1]) is not None
        title = line.strip().removesuffix(":").lower()
        headed = not line[:1].isspace() and (numpy or line.rstrip().endswith(":")) and title in _ARGUMENTS | _REST
        field = _FIELD.match(line)
        if headed:
            end = _end(lines, at + 2 if numpy else at + 1, numpy)
            if title in _ARGUMENTS:
                body = lines[at + 2 if numpy else at + 1:end]
                arguments.update(_numpy(body) if numpy else _google(body))
            at = end
        elif field:
            end = _end(lines, at + 1, False)
            if field["word"] in ("param", "parameter", "arg", "argument", "key", "keyword") and field["middle"]:
                arguments[field["middle"].split()[-1].lstrip("*")] = [field["text"] or "", *lines[at + 1:end]]
            at = end
        else:
            said.append(line)
            at += 1
    return _joined(said), {name: " ".join(" ".join(words).split()) for name, words in arguments.items()}


def _end(lines: list[str], start: int, numpy: bool) -> int:
    """Where what begins at ``start`` ends: at the next line that is not indented; in NumPy's style at the next title."""
    for at in range(start, len(lines)):
        if numpy:
            if at + 1 < len(lines) and _UNDERLINE.match(lines[at + 1]):
                return at
        elif lines[at].strip() and not lines[at][0].isspace():
            return at
    return len(lines)


def _google(body: list[str]) -> dict[str, list[str]]:
    arguments: dict[str, list[str]] = {}
    indent = next((len(line) - len(line.lstrip()) for line in body if line.strip()), 0)
    words: list[str] = []
    for line in body:
        match = _GOOGLE.match(line.strip())
        if match and len(line) - len(line.lstrip()) <= indent:
            words = arguments[match["name"]] = [match["text"]]
        else:
            words.append(line)
    return arguments


def _numpy(body: list[str]) -> dict[str, list[str]]:
    arguments: dict[str, list[str]] = {}
    words: list[str] = []
    for line in body:
        match = _NUMPY.match(line)
        if match:
            words = []
            for name in match["names"].split(","):
                arguments[name.strip().lstrip("*")] = words
        else:
            words.append(line)
    return arguments


def _joined(lines: list[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
