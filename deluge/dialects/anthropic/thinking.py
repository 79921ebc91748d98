"""Whether and how much Claude thinks: https://platform.claude.com/docs/en/build-with-claude/thinking"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deluge.dialects import _settings
from deluge.dialects._notes import Notes
from deluge.request import RequestTemplate

MIN_BUDGET = 1_024
# The budget that stands for an effort, on models that take a budget in tokens.
_BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 32_768, "max": 49_152}
_TO_HIGH = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Thoughts:
    """``config``: the field ``thinking``. ``effort``: for ``output_config``. ``max_tokens``: with thinking in it."""

    config: dict[str, Any] | None
    effort: str | None
    max_tokens: int

    @property
    def kind(self) -> str | None:
        """adaptive, enabled, disabled or between_tools; None when nothing is said."""
        return None if self.config is None else self.config["type"]


def thoughts(template: RequestTemplate, notes: Notes) -> Thoughts:
    """What is sent for ``reasoning_effort``, ``thinking_budget`` and ``verbosity``."""
    model, params = template.model, template.params
    wanted, budget = _settings.wanted_effort(template), params.thinking_budget
    if not (budget and model.has("budget_thinking")):
        notes.extend(_settings.spare_budget(template))
    if wanted is None or not model.has("reasoning"):
        notes.keep(_settings.effort(template))
        return Thoughts(None, _told_effort(template, notes), params.max_new_tokens)
    if wanted == "none":
        if budget and model.has("budget_thinking"):
            notes.add("thinking_budget", "reasoning_effort is 'none'")
        return _off(template, notes)
    if model.has("budget_thinking") and (budget or not model.has("adaptive_thinking")):
        return _budgeted(template, budget or _BUDGETS[wanted], notes)
    level = _level(template, notes)
    if not model.has("adaptive_thinking"):
        return Thoughts(None, level, params.max_new_tokens)
    shown = {"display": "summarized"} if model.has("thinking_hidden") else {}
    return Thoughts({"type": "adaptive", **shown}, level, params.max_new_tokens)


def _off(template: RequestTemplate, notes: Notes) -> Thoughts:
    """No thinking, or as little as the model can."""
    model, limit = template.model, template.params.max_new_tokens
    if not model.has("always_reasons"):
        if not model.has("thinking_disabled_ok"):
            return Thoughts(None, _told_effort(template, notes), limit)
        known = _TO_HIGH if model.has("thinking_disabled_to_high") else ()
        return Thoughts({"type": "disabled"}, _told_effort(template, notes, known), limit)
    if model.has("thinking_between_tools"):
        name = "thinking_budget" if template.params.reasoning_effort is None else "reasoning_effort"
        notes.add(name, "the model always thinks: it is told to do so between tool calls only")
        return Thoughts({"type": "between_tools"}, _told_effort(template, notes, _TO_HIGH), limit)
    return Thoughts(None, _level(template, notes), limit)


def _budgeted(template: RequestTemplate, wanted: int, notes: Notes) -> Thoughts:
    """A budget in tokens, which is part of ``max_tokens``: it comes on top of what was asked for the answer."""
    params, most = template.params, template.model.max_output_tokens
    budget, answer = max(MIN_BUDGET, wanted), params.max_new_tokens
    if most is not None:
        answer = min(answer, max(1, most - MIN_BUDGET))
        budget = max(MIN_BUDGET, min(budget, most - answer))
    if params.thinking_budget and budget != wanted:
        notes.add("thinking_budget", f"{wanted} is not possible here: {budget} is sent")
    if params.thinking_budget and params.reasoning_effort and not template.model.efforts:
        notes.add("reasoning_effort", "the model takes a budget, and one was given: thinking_budget is sent")
    if params.is_set("max_new_tokens"):
        notes.add("max_new_tokens", f"{budget} tokens for thinking are in it too: {answer + budget} is sent")
    level = _level(template, notes) if params.reasoning_effort else _told_effort(template, notes)
    return Thoughts({"type": "enabled", "budget_tokens": budget}, level, answer + budget)


def _level(template: RequestTemplate, notes: Notes) -> str | None:
    """The effort for what was asked of reasoning; it is the model's only one, so that ``verbosity`` has to follow."""
    model, verbosity = template.model, template.params.verbosity
    if not model.efforts:
        if not model.has("budget_thinking") or _settings.wanted_effort(template) == "none":
            notes.keep(_settings.effort(template))
        return _told_effort(template, notes)
    level: str | None = notes.keep(_settings.effort(template))
    if verbosity is not None and verbosity != level:
        notes.add("verbosity", f"the model has one effort for thinking and words: {level!r} is sent")
    return level


def _told_effort(template: RequestTemplate, notes: Notes, known: tuple[str, ...] = ()) -> str | None:
    """The effort for ``verbosity``; ``known``: the levels that go with what is sent for thinking."""
    wanted, efforts = template.params.verbosity, template.model.efforts
    if wanted is None:
        return None
    if not efforts:
        notes.add("verbosity", "the model has no such setting")
        return None
    efforts = tuple(level for level in efforts if not known or level in known) or efforts
    level = _settings.nearest_effort(wanted, efforts)
    if level != wanted:
        notes.add("verbosity", f"{wanted!r} is not among {', '.join(efforts)}: {level!r} is sent")
    return level
