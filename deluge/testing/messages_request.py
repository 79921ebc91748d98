"""A Messages request, checked as Anthropic checks it and told in no protocol's words. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from deluge.testing.answers import Ask, Call, Tool, Turn

OLD, NEW = "2023-06-01", "2026-10-21"
MCP_BETAS = ("mcp-client-2025-11-20", "mcp-client-2026-09-15")
_FIELDS = frozenset({
    "model", "max_tokens", "messages", "system", "stop_sequences", "stream", "metadata", "tools", "tool_choice", "thinking",
    "output_config", "cache_control", "service_tier", "speed", "inference_geo", "container", "diagnostics", "mcp_servers",
    "context_management", "fallbacks", "thread", "compaction",
})
_SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": None}  # what the older version takes besides, with the most
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_BUDGETS = ((2_000, "low"), (8_191, "medium"), (32_000, "high"))
_TOOL_NAME, _CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,128}"), re.compile(r"[a-zA-Z0-9_-]+")
_MEDIA = ("image", "document")
_PASSED = ("redacted_thinking", "server_tool_use", "mcp_tool_use", "search_result", "container_upload")

Blocks = list[Mapping[str, Any]]


class Problem(Exception):
    """What is wrong with a request."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def asked(body: Mapping[str, Any], headers: Mapping[str, str], knows: Callable[[object], bool]) -> Ask:
    """The request; ``Problem`` when it would be refused."""
    _fields(body, headers)
    model, limit = body.get("model"), body.get("max_tokens")
    if not isinstance(model, str) or not model:
        raise Problem("model: Field required")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise Problem("max_tokens: Field required" if limit is None else "max_tokens: Input should be a whole number")
    if not knows(model):
        raise Problem(f"model: {model}", 404)
    turns = _turns(body)
    tools = _tools(body, headers)
    effort = _effort(body, limit)
    _marks(body)
    choice, parallel = _choice(body, tools)
    stops = body.get("stop_sequences") or ()
    if any(not isinstance(stop, str) or not stop.strip() for stop in stops):
        raise Problem("stop_sequences: each stop sequence must contain non-whitespace")
    return Ask(model, turns, tools, choice, parallel, _schema(body), False, limit, effort, tuple(stops))


def signature(thinking: str) -> str:
    """The seal on a thought: thoughts come back with it, or not at all."""
    return "sig_" + hashlib.sha256(thinking.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _fields(body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    version = headers.get("anthropic-version")
    if version is None:
        raise Problem("anthropic-version: header is required")
    if version not in (OLD, NEW):
        raise Problem(f'anthropic-version: "{version}" is not a valid version')
    for name in body:
        if name not in _FIELDS and not (version == OLD and name in _SAMPLING):
            raise Problem(f"{name}: Extra inputs are not permitted")
    for name, most in _SAMPLING.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, (int, float)) or value < 0 or (most and value > most)):
            raise Problem(f"{name}: Input should be at least 0 and at most {most}")


# -- messages -------------------------------------------------------------------------------------------------------

def _turns(body: Mapping[str, Any]) -> tuple[Turn, ...]:
    rows = body.get("messages")
    if not isinstance(rows, list):
        raise Problem("messages: Field required")
    if not any(isinstance(row, Mapping) and row.get("role") != "system" for row in rows):
        raise Problem("messages: at least one message is required")
    turns: list[Turn] = []
    system = body.get("system")
    if system is not None:
        text, _ = _read(_blocks(system, "system"), "system")
        turns.append(Turn("system", text))
    waiting: list[str] = []
    for at, row in enumerate(rows):
        where = f"messages.{at}"
        role = row.get("role") if isinstance(row, Mapping) else None
        if role not in ("user", "assistant", "system"):
            raise Problem(f"{where}.role: Input should be 'user', 'assistant' or 'system'")
        blocks = _blocks(row.get("content"), where)
        if not blocks and not (role == "assistant" and at == len(rows) - 1):
            raise Problem(f"{where}: all messages must have non-empty content except for the optional final assistant message")
        answers = [block for block in blocks if block.get("type") == "tool_result"]
        _pair(where, blocks, answers, waiting, role)
        turns += [_answer(block, where) for block in answers]
        waiting = [str(block.get("id")) for block in blocks if block.get("type") == "tool_use"]
        rest = [block for block in blocks if block.get("type") != "tool_result"]
        if rest or not answers:
            turns.append(_turn(role, rest, where))
    if waiting:
        raise Problem(f"messages: `tool_use` ids were found without `tool_result` blocks: {', '.join(waiting)}")
    return tuple(turns)


def _pair(where: str, blocks: Blocks, answers: Blocks, waiting: list[str], role: str) -> None:
    """Every call is answered at the beginning of the next message, and nothing else is."""
    given = [str(block.get("tool_use_id")) for block in answers]
    if role == "user" and sorted(given) == sorted(waiting) and blocks[:len(answers)] == answers:
        return
    missing = [id for id in waiting if id not in given]
    if missing:
        raise Problem(f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                      f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                      "next message.")
    if answers:
        raise Problem(f"{where}.content.0: unexpected `tool_use_id` found in `tool_result` blocks, or not in the beginning")


def _turn(role: Literal["user", "assistant", "system"], blocks: Blocks, where: str) -> Turn:
    text, media = _read(blocks, where)
    calls = []
    for block in blocks:
        kind = block.get("type")
        if kind == "tool_use":
            if not isinstance(block.get("input"), Mapping) or not _CALL_ID.fullmatch(str(block.get("id"))):
                raise Problem(f"{where}: tool_use: id should match '^[a-zA-Z0-9_-]+$', input should be an object")
            calls.append(Call(str(block["id"]), str(block.get("name")), json.dumps(block["input"])))
        if kind == "thinking" and block.get("signature") != signature(str(block.get("thinking"))):
            raise Problem(f"{where}: Invalid `signature` in `thinking` block")
    return Turn(role, text, tuple(calls), media=media)


def _answer(block: Mapping[str, Any], where: str) -> Turn:
    inner = block.get("content")
    text, media = _read(_blocks(inner, where) if inner is not None else [], where)
    return Turn("tool", text, call_id=str(block["tool_use_id"]), media=media)


def _blocks(content: Any, where: str) -> Blocks:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list) or not all(isinstance(block, Mapping) for block in content):
        raise Problem(f"{where}: Input should be a valid string or list")
    return content


def _read(blocks: Blocks, where: str) -> tuple[str, int]:
    """The text of a message, and how many pictures and documents it has."""
    texts, media = [], 0
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            if not isinstance(block.get("text"), str) or not block["text"].strip():
                raise Problem(f"{where}: text content blocks must contain non-whitespace text")
            texts.append(block["text"])
        elif kind in _MEDIA:
            if not isinstance(block.get("source"), Mapping):
                raise Problem(f"{where}: {kind}.source: Field required")
            media += 1
        elif kind not in ("tool_use", "tool_result", "thinking", *_PASSED) and not str(kind).endswith("_tool_result"):
            raise Problem(f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    return "\n".join(texts), media


# -- tools, thinking, formats ---------------------------------------------------------------------------------------

def _tools(body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[Tool, ...]:
    rows, servers = body.get("tools") or [], body.get("mcp_servers") or []
    betas = headers.get("anthropic-beta", "")
    if servers and not any(beta in betas for beta in MCP_BETAS):
        raise Problem("mcp_servers: Extra inputs are not permitted")
    sets = {row.get("mcp_server_name") for row in rows if row.get("type") == "mcp_toolset"}
    if sets != {server.get("name") for server in servers}:
        raise Problem("mcp_servers: each server must be referenced by exactly one mcp_toolset")
    found: list[Tool] = []
    for at, row in enumerate(rows):
        if row.get("type") not in (None, "custom"):
            continue
        schema = row.get("input_schema")
        if not isinstance(schema, Mapping) or schema.get("type") != "object":
            raise Problem(f"tools.{at}.custom.input_schema.type: Input should be 'object'")
        if not _TOOL_NAME.fullmatch(str(row.get("name"))):
            raise Problem(f"tools.{at}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if row.get("strict"):
            _closed(schema, f"tools.{at}.custom")
        found.append(Tool(str(row["name"]), schema, len(str(row))))
    names = [tool.name for tool in found]
    if len(set(names)) < len(names):
        raise Problem("tools: Tool names must be unique.")
    return tuple(found)


def _choice(body: Mapping[str, Any], tools: tuple[Tool, ...]) -> tuple[str, bool]:
    choice = body.get("tool_choice")
    if choice is None:
        return "auto", True
    kind = choice.get("type") if isinstance(choice, Mapping) else None
    word = {"auto": "auto", "none": "none", "any": "required", "tool": "tool"}.get(str(kind))
    if word is None:
        raise Problem("tool_choice: Input tag does not match any of the expected tags: 'auto', 'any', 'tool', 'none'")
    if not body.get("tools"):
        raise Problem("tool_choice: tool_choice may only be specified while providing tools")
    if word in ("required", "tool") and (body.get("thinking") or {}).get("type") == "enabled":
        raise Problem("Thinking may not be enabled when tool_choice forces tool use.")
    if word == "tool" and choice.get("name") not in {tool.name for tool in tools}:
        raise Problem(f"Tool '{choice.get('name')}' not found in provided tools")
    return f"={choice['name']}" if word == "tool" else word, choice.get("disable_parallel_tool_use") is not True


def _effort(body: Mapping[str, Any], limit: int) -> str:
    """How much is thought, as an effort; empty for not at all."""
    effort = (body.get("output_config") or {}).get("effort")
    if effort not in (None, *_EFFORTS):
        raise Problem(f"output_config.effort: Input should be {', '.join(_EFFORTS)}")
    thinking = body.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    if thinking is not None and kind not in ("adaptive", "enabled", "disabled", "between_tools"):
        raise Problem("thinking: Input tag does not match any of the expected tags")
    if kind in ("adaptive", "enabled") and body.get("temperature", 1) != 1:
        raise Problem("`temperature` may only be set to 1 when thinking is enabled.")
    if kind != "enabled":
        return effort or "high" if kind == "adaptive" else ""
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
    if not isinstance(budget, int) or budget < 1024:
        raise Problem("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if budget >= limit:
        raise Problem("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return next((level for most, level in _BUDGETS if budget <= most), "max")


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = (body.get("output_config") or {}).get("format")
    if wanted is None:
        return None
    schema = wanted.get("schema") if isinstance(wanted, Mapping) and wanted.get("type") == "json_schema" else None
    if not isinstance(schema, Mapping):
        raise Problem("output_config.format.schema: Field required")
    _closed(schema, "output_config.format.schema")
    return schema


def _closed(schema: Any, where: str) -> None:
    """Objects must name all of their properties, and numbers and strings have no bounds."""
    for part in _parts(schema):
        if part.get("type") == "object" and part.get("additionalProperties") is not False:
            raise Problem(f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false")
        for word in ("minimum", "maximum", "minLength", "maxLength", "multipleOf", "maxItems"):
            if word in part:
                raise Problem(f"{where}: For '{part.get('type')}' type, property '{word}' is not supported")


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        yield schema
        inner = [*(schema.get("properties") or {}).values(), *(schema.get("$defs") or {}).values(), schema.get("items")]
        for part in (*inner, *(schema.get("anyOf") or ()), *(schema.get("allOf") or ())):
            yield from _parts(part)


def marks(value: Any) -> int:
    """How many cache breakpoints there are."""
    if isinstance(value, Mapping):
        return bool(value.get("cache_control")) + sum(
            marks(item) for name, item in value.items() if name in ("system", "messages", "tools", "content"))
    return sum(map(marks, value)) if isinstance(value, list) else 0


def _marks(body: Mapping[str, Any]) -> None:
    found = marks(body)
    if found > 4:
        raise Problem(f"A maximum of 4 blocks with cache_control may be provided. Found {found}.")
