"""A chat request, checked as OpenAI checks it and told in no protocol's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from deluge.testing.answers import Ask, Call, Tool, Turn

_ROLES: dict[str, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool",
    "function": "tool",
}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_RANGES = {  # parameter -> (least, most)
    "temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2), "n": (1, 128),
    "top_logprobs": (0, 20), "max_tokens": (1, None), "max_completion_tokens": (1, None),
}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class Problem(Exception):
    """What is wrong with a request."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status


def asked(body: Mapping[str, Any], knows: Callable[[object], bool]) -> Ask:
    """The request; ``Problem`` when it would be refused."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Problem("you must provide a model parameter")
    if not knows(model):
        raise Problem(f"The model `{model}` does not exist or you do not have access to it.", "model",
                      "model_not_found", 404)
    turns = _turns(body.get("messages"))
    _check(body)
    tools = _tools(body.get("tools"))
    schema, json_mode = _format(body.get("response_format"), turns)
    stop = body.get("stop") or ()
    limit = body.get("max_completion_tokens")
    return Ask(
        model, turns, tools, _choice(body.get("tool_choice"), tools), body.get("parallel_tool_calls") is not False,
        schema, json_mode,
        body.get("max_tokens") if limit is None else limit, body.get("reasoning_effort") or "",
        (stop,) if isinstance(stop, str) else tuple(stop),
    )


def _check(body: Mapping[str, Any]) -> None:
    """Ranges, and parameters that need one another."""
    for name, (least, most) in _RANGES.items():
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Problem(f"Invalid type for '{name}': expected a number.", name, "invalid_type")
        if value < least or (most is not None and value > most):
            word = "below minimum" if value < least else "above maximum"
            code = "integer_below_min_value" if value < least else "decimal_above_max_value"
            raise Problem(f"Invalid '{name}': {word} value.", name, code)
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise Problem("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", "top_logprobs")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Problem("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        raise Problem("Invalid 'stop': array too long. Expected an array with maximum length 4.", "stop",
                      "array_above_max_length")
    if body.get("reasoning_effort") not in (None, *_EFFORTS):
        raise Problem("Invalid value for 'reasoning_effort'.", "reasoning_effort", "invalid_value")


# -- messages -------------------------------------------------------------------------------------------------------

def _turns(messages: Any) -> tuple[Turn, ...]:
    if messages is None:
        raise Problem("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    if not isinstance(messages, list):
        raise Problem("Invalid type for 'messages': expected an array of objects.", "messages", "invalid_type")
    if not messages:
        raise Problem("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages",
                      "empty_array")
    turns = tuple(_turn(message, f"messages[{at}]") for at, message in enumerate(messages))
    _paired(turns)
    return turns


def _turn(message: Any, where: str) -> Turn:
    if not isinstance(message, Mapping):
        raise Problem(f"Invalid type for '{where}': expected an object.", where, "invalid_type")
    role = _ROLES.get(str(message.get("role")))
    if role is None:
        raise Problem(f"Invalid value: '{message.get('role')}'. Supported values are: {', '.join(_ROLES)}.",
                      f"{where}.role", "invalid_value")
    calls = tuple(_call(call, where) for call in message.get("tool_calls") or ())
    content = message.get("content")
    if content is None and not calls and not message.get("refusal"):
        raise Problem(f"Invalid value for 'content': expected a string, got null. ({where})", f"{where}.content")
    text, media = _content(content, f"{where}.content")
    return Turn(role, text or str(message.get("refusal") or ""), calls, str(message.get("tool_call_id") or ""), media)


def _content(content: Any, where: str) -> tuple[str, int]:
    """The text of a message, and how many pictures and files it has."""
    if content is None or isinstance(content, str):
        return content or "", 0
    if not isinstance(content, list):
        raise Problem(f"Invalid type for '{where}': expected a string or an array.", where, "invalid_type")
    texts, media = [], 0
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in ("text", "refusal") and isinstance(part.get(kind), str):
            texts.append(part[kind])
        elif (kind in ("image_url", "input_audio", "file") and isinstance(part.get(kind), Mapping)) or _chunk(part):
            media += 1
        elif kind == "thinking" and isinstance(part.get(kind), list):  # Mistral's, which is read no more
            continue
        else:
            raise Problem(f"Invalid value: '{kind}'. ({where})", where, "invalid_value")
    return "\n".join(texts), media


def _chunk(part: Any) -> bool:
    """Whether it is a picture, document or sound in Mistral's words."""
    fields = {"image_url": "image_url", "document_url": "document_url", "input_audio": "input_audio", "file": "file_id"}
    return isinstance(part, Mapping) and isinstance(part.get(fields.get(str(part.get("type")), "")), str)


def _call(call: Any, where: str) -> Call:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        function = {}
    fields = call.get("id") if isinstance(call, Mapping) else None, function.get("name"), function.get("arguments")
    if not all(isinstance(one, str) for one in fields):
        raise Problem(f"Invalid '{where}.tool_calls': id, function.name and function.arguments must be strings.", where,
                      "invalid_type")
    return Call(*map(str, fields))


def _paired(turns: tuple[Turn, ...]) -> None:
    """Every call is answered before anything else is said, and nothing is answered that was not called."""
    waiting: list[str] = []
    for at, turn in enumerate(turns):
        if turn.role == "tool":
            if turn.call_id not in waiting:
                raise Problem("Invalid parameter: messages with role 'tool' must be a response to a preceding message "
                              "with 'tool_calls'.", f"messages[{at}].role")
            waiting.remove(turn.call_id)
            continue
        if waiting:
            break
        waiting = [call.id for call in turn.calls]
    if waiting:
        raise Problem("An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                      "'tool_call_id'. The following tool_call_ids did not have response messages: "
                      + ", ".join(waiting), "messages")


# -- tools and formats ----------------------------------------------------------------------------------------------

def _tools(rows: Any) -> tuple[Tool, ...]:
    if rows is None:
        return ()
    if not isinstance(rows, list) or not rows:
        raise Problem("Invalid 'tools': empty array. Expected an array with minimum length 1.", "tools", "empty_array")
    return tuple(_tool(row, f"tools[{at}]") for at, row in enumerate(rows))


def _tool(row: Any, where: str) -> Tool:
    kind = row.get("type") if isinstance(row, Mapping) else None
    spec = row.get(kind) if kind in ("function", "custom") else None
    if not isinstance(spec, Mapping) or not _NAME.fullmatch(str(spec.get("name"))):
        raise Problem(f"Invalid '{where}': a function with a name that matches '^[a-zA-Z0-9_-]+$' is required.", where,
                      "invalid_value")
    schema = spec.get("parameters") or {"type": "object", "properties": {}}
    if spec.get("strict"):
        _strict(schema, f"{where}.function.parameters", f"function '{spec['name']}'")
    return Tool(str(spec["name"]), schema, len(str(spec)))


def _choice(choice: Any, tools: tuple[Tool, ...]) -> str:
    if choice is None:
        return "auto"
    if not tools:
        raise Problem("Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
                      "tool_choice")
    if choice in ("auto", "none", "required"):
        return str(choice)
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        return str((choice.get("allowed_tools") or {}).get("mode", "auto"))
    name = (choice.get("function") or {}).get("name") if isinstance(choice, Mapping) else None
    if name not in {tool.name for tool in tools}:
        raise Problem(f"Invalid value for 'tool_choice': no tool is named {name!r}.", "tool_choice", "invalid_value")
    return f"={name}"


def _format(wanted: Any, turns: tuple[Turn, ...]) -> tuple[Mapping[str, Any] | None, bool]:
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if wanted is None or kind == "text":
        return None, False
    if kind == "json_object":
        if not any("json" in turn.text.lower() for turn in turns):
            raise Problem("'messages' must contain the word 'json' in some form, to use 'response_format' of type "
                          "'json_object'.", "messages")
        return None, True
    spec = wanted.get("json_schema") if kind == "json_schema" else None
    if not isinstance(spec, Mapping):
        raise Problem("Missing required parameter: 'response_format.json_schema'.", "response_format.json_schema",
                      "missing_required_parameter")
    if not _NAME.fullmatch(str(spec.get("name", ""))):
        raise Problem("Invalid 'response_format.json_schema.name': expected '^[a-zA-Z0-9_-]+$'.",
                      "response_format.json_schema.name")
    schema = spec.get("schema", {})
    if spec.get("strict"):
        _strict(schema, "response_format", f"response_format '{spec['name']}'")
    return schema, False


def _strict(schema: Any, param: str, what: str) -> None:
    """In strict mode every object closes its list of properties and requires them all."""
    for part in schema if isinstance(schema, list) else ():
        _strict(part, param, what)
    if not isinstance(schema, Mapping):
        return
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, Mapping):
        problem = _open(schema, set(properties or ()))
        if problem:
            code = "invalid_function_parameters" if param.startswith("tools") else None
            raise Problem(f"Invalid schema for {what}: {problem}", param, code)
    for keyword in ("properties", "$defs", "definitions"):
        _strict(list((schema.get(keyword) or {}).values()), param, what)
    for keyword in ("items", "anyOf", "allOf", "prefixItems"):
        _strict(schema.get(keyword), param, what)


def _open(schema: Mapping[str, Any], names: set[str]) -> str:
    """What is missing to make an object strict."""
    if schema.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    if names != set(schema.get("required") or ()):
        return "'required' is required to be supplied and to be an array including every key in properties."
    return ""
