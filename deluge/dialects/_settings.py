"""What becomes of a parameter on a model, for all dialects: pure functions of the template that read the model's flags.

Each gives the value to send (None: nothing) and a ``Note`` where the user asked for something else.
"""

from __future__ import annotations

from typing import Any

from deluge.params import EFFORTS
from deluge.request import RequestTemplate
from deluge.tools import Tool
from deluge.tools.schema import strict_schema
from deluge.wire import Note

# Thinking budgets in tokens and the effort that they stand for, where a model takes no budget.
_BUDGETS = ((0, "none"), (512, "minimal"), (2_048, "low"), (8_192, "medium"), (16_384, "high"))
# The words of other providers for a tier, best first.
_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "fast": ("priority",), "standard": ("default", "standard_only"), "default": ("standard", "standard_only"),
    "standard_only": ("default", "standard"),
}

UNSTRICT = "it has no strict form: the answer is checked, but the model is not held to every word of it"

Setting = tuple[Any, "Note | None"]


def nearest_effort(wanted: str, accepted: tuple[str, ...]) -> str:
    """The level of ``accepted`` that comes nearest; of two the lower. Thinking is never turned off by rounding."""
    if wanted in accepted:
        return wanted
    rank = EFFORTS.index(wanted)
    choice = [level for level in accepted if level != "none" or wanted == "minimal"] or list(accepted)
    return min(choice, key=lambda level: (abs(EFFORTS.index(level) - rank), EFFORTS.index(level)))


def effort(template: RequestTemplate) -> Setting:
    """The reasoning effort that the model accepts for the one that was asked for."""
    model, wanted = template.model, wanted_effort(template)
    name = "reasoning_effort" if template.params.reasoning_effort is not None else "thinking_budget"
    if wanted is None:
        return None, None
    if not model.has("reasoning") or not model.efforts:
        silent = wanted == "none" and not model.has("always_reasons") and not model.has("thinks_by_default")
        reason = "the model takes no reasoning effort" if model.has("reasoning") else "the model does not reason"
        return None, None if silent else Note(name, reason)
    level = nearest_effort(wanted, model.efforts)
    if name == "thinking_budget":
        return level, Note(name, f"the model takes an effort, not a budget: {level!r} is sent")
    if level != wanted:
        return level, Note(name, f"{wanted!r} is not among {', '.join(model.efforts)}: {level!r} is sent")
    return level, None


def wanted_effort(template: RequestTemplate) -> str | None:
    """The effort that was asked for, or that stands for the thinking budget that was."""
    budget = template.params.thinking_budget
    if template.params.reasoning_effort is not None or budget is None:
        return template.params.reasoning_effort
    return effort_of_budget(budget)


def spare_budget(template: RequestTemplate) -> list[Note]:
    """Says that a thinking budget gives way to the effort that was given beside it."""
    level, budget = template.params.reasoning_effort, template.params.thinking_budget
    if level is None or budget is None or (level == "none" and not budget):
        return []
    return [Note("thinking_budget", f"reasoning_effort is given too, and goes first: {level!r}")]


def effort_of_budget(budget: int) -> str:
    """The effort that stands for a thinking budget in tokens."""
    return next((level for top, level in _BUDGETS if budget <= top), "xhigh")


def reasons(template: RequestTemplate, sent: str | None) -> bool:
    """Whether the model will reason, given the effort that is sent."""
    model = template.model
    if not model.has("reasoning"):
        return False
    if model.has("thinking_switch") and wanted_effort(template) == "none":
        return model.has("always_reasons")
    if model.has("adaptive_thinking") or model.has("budget_thinking"):  # an effort alone does not turn thinking on
        wanted = wanted_effort(template)
        on = model.has("thinks_by_default") if wanted is None else wanted != "none"
        return on or model.has("always_reasons")
    level = sent or model.default_effort
    if level is not None:
        return level != "none"
    return model.has("always_reasons") or model.has("thinks_by_default") or "none" not in model.efforts


def chat_refuses(template: RequestTemplate) -> str | None:
    """Why chat completions cannot take this request at all, where the Responses API can; None when they can."""
    if template.model.has("requires_responses"):
        return f"{template.model.id} is served by the Responses API only: set use_responses_api=True"
    if template.options.tools and template.model.has("requires_responses_for_tools"):
        return f"{template.model.id} calls tools through the Responses API only: set use_responses_api=True"
    return None


def sampling(template: RequestTemplate, reasoning: bool) -> tuple[dict[str, float], list[Note]]:
    """``temperature`` and ``top_p``, as far as the model takes them."""
    params, model = template.params, template.model
    values = {"temperature": params.temperature, "top_p": params.top_p}
    why = refused_sampling(template, reasoning)
    if why:
        # 1 is what such a model uses anyway: leaving it out changes nothing.
        return {}, [Note(name, why) for name, value in values.items() if params.is_set(name) and value != 1.0]
    if model.has("temperature_xor_top_p"):
        wants_top_p = params.is_set("top_p") and params.top_p != 1.0 and not params.is_set("temperature")
        loser = "temperature" if wants_top_p else "top_p"
        value = values.pop(loser)
        lost = params.is_set(loser) and value != 1.0
        return values, [Note(loser, "the model takes temperature or top_p, not both")] if lost else []
    if model.has("own_sampling"):
        values = {name: value for name, value in values.items() if params.is_set(name)}
    return values, []


def refused_sampling(template: RequestTemplate, reasoning: bool) -> str | None:
    """Why the model takes no sampling parameters; None when it does."""
    if template.model.has("sampling_fixed"):
        return "the model does not take it"
    if reasoning and template.model.has("sampling_fixed_when_reasoning"):
        return "the model does not take it while it reasons"
    return None


def stops(template: RequestTemplate, *, most: int | None = None, blank: bool = True) -> tuple[list[str], list[Note]]:
    """The stop sequences that are sent: no more than ``most`` of them, and none that is ``blank`` where that is refused."""
    given, model = list(template.params.stop or ()), template.model
    if model.has("no_stop") and given:
        return [], [Note("stop", "the model takes no stop sequences")]
    notes = []
    kept = [stop for stop in given if blank or stop.strip()]
    if len(kept) < len(given):
        notes.append(Note("stop", "the model takes no stop sequence that is blank"))
    most = 4 if model.has("four_stops") else most
    if most is not None and len(kept) > most:
        notes.append(Note("stop", f"the model takes {most} stop sequences: the first {most} are sent"))
        kept = kept[:most]
    return kept, notes


def service_tier(template: RequestTemplate) -> Setting:
    """The provider's word for the service tier that was asked for."""
    wanted, model = template.options.service_tier, template.model
    tiers = model.provider.service_tiers
    if wanted is None:
        return None, None
    if not tiers:
        silent = wanted in ("auto", "default", "standard")
        return None, None if silent else Note("service_tier", f"{model.provider.name} has no service tiers")
    tier = next((word for word in (wanted, *_OTHER_NAMES.get(wanted, ())) if word in tiers), wanted)
    unsupported = tier == "flex" and not model.has("supports_flex")
    unsupported |= tier in ("priority", "fast") and not model.has("supports_priority")
    if tier in tiers and not unsupported:
        return tier, None
    fallback = "auto" if "auto" in tiers else None
    if wanted == "auto" and fallback is None:
        return None, None  # where nothing is sent the provider chooses, too
    return fallback, Note("service_tier", f"{wanted!r} is not offered here: {fallback or 'the default'} is used")


def unstrict_tools(template: RequestTemplate) -> list[Note]:
    """Names the tools whose arguments shall be held to their schema and are not, where the user said that they shall."""
    params, offered = template.params, template.model.has("supports_strict_tools")
    asked = params.strict_tools and params.is_set("strict_tools")
    return [
        Note("strict_tools", f"tool {tool.name!r}: {'its schema has no strict form' if offered else 'not offered here'}")
        for tool in template.options.tools if isinstance(tool, Tool) and (asked if tool.strict is None else tool.strict)
        and not (offered and strict_schema(tool.parameters) is not None)
    ]


def verbosity(template: RequestTemplate) -> Setting:
    """low, medium or high."""
    wanted = template.params.verbosity
    if wanted is None:
        return None, None
    if not template.model.has("supports_verbosity"):
        return None, Note("verbosity", "the model has no such setting")
    if wanted in ("xhigh", "max"):
        return "high", Note("verbosity", f"{wanted!r} is more than the model has: 'high' is sent")
    return wanted, None
