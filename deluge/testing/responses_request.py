"""A request to the rehearsal provider's Responses API, told in the words of chat completions, where the rules are. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from deluge.testing.answers import Ask
from deluge.testing.chat_request import Problem
from deluge.testing.chat_request import asked as asked_in_chat

LEAST_OUTPUT = 16
_UNKNOWN = ("stop", "seed", "n", "logprobs", "max_tokens", "max_completion_tokens", "reasoning_effort", "verbosity")
_MOVED = {"messages": "input", "response_format": "text.format"}
# How the parameters are called here that the shared rules know by their names in chat completions.
_NAMES = {"max_completion_tokens": "max_output_tokens", "reasoning_effort": "reasoning.effort", **_MOVED}
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_PARTS = {"input_image": "image_url", "input_file": "file"}

Wire = dict[str, Any]


def asked(body: Mapping[str, Any], knows: Callable[[object], bool]) -> Ask:
    """The request; ``Problem`` when it would be refused."""
    _check(body)
    chat = {
        "model": body.get("model"), "messages": _messages(body), "temperature": body.get("temperature"),
        "top_p": body.get("top_p"), "max_completion_tokens": body.get("max_output_tokens"),
        "reasoning_effort": (body.get("reasoning") or {}).get("effort"),
        "parallel_tool_calls": body.get("parallel_tool_calls"),
        "response_format": _format((body.get("text") or {}).get("format")),
        "tools": _tools(body.get("tools")), "tool_choice": _choice(body.get("tool_choice")),
    }
    try:
        return asked_in_chat({name: value for name, value in chat.items() if value is not None}, knows)
    except Problem as problem:
        param = problem.param
        for theirs, ours in _NAMES.items():
            if param is not None and param.partition("[")[0].partition(".")[0] == theirs:
                param = param.replace(theirs, ours, 1)
        raise Problem(_worded(str(problem)), param, problem.code, problem.status) from None


def sealed(text: str) -> str:
    """The encrypted content of a thought: it can be checked when it comes back."""
    return "sealed-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _worded(message: str) -> str:
    for theirs, ours in _NAMES.items():
        message = message.replace(f"'{theirs}", f"'{ours}")
    return message


def _check(body: Mapping[str, Any]) -> None:
    for name, place in _MOVED.items():
        if name in body:
            raise Problem(f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to "
                          f"'{place}'. Try again with the new parameter.", name, "unsupported_parameter")
    for name in _UNKNOWN:
        if name in body:
            raise Problem(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    for name in ("reasoning", "text", "prompt_cache_options"):
        if not isinstance(body.get(name), (Mapping, type(None))):
            raise Problem(f"Invalid type for '{name}': expected an object.", name, "invalid_type")
    most = body.get("max_output_tokens")
    if isinstance(most, int) and most < LEAST_OUTPUT:
        raise Problem(f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {LEAST_OUTPUT}, "
                      f"but got {most} instead.", "max_output_tokens", "integer_below_min_value")
    top = body.get("top_logprobs")
    if top is not None and not (isinstance(top, int) and 0 <= top <= 20):
        raise Problem("Invalid 'top_logprobs': expected a value between 0 and 20.", "top_logprobs", "invalid_value")
    if body.get("background_options") is not None and not body.get("background"):
        raise Problem("'background_options' needs 'background' to be true.", "background_options")


# -- input ----------------------------------------------------------------------------------------------------------

def _messages(body: Mapping[str, Any]) -> list[Wire]:
    """The input items as messages: calls go into the message of the assistant before them."""
    items = body.get("input")
    if items is None:
        raise Problem("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    instructions = body.get("instructions")
    made: list[Wire] = [{"role": "system", "content": instructions}] if isinstance(instructions, str) else []
    if isinstance(items, str):
        return [*made, {"role": "user", "content": items}]
    if not isinstance(items, list):
        raise Problem("Invalid type for 'input': expected a string or an array of items.", "input", "invalid_type")
    for at, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise Problem(f"Invalid type for 'input[{at}]': expected an object.", f"input[{at}]", "invalid_type")
        _add(made, item, f"input[{at}]", body.get("store") is False)
    return made


def _add(made: list[Wire], item: Mapping[str, Any], where: str, stateless: bool) -> None:
    kind = item.get("type") or ("message" if "role" in item else None)
    if kind == "message":
        made.append({"role": item.get("role"), "content": _content(item.get("content"), where)})
    elif kind in _CALLS:
        function = {"name": item.get("name"), "arguments": item.get(_CALLS[kind])}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        if not made or made[-1]["role"] != "assistant":
            made.append({"role": "assistant", "content": "", "tool_calls": []})
        made[-1].setdefault("tool_calls", []).append(call)
    elif kind in ("function_call_output", "custom_tool_call_output"):
        output = item.get("output")
        if output is None:
            raise Problem(f"Missing required parameter: '{where}.output'.", f"{where}.output",
                          "missing_required_parameter")
        made.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": _content(output, where)})
    elif kind == "reasoning":
        _check_thought(item, where, stateless)
    elif not isinstance(kind, str):
        raise Problem(f"Invalid value: '{kind}'. ({where}.type)", f"{where}.type", "invalid_value")


def _check_thought(item: Mapping[str, Any], where: str, stateless: bool) -> None:
    """A thought comes back unchanged, with its seal, or not at all."""
    seal = item.get("encrypted_content")
    if seal is None and stateless:
        raise Problem(f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to "
                      "false. Try again with `store` set to true, or remove this item from your input.", "input",
                      status=404)
    summary = item.get("summary")
    if not isinstance(summary, list):
        raise Problem(f"Missing required parameter: '{where}.summary'.", f"{where}.summary",
                      "missing_required_parameter")
    if seal is not None and seal != sealed(str(item.get("id"))):
        raise Problem("The encrypted content could not be verified.", f"{where}.encrypted_content",
                      "invalid_encrypted_content")


def _content(content: Any, where: str) -> Any:
    if not isinstance(content, list):
        return content
    parts: list[Wire] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in ("input_text", "output_text"):
            parts.append({"type": "text", "text": part.get("text")})
        elif kind == "refusal":
            parts.append({"type": "refusal", "refusal": part.get("refusal")})
        elif kind in _PARTS:
            parts.append({"type": _PARTS[kind], _PARTS[kind]: part})
        else:
            raise Problem(f"Invalid value: '{kind}'. Supported values are: 'input_text', 'input_image', 'input_file', "
                          f"'output_text', and 'refusal'. ({where}.content)", f"{where}.content", "invalid_value")
    return parts


# -- tools and formats ----------------------------------------------------------------------------------------------

def _tools(rows: Any) -> list[Wire] | None:
    """The functions among the tools; the others are the provider's own."""
    if rows is None:
        return None
    if not isinstance(rows, list):
        raise Problem("Invalid type for 'tools': expected an array.", "tools", "invalid_type")
    made: list[Wire] = []
    for at, row in enumerate(rows):
        kind = row.get("type") if isinstance(row, Mapping) else None
        if not isinstance(kind, str):
            raise Problem(f"Missing required parameter: 'tools[{at}].type'.", f"tools[{at}].type",
                          "missing_required_parameter")
        if kind not in ("function", "custom"):
            continue
        if not isinstance(row.get("name"), str):
            raise Problem(f"Missing required parameter: 'tools[{at}].name'.", f"tools[{at}].name",
                          "missing_required_parameter")
        made.append({"type": kind, kind: {name: value for name, value in row.items() if name != "type"}})
    return made or None


def _choice(choice: Any) -> Any:
    if isinstance(choice, Mapping):
        if choice.get("type") in ("function", "custom"):
            return {"type": "function", "function": {"name": choice.get("name")}}
        return "auto"
    return choice


def _format(form: Any) -> Any:
    if isinstance(form, Mapping) and form.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": {name: form[name] for name in form if name != "type"}}
    return form
