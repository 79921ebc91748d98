"""A Converse request, checked as Bedrock checks it and told in no protocol's words. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from deluge import _json
from deluge.testing.answers import Ask, Call, Tool, Turn
from deluge.testing.messages_request import Problem, signature

_FIELDS = frozenset({
    "messages", "system", "inferenceConfig", "toolConfig", "guardrailConfig", "additionalModelRequestFields",
    "promptVariables", "additionalModelResponseFieldPaths", "requestMetadata", "performanceConfig", "serviceTier",
    "outputConfig",
})
_BLOCKS = frozenset({
    "text", "image", "document", "video", "audio", "toolUse", "toolResult", "guardContent", "cachePoint",
    "reasoningContent", "citationsContent", "searchResult", "toolAddition", "toolRemoval",
})
_FORMATS = {
    "image": ("png", "jpeg", "gif", "webp"),
    "document": ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"),
    "video": ("mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp"),
    "audio": ("mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga", "pcm",
              "webm"),
}
_TIERS = ("priority", "default", "flex", "reserved")
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_BUDGETS = ((2_048, "low"), (8_192, "medium"), (16_384, "high"))
_NAME, _CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}"), re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_TITLE = re.compile(r"(?!.*\s\s)[a-zA-Z0-9\s()\[\]-]{1,200}", re.DOTALL)
_AGAIN = "Try again with another value."

Block = Mapping[str, Any]


def asked(model: str, body: Mapping[str, Any], knows: Callable[[object], bool]) -> Ask:
    """The request; ``Problem`` when it would be refused."""
    if not knows(model):
        raise Problem("The provided model identifier is invalid.")
    for name in body:
        if name not in _FIELDS:
            raise Problem(f"The field {name} is not a field of this request.")
    tools, choice = _tools(body)
    turns = _turns(body, bool(tools) or bool(body.get("toolConfig")))
    config = body.get("inferenceConfig") or {}
    limit, effort = _config(config), _effort(body, config)
    if marks(body) > 4:
        raise Problem(f"A request has 4 cache points at most. Found {marks(body)}.")
    tier = body.get("serviceTier")
    if tier is not None and tier.get("type") not in _TIERS:
        raise Problem(f"Value '{tier.get('type')}' at 'serviceTier.type' failed to satisfy constraint: {_TIERS}")
    stops = tuple(config.get("stopSequences") or ())
    return Ask(model, turns, tools, choice, True, _schema(body), False, limit, effort, stops)


def marks(value: Any) -> int:
    """How many cache points there are."""
    if isinstance(value, Mapping):
        return ("cachePoint" in value) + sum(
            marks(item) for name, item in value.items() if name in ("system", "messages", "toolConfig", "tools", "content")
        )
    return sum(map(marks, value)) if isinstance(value, list) else 0


def _config(config: Mapping[str, Any]) -> int | None:
    limit = config.get("maxTokens")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise Problem(f"The value at inferenceConfig.maxTokens is invalid. {_AGAIN}")
    for name in ("temperature", "topP"):
        value = config.get(name)
        if value is not None and (not isinstance(value, (int, float)) or not 0 <= value <= 1):
            raise Problem(f"Value '{value}' at 'inferenceConfig.{name}' failed to satisfy constraint: Member must have "
                          "value less than or equal to 1")
    if any(not isinstance(stop, str) or not stop.strip() for stop in config.get("stopSequences") or ()):
        raise Problem(f"The values in inferenceConfig.stopSequences are blank. {_AGAIN}")
    return limit


# -- messages -------------------------------------------------------------------------------------------------------

def _turns(body: Mapping[str, Any], tools: bool) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    system = [block for block in body.get("system") or () if "cachePoint" not in block]
    if system:
        turns.append(Turn("system", "\n".join(_text(block, "system") for block in system if "text" in block)))
    rows = body.get("messages")
    if not isinstance(rows, list) or not rows:
        raise Problem("The messages field must hold at least one message.")
    if rows[0].get("role") != "user":
        raise Problem("A conversation must start with a user message. Try again with a conversation that starts with a "
                      "user message.")
    waiting: list[str] = []
    before = ""
    for at, row in enumerate(rows):
        role, blocks = row.get("role"), row.get("content")
        where = f"messages.{at}.content"
        if role not in ("user", "assistant", "system") or role == before:
            raise Problem("A conversation must alternate between user and assistant roles. Make sure the conversation "
                          "alternates between user and assistant roles and try again.")
        if not isinstance(blocks, list) or not blocks:
            raise Problem(f"The content field at {where} is empty. Add a ContentBlock object and try again.")
        before, waiting = role, _message(turns, role, blocks, where, waiting)
        if not tools and any("toolUse" in block or "toolResult" in block for block in blocks):
            raise Problem("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    if waiting:
        raise Problem(f"Expected toolResult blocks after messages.{len(rows) - 1} for the following Ids: {waiting}")
    return tuple(turns)


def _message(
    turns: list[Turn], role: Literal["system", "user", "assistant"], blocks: list[Block], where: str, waiting: list[str]
) -> list[str]:
    """Adds the turns of one message; the ids of the calls that the next one has to answer."""
    answers = [block["toolResult"] for block in blocks if "toolResult" in block and "type" not in block["toolResult"]]
    given = [str(answer.get("toolUseId")) for answer in answers]
    if sorted(given) != sorted(waiting) and role != "system":
        raise Problem(f"Expected toolResult blocks at {where} for the following Ids: {', '.join(waiting) or 'none'}")
    turns += [_answer(answer, where) for answer in answers]
    rest = [block for block in blocks if "toolResult" not in block and "cachePoint" not in block]
    turn = _turn(role, rest, where)
    if any("document" in block for block in rest) and not turn.text:
        raise Problem(f"A text block is required beside the document at {where}.")
    if rest:
        turns.append(turn)
    return [call.id for call in turn.calls] + (waiting if role == "system" else [])


def _turn(role: Literal["system", "user", "assistant"], blocks: list[Block], where: str) -> Turn:
    texts, calls, media, names = [], [], 0, []
    for at, block in enumerate(blocks):
        place = f"{where}.{at}"
        kind = _kind(block, place)
        if kind == "text":
            texts.append(_text(block, place))
        elif kind in _FORMATS:
            media += 1
            names.append(_medium(kind, block[kind], place))
        elif kind == "toolUse" and "type" not in block[kind]:
            calls.append(_call(block[kind], place))
        elif kind == "reasoningContent":
            _thought(block[kind], place)
    titles = [name for name in names if name]
    if len(set(titles)) < len(titles):
        raise Problem("Messages contain duplicate document names.")
    return Turn(role, "\n".join(texts), tuple(calls), media=media)


def _kind(block: Any, where: str) -> str:
    kinds = [name for name in block if name in _BLOCKS] if isinstance(block, Mapping) else []
    if len(kinds) != 1 or len(block) != 1:
        raise Problem(f"The format of the ContentBlock object at {where} is invalid. Give exactly one of its members.")
    return str(kinds[0])


def _text(block: Block, where: str) -> str:
    text = block.get("text")
    if not isinstance(text, str) or not text.strip():
        raise Problem(f"The text field in the ContentBlock object at {where} is blank. Add text to the text field, and "
                      "try again.")
    return text


def _medium(kind: str, medium: Block, where: str) -> str:
    """Checks a picture or file; a document's name."""
    source = medium.get("source")
    if medium.get("format") not in _FORMATS[kind] or not isinstance(source, Mapping) or len(source) != 1:
        raise Problem(f"The {kind} at {where} needs one source and a format among {', '.join(_FORMATS[kind])}.")
    if kind == "document" and not _TITLE.fullmatch(str(medium.get("name") or "")):
        raise Problem(f"The name at {where}.document is not valid: letters, digits, single blanks, hyphens, brackets.")
    return str(medium.get("name") or "")


def _call(call: Block, where: str) -> Call:
    id, name, arguments = str(call.get("toolUseId")), str(call.get("name")), call.get("input")
    if not _CALL_ID.fullmatch(id) or not _NAME.fullmatch(name) or not isinstance(arguments, Mapping):
        raise Problem(f"The toolUse at {where} needs a toolUseId, a name, and an input that is a json object.")
    return Call(id, name, json.dumps(arguments))


def _answer(answer: Block, where: str) -> Turn:
    texts, media = [], 0
    for block in answer.get("content") or ():
        if "text" in block or "json" in block:
            texts.append(block["text"] if "text" in block else json.dumps(block["json"]))
        else:
            _medium(kind := _kind(block, where), block[kind], where)
            media += 1
    if answer.get("status") not in (None, "success", "error"):
        raise Problem(f"The status of the toolResult at {where} is success or error.")
    return Turn("tool", "\n".join(texts), call_id=str(answer["toolUseId"]), media=media)


def _thought(thought: Block, where: str) -> None:
    """Thoughts come back with their seal, or not at all."""
    words = thought.get("reasoningText")
    if "redactedContent" in thought:
        return
    if not isinstance(words, Mapping) or words.get("signature") != signature(str(words.get("text"))):
        raise Problem(f"Invalid `signature` in the reasoningContent at {where}.")


# -- tools, thinking, formats ---------------------------------------------------------------------------------------

def _tools(body: Mapping[str, Any]) -> tuple[tuple[Tool, ...], str]:
    config = body.get("toolConfig")
    if config is None:
        return (), "auto"
    rows = config.get("tools")
    if not isinstance(rows, list) or not rows:
        raise Problem("The toolConfig.tools field must hold at least one tool.")
    found = []
    for at, row in enumerate(rows):
        spec = row.get("toolSpec")
        if spec is None and ("systemTool" in row or "cachePoint" in row):
            continue
        schema = (spec or {}).get("inputSchema", {}).get("json")
        if not isinstance(schema, Mapping) or schema.get("type") != "object":
            raise Problem(f"The value at toolConfig.tools.{at}.toolSpec.inputSchema.json.type must be one of the "
                          "following: object.")
        if not _NAME.fullmatch(str(spec.get("name"))) or spec.get("description") == "":
            raise Problem(f"The name or description at toolConfig.tools.{at}.toolSpec is invalid.")
        found.append(Tool(spec["name"], schema, len(str(row))))
    return tuple(found), _choice(config.get("toolChoice"), {tool.name for tool in found})


def _choice(choice: Any, names: set[str]) -> str:
    if choice is None or "auto" in choice:
        return "auto"
    if "any" in choice:
        return "required"
    name = (choice.get("tool") or {}).get("name")
    if name not in names:
        raise Problem(f"The tool {name!r} at toolConfig.toolChoice is not among the tools.")
    return f"={name}"


def _effort(body: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """How much is thought, as an effort; empty for not at all."""
    effort = (body.get("outputConfig") or {}).get("effort")
    if effort not in (None, *_EFFORTS):
        raise Problem(f"The value at outputConfig.effort is among {', '.join(_EFFORTS)}.")
    thinking = (body.get("additionalModelRequestFields") or {}).get("thinking") or {}
    kind = thinking.get("type")
    if kind not in (None, "adaptive", "enabled", "disabled", "between_tools"):
        raise Problem("thinking: Input tag does not match any of the expected tags")
    if kind in ("adaptive", "enabled") and config.get("temperature", 1) != 1:
        raise Problem("`temperature` may only be set to 1 when thinking is enabled.")
    if kind != "enabled":
        return effort or "high" if kind == "adaptive" else ""
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or not 1_024 <= budget < config.get("maxTokens", 4_096):
        raise Problem("`max_tokens` must be greater than `thinking.budget_tokens`, and that 1024 at least.")
    return next((level for most, level in _BUDGETS if budget <= most), "max")


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    form = (body.get("outputConfig") or {}).get("textFormat")
    if form is None:
        return None
    text = ((form.get("structure") or {}).get("jsonSchema") or {}).get("schema")
    try:
        schema = _json.loads(text) if isinstance(text, str) and form.get("type") == "json_schema" else None
    except ValueError:
        schema = None
    if not isinstance(schema, Mapping):
        raise Problem("The value at outputConfig.textFormat.structure.jsonSchema.schema is not a JSON schema in a string.")
    return schema
