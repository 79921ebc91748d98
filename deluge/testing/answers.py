"""What the rehearsal models say: each answer is a function of the prompt and of nothing else.

By itself a prompt is answered with its own last user text. What else it may bring about:

| in the prompt, or in the request | the answer |
|---|---|
| ``What is 17 * 23?``, ``calculate 2^10`` | ``391``, ``1024`` |
| ``Write 200 words …`` | that many words |
| ``[[say TEXT]]`` | ``TEXT`` |
| ``[[refuse]]`` | a refusal |
| ``[[filter]]`` | nothing, finish reason ``content_filter`` |
| ``[[latency 1.5]]`` | the same as without, after that many seconds |
| ``[[fault 503]]``, ``[[fault reset x2]]`` | that fault, each time or the first two (see ``deluge.testing.faults``) |
| a JSON schema | a small valid instance, filled with the prompt's sum, numbers, quoted strings and names |
| ``[[wrong]]``, ``[[wrong x2]]`` | an answer that does not fit the schema, each time or the first two |
| a system message with ``JSON schema:`` and one | as for a JSON schema |
| JSON mode | an object with the keys that the prompt sketches (``{"score": int}``), else ``{"answer": …}`` |
| tools, and a text that names one | a call of it, arguments as for a schema; several names are called in parallel |
| ``[[call NAME {"a": 1}]]`` | that call, with these arguments |
| ``[[rounds 3]]`` | calls in three rounds before the answer |
| ``[[pause]]`` (Messages API only) | a search of the provider's own and ``pause_turn``; sent again, the answer |
| ``tool_choice`` ``required``, or a name | a call, whatever the text says |
| the results of calls | a text that quotes them |
| a reasoning effort | reasoning before the answer, the longer the higher the effort |
| a maximum of tokens | the answer cut there, finish reason ``length``; reasoning counts |
| stop sequences | the answer cut before the first of them |

A token is four characters. The input is its texts, 3 tokens a message and 3 more; pictures and files are 85 each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deluge.testing.arithmetic import worked_out
from deluge.testing.schemas import Hints, instance
from deluge.usage import Usage

Finish = Literal["stop", "length", "tool_calls", "content_filter"]

TOKEN = 4  # characters
MEDIUM = 85  # tokens of a picture or file
REFUSAL = "I'm sorry, but I can't help with that."
EFFORTS = {"none": 0, "minimal": 8, "low": 16, "medium": 32, "high": 64, "xhigh": 96, "max": 128}  # tokens of reasoning
_VOCABULARY = ("rain", "falls", "on", "quiet", "hills", "and", "rivers", "carry", "it", "down", "to", "the", "wide",
               "grey", "sea", "where", "small", "boats", "wait", "for", "wind")
_WORDS = re.compile(
    r"\b(?:write|say|give me|generate|produce|in|exactly)\s+(?:exactly\s+|about\s+)?(\d{1,7})\s+words\b", re.IGNORECASE,
)
_SAY = re.compile(r"\[\[say (.*?)\]\]", re.DOTALL)
_CALL = re.compile(r"\[\[call ([\w.-]+)\s*(\{.*?\})?\s*\]\]", re.DOTALL)
_ROUNDS = re.compile(r"\[\[rounds (\d+)\]\]")
_SKETCH = re.compile(r"\"(\w+)\"\s*:\s*(\"[^\"]*\"|\w+)?")
_WRONG = re.compile(r"\[\[wrong(?: x(\d+))?\]\]")
_TOLD_SCHEMA = re.compile(r"JSON schema:\s*(?=\{)")
_MISFIT = '{"not_asked_for": true}'
_KEYS = re.compile(r"\"(\w+)\"()")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool; the arguments are JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. ``call_id`` is the call that a tool's turn answers; ``media`` counts pictures and files."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    media: int = 0

    @property
    def tokens(self) -> int:
        """What this message costs."""
        called = sum(tokens(call.name) + tokens(call.arguments) for call in self.calls)
        return tokens(self.text) + called + self.media * MEDIUM + 3


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that may be called."""

    name: str
    schema: Mapping[str, Any]
    size: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request in no protocol's words. ``choice``: ``auto``, ``none``, ``required``, or ``=NAME``."""

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    parallel: bool = True
    schema: Mapping[str, Any] | None = None
    json_mode: bool = False
    max_tokens: int | None = None
    effort: str = ""
    stop: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The last thing that the user said."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def prompt(self) -> str:
        """The request's name in logs: the user's last text, and which turn it is when it is not the first."""
        spoken = sum(turn.role != "system" for turn in self.turns)
        return self.text if spoken <= 1 else f"{self.text} (turn {spoken})"

    @property
    def input_tokens(self) -> int:
        """What reading it costs."""
        schema = len(str(self.schema)) if self.schema else 0
        return sum(turn.tokens for turn in self.turns) + (sum(tool.size for tool in self.tools) + schema) // TOKEN + 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says, before a protocol words it."""

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    finish: Finish = "stop"
    usage: Usage = Usage()


def tokens(text: str) -> int:
    """How many tokens a text has."""
    return (len(text) + TOKEN - 1) // TOKEN


def pieces(text: str, size: int = TOKEN) -> list[str]:
    """The text in pieces: its tokens, or larger ones."""
    return [text[at:at + size] for at in range(0, len(text), size)]


def prefixes(ask: Ask) -> Iterator[tuple[int, str]]:
    """(tokens so far, text of this part) for each prefix that a prompt cache may know."""
    total = sum(tool.size for tool in ask.tools) // TOKEN
    yield total, str([tool.name for tool in ask.tools])
    for turn in ask.turns:
        total += turn.tokens
        yield total, f"{turn.role}:{turn.text}{turn.calls}"


def answered(ask: Ask, cached: int = 0) -> Answer:
    """The answer; ``cached`` tokens of the input were read before. ``SchemaError`` when a schema has no instance."""
    read = ask.input_tokens
    cached = min(cached, read)
    thinking = _thought(ask)
    room = None if ask.max_tokens is None else ask.max_tokens - tokens(thinking)
    if room is not None and room < 0:
        thinking = thinking[:(ask.max_tokens or 0) * TOKEN]
    calls, text, refusal, finish = _said(ask, 1 << 24 if room is None else max(0, room))
    spent = tokens(text) + tokens(refusal) + sum(tokens(call.name) + tokens(call.arguments) for call in calls)
    usage = Usage(read - cached, spent + tokens(thinking), cached, reasoning_tokens=tokens(thinking))
    return Answer(text, thinking, refusal, calls, finish, usage)


def _said(ask: Ask, room: int) -> tuple[tuple[Call, ...], str, str, Finish]:
    """Calls, text, refusal and how it ends, within so many tokens."""
    asked = ask.text
    if "[[refuse]]" in asked:
        return (), "", REFUSAL[:room * TOKEN], "stop" if tokens(REFUSAL) <= room else "length"
    if "[[filter]]" in asked:
        return (), "", "", "content_filter"
    calls = _calls(ask)
    if calls:
        if sum(tokens(call.name) + tokens(call.arguments) for call in calls) > room:
            return (), "", "", "length"
        return calls, "", "", "tool_calls"
    text = _text(ask, room)
    text = text[:min((text.find(word) for word in ask.stop if word and word in text), default=len(text))]
    if tokens(text) > room:
        return (), text[:room * TOKEN], "", "length"
    return (), text, "", "stop"


def _thought(ask: Ask) -> str:
    amount = EFFORTS.get(ask.effort, 0) * TOKEN
    if not amount:
        return ""
    text = f"The user says: {ask.text[:60]} Let me think about that. "
    return (text * (amount // len(text) + 1))[:amount]


def _text(ask: Ask, room: int) -> str:
    results = _results(ask)
    plain = "The tool says: " + "; ".join(results) if results else _plain(ask.text, room)
    schema = ask.schema if ask.schema is not None else _told_schema(ask)
    if schema is not None:
        return _MISFIT if _is_wrong(ask) else json.dumps(instance(schema, _hints(ask.text, plain)), separators=(",", ":"))
    if ask.json_mode:
        return json.dumps(_object(ask, plain))
    return plain


def _told_schema(ask: Ask) -> Any:
    """The schema that stands in a system message; None where none does."""
    for turn in ask.turns:
        found = _TOLD_SCHEMA.search(turn.text) if turn.role == "system" else None
        if found:
            try:
                return json.JSONDecoder().raw_decode(turn.text, found.end())[0]
            except ValueError:
                continue
    return None


def _is_wrong(ask: Ask) -> bool:
    """Whether this is one of the answers that are to miss the schema."""
    answers, times = 0, 0.0
    for turn in ask.turns:
        found = _WRONG.search(turn.text) if turn.role == "user" else None
        if found:
            answers, times = 0, float(found.group(1) or "inf")
        answers += turn.role == "assistant"
    return answers < times


def _plain(asked: str, room: int) -> str:
    said = _SAY.search(asked) if "[[say " in asked else None
    if said:
        return said.group(1)
    words = _WORDS.search(asked) if "words" in asked else None
    if words:
        count = min(int(words.group(1)), room * TOKEN + 1)  # no word is shorter than a character
        return " ".join(_VOCABULARY[at % len(_VOCABULARY)] for at in range(count))
    value = worked_out(asked)
    return asked if value is None else str(value)


def _hints(asked: str, plain: str) -> Hints:
    hints = Hints.of(asked)
    value = worked_out(asked)
    if value is not None:
        hints.numbers.clear()
        hints.numbers.append(value)
    hints.text = plain
    return hints


def _object(ask: Ask, plain: str) -> dict[str, Any]:
    """An object with the keys that the prompt or the system message sketches between braces."""
    for turn in reversed(ask.turns):
        start = turn.text.find("{") if turn.role in ("user", "system") else -1
        sketch = turn.text[start:turn.text.rfind("}") + 1] if start >= 0 else ""
        keys = _SKETCH.findall(sketch) or _KEYS.findall(sketch)
        if keys:
            return {name: _sketched(kind, plain) for name, kind in keys}
    return {"answer": plain}


def _sketched(kind: str, plain: str) -> Any:
    if kind.startswith('"'):
        return kind.strip('"')
    if kind in ("int", "integer", "number", "float"):
        return 0
    return True if kind in ("bool", "boolean", "true", "false") else plain


# -- tools ----------------------------------------------------------------------------------------------------------

def _results(ask: Ask) -> list[str]:
    """The results that the conversation ends with."""
    found: list[str] = []
    for turn in reversed(ask.turns):
        if turn.role != "tool":
            break
        found.append(turn.text)
    return found[::-1]


def _calls(ask: Ask) -> tuple[Call, ...]:
    if not ask.tools or ask.choice == "none":
        return ()
    text, round_ = ask.text, _round(ask)
    wanted = _wanted(ask, text, round_)
    if not ask.parallel:
        wanted = wanted[:1]
    return tuple(
        Call(f"call_{round_}_{at}", tool.name, arguments if arguments is not None else _arguments(tool, text))
        for at, (tool, arguments) in enumerate(wanted)
    )


def _round(ask: Ask) -> int:
    """How often tools were called since the user spoke last."""
    count = 0
    for turn in reversed(ask.turns):
        if turn.role == "user":
            break
        count += bool(turn.calls)
    return count


def _wanted(ask: Ask, text: str, round_: int) -> list[tuple[Tool, str | None]]:
    """The tools to call now, with their arguments where the prompt spells them out."""
    by_name = {tool.name: tool for tool in ask.tools}
    if ask.choice.startswith("="):
        return [(by_name[ask.choice[1:]], _MISFIT if _is_wrong(ask) else None)] if ask.choice[1:] in by_name else []
    rounds = _ROUNDS.search(text)
    if ask.choice == "required" and round_ >= (int(rounds.group(1)) if rounds else 1):
        return [(ask.tools[-1], None)]
    if ask.choice == "auto" and round_ >= (int(rounds.group(1)) if rounds else 1):
        return []
    spelled = [(by_name[name], arguments or None) for name, arguments in _CALL.findall(text) if name in by_name]
    if spelled:
        return spelled
    named: list[tuple[Tool, str | None]] = [(tool, None) for tool in ask.tools if _names(text, tool.name)]
    if named or (ask.choice == "auto" and not rounds
                 and not re.search(r"\b(use|call) (a|the|your) tools?\b", text, re.I)):
        return named
    return [(ask.tools[0], None)]


def _names(text: str, name: str) -> bool:
    """Whether the text names the tool: ``get_weather``, ``get weather`` and ``get-weather`` are the same."""
    words = r"[\s_-]".join(map(re.escape, re.split(r"[\s_-]", name)))
    return re.search(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE) is not None


def _arguments(tool: Tool, text: str) -> str:
    value = instance({"type": "object", **tool.schema}, Hints.of(text))
    return json.dumps(value, separators=(",", ":"))
