"""A request for generateContent, checked as Google checks it and told in no protocol's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from deluge import _json
from deluge.testing.answers import Ask, Call, Tool, Turn
from deluge.testing.chat_request import Problem

# The fields of GenerateContentRequest and of its GenerationConfig: https://ai.google.dev/api/generate-content
_FIELDS = frozenset({
    "contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "safetySettings", "cachedContent",
    "serviceTier", "store", "labels", "model", "modelArmorConfig", "continuationToken",
})
_CONFIG = frozenset({
    "temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "candidateCount", "seed", "presencePenalty",
    "frequencyPenalty", "responseMimeType", "responseSchema", "responseJsonSchema", "responseLogprobs", "logprobs",
    "responseModalities", "mediaResolution", "speechConfig", "imageConfig", "thinkingConfig", "audioTimestamp",
    "enableEnhancedCivicAnswers", "responseFormat", "translationConfig", "audioTranscriptionConfig", "routingConfig",
    "modelSelectionConfig",
})
_RANGES = {
    "temperature": (0, 2), "topP": (0, 1), "maxOutputTokens": (1, None), "candidateCount": (1, 1), "logprobs": (0, 20),
    "seed": (-2**31, 2**31 - 1),
}
_TIERS = ("flex", "standard", "priority", "unspecified")
_LEVELS = ("minimal", "low", "medium", "high", "xhigh")
_BUDGETS = ((0, ""), (1_024, "low"), (8_192, "medium"), (1 << 30, "high"))
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_MOST_STOPS = 5


def asked(body: Mapping[str, Any], model: str, knows: Callable[[object], bool]) -> Ask:
    """The request; ``Problem`` when it would be refused."""
    if not knows(model):
        raise Problem(f"models/{model} is not found for API version v1beta, or is not supported for generateContent. "
                      "Call ListModels to see the list of available models and their supported methods.", status=404)
    data = fields(body, _FIELDS, "")
    config = fields(data.get("generationConfig") or {}, _CONFIG, " at 'generation_config'")
    _check(data, config)
    schema, json_mode = _format(config)
    tools = _tools(data.get("tools"))
    turns = (*_system(data.get("systemInstruction")), *_turns(data.get("contents")))
    return Ask(
        model, turns, tools, _choice(data.get("toolConfig"), tools), True, schema, json_mode,
        config.get("maxOutputTokens"), _effort(config.get("thinkingConfig")), tuple(config.get("stopSequences") or ()),
    )


def fields(data: Any, known: frozenset[str], where: str) -> dict[str, Any]:
    """The object with its fields in camel case: both ways of writing them are taken, and no others."""
    if not isinstance(data, Mapping):
        raise Problem(f"Invalid value{where}: a JSON object is expected.")
    found = {camel(name): value for name, value in data.items()}
    for name in data:
        if camel(name) not in known:
            raise Problem(f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.')
    return found


def camel(name: str) -> str:
    """``top_p`` as ``topP``."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def either(data: Any, name: str) -> Any:
    """The field under its name in camel case or in snake case."""
    if not isinstance(data, Mapping):
        return None
    value = data.get(name)
    return data.get(re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name)) if value is None else value


def _check(data: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    for name, (least, most) in _RANGES.items():
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Problem(f"Invalid value at 'generation_config.{name}' (TYPE_FLOAT), {_json.dumps(value).decode()}")
        if value < least or (most is not None and value > most):
            raise Problem(f"Unable to submit request because it has a {name} value of {value} but the supported range "
                          f"is from {least} (inclusive) to {'any' if most is None else most} (inclusive).")
    if len(config.get("stopSequences") or ()) > _MOST_STOPS:
        raise Problem(f"The number of stop_sequences must not exceed {_MOST_STOPS}.")
    if config.get("logprobs") is not None and not config.get("responseLogprobs"):
        raise Problem("Logprobs is only allowed when response_logprobs is true.")
    tier = data.get("serviceTier")
    if tier is not None and str(tier).lower() not in _TIERS:
        raise Problem(f'Invalid value at \'service_tier\': "{tier}"')


def _effort(config: Any) -> str:
    level, budget = either(config, "thinkingLevel"), either(config, "thinkingBudget")
    if level is not None and budget is not None:
        raise Problem("You can only set only one of thinking budget and thinking level.")
    if level is not None:
        word = str(level).lower()
        if word not in _LEVELS:
            raise Problem(f'Invalid value at \'generation_config.thinking_config.thinking_level\': "{level}"')
        return word
    if budget is None:
        return ""
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < -1:
        raise Problem(f"The thinking budget {budget} is invalid.")
    return "medium" if budget == -1 else next(word for most, word in _BUDGETS if budget <= most)


# -- contents ----------------------------------------------------------------------------------------------------------

def _system(content: Any) -> tuple[Turn, ...]:
    if content is None:
        return ()
    text, _, _, _, media = _read(content if isinstance(content, Mapping) else {}, "system_instruction")
    if media:
        raise Problem("System instruction only supports text parts.")
    return (Turn("system", text),)


def _turns(contents: Any) -> tuple[Turn, ...]:
    if not isinstance(contents, list) or not contents:
        raise Problem("* GenerateContentRequest.contents: contents is not specified")
    turns: list[Turn] = []
    waiting: tuple[Call, ...] = ()
    for at, content in enumerate(contents):
        where = f"contents[{at}]"
        if not isinstance(content, Mapping) or content.get("role", "user") not in ("user", "model"):
            raise Problem("Please use a valid role: user, model.")
        text, calls, answers, unsigned, media = _read(content, where)
        if waiting and len(answers) != len(waiting):
            raise Problem("Please ensure that the number of function response parts is equal to the number of function "
                          "call parts of the function call turn.")
        if answers and not waiting:
            raise Problem("Please ensure that function response turn comes immediately after a function call turn.")
        if unsigned:
            raise Problem(f"Function call is missing a thought_signature in functionCall parts. ({where})")
        turns += [Turn("tool", said, call_id=call.id) for call, said in zip(waiting, answers)]
        waiting = calls
        role: Literal["user", "assistant"] = "assistant" if content.get("role") == "model" else "user"
        if text or media or calls or not answers:
            turns.append(Turn(role, text, calls, media=media))
    if waiting:
        raise Problem("Please ensure that function call turn is followed by a function response turn.")
    return tuple(turns)


def _read(content: Mapping[str, Any], where: str) -> tuple[str, tuple[Call, ...], list[str], bool, int]:
    """Text, calls, what tools answered, whether our calls came back without their signature, and how many media."""
    parts = content.get("parts")
    parts = [parts] if isinstance(parts, Mapping) else parts
    if not isinstance(parts, list) or not parts:
        raise Problem(f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.")
    texts, calls, answers, media = [], [], [], 0
    signed = False
    for part in parts:
        function, answer = either(part, "functionCall"), either(part, "functionResponse")
        if function is not None:
            signed = signed or bool(either(part, "thoughtSignature"))
            calls.append(_call(function, where))
        elif answer is not None:
            answers.append(_answer(answer, where))
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            texts += [] if part.get("thought") else [part["text"]]
        elif either(part, "inlineData") is not None or either(part, "fileData") is not None:
            media += 1
        elif not isinstance(part, Mapping) or not part:
            raise Problem(f"* GenerateContentRequest.{where}.parts: required oneof field 'data' must have one "
                          "initialized field")
    ours = any(call.id.startswith("call_") for call in calls)
    return "\n".join(texts), tuple(calls), answers, ours and not signed, media


def _call(function: Any, where: str) -> Call:
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise Problem(f"* GenerateContentRequest.{where}.function_call.name: Name cannot be empty.")
    return Call(str(function.get("id") or ""), name, _json.dumps(function.get("args") or {}).decode())


def _answer(answer: Any, where: str) -> str:
    response = answer.get("response") if isinstance(answer, Mapping) else None
    if not isinstance(response, Mapping) or not answer.get("name"):
        raise Problem(f"* GenerateContentRequest.{where}.function_response.name: Name cannot be empty.")
    said = next((response[name] for name in ("output", "result", "error") if name in response), dict(response))
    return said if isinstance(said, str) else _json.dumps(said).decode()


# -- tools and formats -------------------------------------------------------------------------------------------------

def _tools(rows: Any) -> tuple[Tool, ...]:
    found = []
    for row in rows if isinstance(rows, list) else ():
        for spec in either(row, "functionDeclarations") or ():
            name = spec.get("name") if isinstance(spec, Mapping) else None
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise Problem("* GenerateContentRequest.tools[0].function_declarations[0].name: Invalid function name.")
            schema = either(spec, "parametersJsonSchema")
            if schema is not None and spec.get("parameters") is not None:
                raise Problem("only one of parameters and parameters_json_schema may be set")
            found.append(Tool(name, _lowered(spec.get("parameters")) if schema is None else schema, len(str(spec))))
    return tuple(found)


def _choice(config: Any, tools: tuple[Tool, ...]) -> str:
    calling = either(config, "functionCallingConfig")
    mode = str(either(calling, "mode") or "AUTO").upper()
    allowed = either(calling, "allowedFunctionNames") or []
    if calling is not None and not tools:
        raise Problem("Function calling config is set without function_declarations.")
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise Problem("allowed_function_names should only be set when the function calling mode is ANY or VALIDATED.")
    if any(name not in {tool.name for tool in tools} for name in allowed):
        raise Problem("allowed_function_names contains a name that is not in function_declarations.")
    if mode == "ANY":
        return f"={allowed[0]}" if len(allowed) == 1 else "required"
    if mode not in ("AUTO", "VALIDATED", "NONE", "MODE_UNSPECIFIED"):
        raise Problem(f'Invalid value at \'tool_config.function_calling_config.mode\': "{mode}"')
    return "none" if mode == "NONE" else "auto"


def _format(config: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, bool]:
    schema, json_schema = config.get("responseSchema"), config.get("responseJsonSchema")
    if schema is None and json_schema is None:
        return None, config.get("responseMimeType") == "application/json"
    if schema is not None and json_schema is not None:
        raise Problem("only one of response_schema and response_json_schema may be set")
    if config.get("responseMimeType") != "application/json":
        raise Problem("Response schema is only supported with response_mime_type application/json.")
    return (_lowered(schema) if json_schema is None else json_schema), False


def _lowered(schema: Any) -> Any:
    """Google's dialect of OpenAPI as JSON schema: its types are in capitals."""
    if isinstance(schema, list):
        return [_lowered(item) for item in schema]
    if not isinstance(schema, Mapping):
        return {"type": "object", "properties": {}} if schema is None else schema
    found = {camel(name): _lowered(value) if isinstance(value, (list, Mapping)) else value
             for name, value in schema.items() if name not in ("properties", "propertyOrdering", "property_ordering")}
    if isinstance(schema.get("properties"), Mapping):
        found["properties"] = {name: _lowered(value) for name, value in schema["properties"].items()}
    if isinstance(found.get("type"), str):
        found["type"] = found["type"].lower()
    return found
