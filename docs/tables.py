"""The tables of these pages that follow from the code, so that they cannot drift from it.

    python docs/tables.py            writes them anew between ``<!-- table: NAME … -->`` and ``<!-- end -->``
    python docs/tables.py --check    says which are out of date
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from deluge import adaptation, engine, landing, lanes, retry, routing, scheduler  # noqa: E402
from deluge._plugins import load, names  # noqa: E402
from deluge.cli import arguments  # noqa: E402
from deluge.config import ClientConfig  # noqa: E402
from deluge.dialects import _verdicts  # noqa: E402
from deluge.dialects._form import formed  # noqa: E402
from deluge.endpoints import dialect_of  # noqa: E402
from deluge.errors import ERROR_KINDS, error_class  # noqa: E402
from deluge.limits import estimate, pace  # noqa: E402
from deluge.models.registry import get_model, models, providers  # noqa: E402
from deluge.params import SamplingParams  # noqa: E402
from deluge.prompt import Conversation  # noqa: E402
from deluge.record import RECORD_KEYS  # noqa: E402
from deluge.request import Purpose, RequestContext, RequestOptions, RequestTemplate  # noqa: E402
from deluge.testing import PROFILES, RateLimits, answers, faults  # noqa: E402
from deluge.tools import Tool  # noqa: E402
from deluge.wire import HttpCall  # noqa: E402

BLOCK = re.compile(r"(<!-- table: ([\w-]+)[^\n]*-->\n)(.*?)(<!-- end -->)", re.S)
Rows = Iterable[tuple[str, ...]]


def table(head: tuple[str, ...], rows: Rows) -> str:
    """A Markdown table, with an empty line above and below."""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n" + "".join("| " + " | ".join(line) + " |\n" for line in cells) + "\n"


def number(value: object) -> str:
    """A default as the pages write it."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return f"`{value!r}`"
    if isinstance(value, (int, float)):
        return f"{int(value):,}" if value == int(value) else f"{value:g}"
    return f"`{value!r}`" if value else "none"


# ---- the client ----

MEANINGS = {
    "model_names": "a model, or a list of them: the pool. See [Models](models.md)",
    "name": "what displays and logs call the client",
    "max_requests_per_minute": "a promise; `\"auto\"`: what the provider allows; `None`: no limit",
    "max_tokens_per_minute": "input and output together; `None`: no limit",
    "max_concurrent_requests": "requests at the same time (slots), or `\"auto\"`",
    "model_limits": "limits of single models, inside the client's: `{\"gpt-4.1\": Limits(requests_per_minute=500)}`",
    "quota": "limits that several processes share: a `FileQuota`, a `RedisQuota` or its URL. See "
             "[Shared quota](shared-quota.md)",
    "limit_mode": "`rolling` (strict) or `bucket` (full at the start, refilled continuously)",
    "sampling_params": "one `SamplingParams` for all models, or one for each; dicts will do",
    "adaptation": "an `Adaptation`: how limits are learned and how 429s are met. "
                  "See [Limits and retries](limits-and-retries.md)",
    "model_weights": "shares of the traffic, one for each model; they need not add up to 1. 0: fallback only. "
                     "`dynamic`: whichever model can take a prompt soonest",
    "fallback_models": "asked only when another model could not answer",
    "max_attempts": "attempts for a prompt, on all models together",
    "request_timeout": "seconds for one attempt, from the connection to the last byte. In a stream: to the first byte, "
                       "and between bytes",
    "stream_timeout": "seconds for a whole stream",
    "background_timeout": "seconds for a background job",
    "dedupe": "whether equal prompts are sent once; `\"auto\"`: at temperature 0 and where there is a response cache",
    "cache": "your response cache: an object with `get(prompt)` and `put(prompt, response)`",
    "extra_headers": "HTTP headers for every request; `None` as a value removes one of ours",
    "extra_body": "merged into every request body",
    "use_responses_api": "OpenAI's Responses API",
    "background": "start and poll instead of holding a connection; needs `use_responses_api=True`",
    "temperature": "0 to 2",
    "top_p": "0 to 1",
    "json_mode": "the answer is a JSON object; the prompt has to say so too",
    "max_new_tokens": "the longest answer; reasoning counts",
    "reasoning_effort": "`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`",
    "thinking_budget": "tokens of reasoning, for models that take a number",
    "verbosity": "`low` to `max`, for models that take it",
    "logprobs": "log probabilities of the tokens; every model of the pool has to have them",
    "top_logprobs": "how many alternatives per token, 0 to 20; needs `logprobs=True`",
    "strict_tools": "tool arguments are held to their schema where the provider can",
    "force_local_mcp": "MCP servers are called from here, not by the provider",
    "progress": "`rich`, `tqdm`, `manual` or `None`. See [Logging and progress](logging-and-progress.md)",
    "postprocess": "a function that is called with every response before you get it",
    "base_url": "an OpenAI-compatible server; then any model name goes",
    "api_key": "a string, a function that gives one, or a mapping by provider; else the provider's environment "
               "variable",
    "retry": "tenacity strategies of your own. See [Limits and retries](limits-and-retries.md)",
    "retry_timeouts": "how many of a prompt's timed-out attempts are tried again",
    "retry_possibly_billed": "`False`: an attempt that may have been billed is never repeated",
    "rate_limit_patience": "seconds that a prompt waits because of 429s before it fails",
    "max_repairs": "how often an answer that does not fit its `output_schema` is asked for again",
    "max_cost": "dollars that the client may spend, all calls together; `None`: no cap. See [Costs](costs.md)",
    "unknown_cost": "dollars that a request counts as under a cap where its price is not known",
    "max_queued": "`start()` waits while so many prompts are queued",
    "keep_raw": "keep `raw_response` and `headers` on every response",
    "allow_private_urls": "fetch images and files from private addresses too (see [conversations](conversations.md))",
}


def _shown(name: str, default: object) -> object:
    return None if name == "adaptation" else default


def settings() -> str:
    rows = []
    for name, field in ClientConfig.model_fields.items():
        rows.append((f"`{name}`", number(_shown(name, field.get_default(call_default_factory=True))), MEANINGS[name]))
    return table(("argument", "default", "what it is"), rows)


def sampling_params() -> str:
    rows = [(f"`{name}`", number(field.default)) for name, field in SamplingParams.model_fields.items()]
    return table(("field", "default"), rows)


def dialects() -> str:
    spoken: dict[str, set[str]] = {name: set() for name in names("dialects")}
    for model in models():
        name = model.dialect or model.provider.dialect
        if name in spoken and not (model.has("embedding") or model.has("reranking")):
            spoken[name].add(model.provider.name)
        for flag, kind in (("embedding", "embed"), ("reranking", "rerank")):
            if model.has(flag):
                options = RequestOptions(purpose=Purpose(kind))
                spoken[dialect_of(model, options, SamplingParams())[0]].add(model.provider.name)
    rows = [(f"`{name}`", ", ".join(f"`{provider}`" for provider in sorted(spoken[name]))) for name in sorted(spoken)]
    return table(("protocol", "providers in the catalog"), rows)


# ---- providers ----

REMARKS = {
    "azure": "models by their deployment's name, on the resource's `/openai/v1`",
    "azure-deployments": "`azure-deployments:NAME`, for resources without `/openai/v1`",
    "bedrock-mantle": "Claude in Anthropic's format, OpenAI's models in theirs; a bearer token, or AWS credentials",
    "claude-aws": "`claude-…-aws`, run by Anthropic; `extra_headers={'anthropic-workspace-id': …}`",
    "foundry": "Claude in Microsoft Foundry, by the usual name of its deployment",
    "bedrock": "a bearer token, or AWS credentials with the extra `aws`",
    "huggingface": "routes to many hosts",
    "openrouter": "routes to many hosts; says in the usage what a request cost",
    "rehearsal": "in this process, for nothing",
    "vertex": "an access token, or google-auth with the extra `vertex`",
    "voyage": "embeddings and reranking",
}


def providers_table() -> str:
    rows = []
    everything = models()
    for who in providers():
        own = [model for model in everything if model.provider.name == who.name]
        spoken = [who.dialect, *sorted({model.dialect or who.dialect for model in own})]
        if any(model.has("supports_responses") for model in own):
            spoken.append("openai_responses")
        fields = [f"`{{{field}}}` from {', '.join(f'`{name}`' for name in variables.split())}"
                  for field, variables in who.url_env.items()]
        fields += [f"`{{{field}}}` is `{value}` unless told" for field, value in who.url_defaults.items()]
        notes = [REMARKS.get(who.name, "on this machine" if "local" in who.flags else ""), *fields]
        if who.aliases:
            notes.append(f"also {', '.join(f'`{alias}:`' for alias in who.aliases)}")
        keys = ", ".join(f"`{name}`" for name in who.key_env) or "none"
        rows.append((
            f"`{who.name}`", f"`{who.base_url}`", keys + (" (optional)" if who.key_env and who.key_optional else ""),
            ", ".join(f"`{name}`" for name in dict.fromkeys(spoken)), str(len(own)) if own else "–",
            "; ".join(note for note in notes if note),
        ))
    return table(("provider", "base URL", "key", "dialects", "models", "remarks"), rows)


# ---- parameters ----

PROMPT = Conversation().system("Answer in JSON.").user("How high is Mont Blanc?")
SCHEMA = {"type": "object", "properties": {"metres": {"type": "integer"}}, "required": ["metres"]}
TOOL = Tool("look_up", "Looks a mountain up.", {
    "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": False,
})
OPTIONS = {field.name for field in dataclasses.fields(RequestOptions)}
SCHEMAS = {"schema", "responseJsonSchema", "jsonSchema"}
# One or two models of each dialect. What other models take is decided by their flags.
SHOWN = {
    "openai_chat": ("gpt-4.1-mini", "gpt-5.6-luna"), "openai_responses": ("gpt-4.1-mini", "gpt-5.6-luna"),
    "anthropic": ("claude-4.5-sonnet", "claude-5.5-opus"),
    "gemini": ("gemini-2.5-flash", "gemini-3-flash-preview"), "bedrock": ("claude-4.5-sonnet-bedrock", "nova-pro"),
}
ASKED: tuple[tuple[str, object], ...] = (
    ("temperature", 0.3), ("top_p", 0.5), ("max_new_tokens", 4_000), ("json_mode", True), ("reasoning_effort", "none"),
    ("reasoning_effort", "minimal"), ("reasoning_effort", "high"), ("reasoning_effort", "max"), ("thinking_budget", 4_000),
    ("verbosity", "high"), ("logprobs", True), ("top_logprobs", 5), ("seed", 7), ("stop", ("END",)),
    ("extra", {"field": 1}), ("output_schema", SCHEMA), ("tools", (TOOL,)), ("strict_tools", False),
    ("tool_choice", "required"), ("cache", "system_and_tools"), ("cache", "automatic"), ("service_tier", "flex"),
    ("service_tier", "priority"),
)
NEEDED: dict[str, dict[str, object]] = {
    "strict_tools": {"tools": (TOOL,)}, "tool_choice": {"tools": (TOOL,)}, "top_logprobs": {"logprobs": True},
}


def built(dialect: str, model: str, wishes: dict[str, Any]) -> HttpCall:
    """The request that a dialect makes of these wishes."""
    params = SamplingParams(**{name: value for name, value in wishes.items() if name in SamplingParams.model_fields})
    options = RequestOptions(**{name: value for name, value in wishes.items() if name in OPTIONS})
    template = RequestTemplate(get_model(model), params, options, "https://host.example", "a-key", dialect=dialect)
    call: HttpCall = formed(load("dialects", dialect), template).build(RequestContext(PROMPT, template))
    return call


def parameters(dialect: str) -> str:
    """What each wish adds to the body or changes in it, per model; a note where it is refused."""
    rows = []
    for name, value in ASKED:
        cells = [difference(dialect, model, NEEDED.get(name, {}), name, value) for model in SHOWN[dialect]]
        words = {"tools": "[look_up]", "output_schema": "{…}"}.get(name, repr(value))
        rows.append((f"`{name}={words}`", *cells))
    return table(("asked for", *(f"`{model}`" for model in SHOWN[dialect])), rows)


def difference(dialect: str, model: str, base: dict[str, Any], name: str, value: object) -> str:
    before, after = built(dialect, model, base), built(dialect, model, {**base, name: value})
    old, new = leaves(json.loads(before.body)), leaves(json.loads(after.body))
    lines = [f"`{key}: {shown}`" for key, shown in new.items() if old.get(key) != shown]
    lines += [f"`{key}` left out" for key in old if key not in new and not any(k.startswith(key) for k in new)]
    lines += [f"*{note.parameter}: {note.reason}*" for note in after.notes if note not in before.notes]
    refused = [f"`{note.parameter}`" for note in before.notes]
    return "; ".join(lines) or (f"nothing without {refused[0]}" if refused else "nothing: it does so anyway")


def leaves(body: object, path: str = "") -> dict[str, str]:
    """Every value of a body with the way to it; schemas, tools and messages are shown by their marks only."""
    if not isinstance(body, dict) or not body:
        return {path: short(body)}
    found: dict[str, str] = {}
    for key, value in body.items():
        way = f"{path}.{key}" if path else key
        found |= {way: "{…}"} if key in SCHEMAS else leaves(value, way)
    return found


def short(value: object) -> str:
    text = json.dumps(value, separators=(", ", ": "))
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        marks = [mark for mark in ("cache_control", "cachePoint", '"strict": true') if mark in text]
        return f"[… {' '.join(marks)}]" if marks else "[…]"
    return text if len(text) <= 80 else "…"


# ---- errors and retries ----

ADVICE = {
    "rate_limit": "lower the limits to what the account has, or raise `rate_limit_patience`",
    "overloaded": "wait, or name a fallback model",
    "timeout": "raise `request_timeout`; ask for less output",
    "connection": "look at the network, the proxy, the `base_url`",
    "server": "the provider's fault: run what failed again later",
    "auth": "set the right key",
    "permission": "the key may not do this: ask the account's owner",
    "not_found": "the model's name or region is wrong, or it has been shut down",
    "context_length": "shorten the prompt, or take a model with a larger window",
    "content_filter": "change the prompt; the answer was withheld",
    "bad_request": "the message says what is wrong; sending it again cannot help",
    "quota_exhausted": "top up the account, or raise its spend limit",
    "parse": "a proxy or the wrong `base_url`, most often; or an answer that never fitted its `output_schema`",
    "too_large": "raise `max_tokens_per_minute`, or split the prompt",
    "budget": "raise the budget",
    "cancelled": "somebody wanted that: `cancel()`, `timeout=`, `close()`, Ctrl-C, a fork",
    "input": "repair that prompt or row",
    "postprocess": "repair your hook; the answer is in the response all the same",
}


def kinds() -> str:
    statuses: dict[str, list[str]] = {}
    for status, kind in sorted(_verdicts._BY_STATUS.items()):
        statuses.setdefault(kind, []).append(str(status))
    statuses["server"] = ["409", "424", "425", "499", "other 5xx"]
    statuses["bad_request"] = ["other 4xx"]
    rows = []
    for kind in ERROR_KINDS:
        retried = "yes" if kind in _verdicts.RETRIED else "no"
        meant = ", ".join(statuses.get(kind, ())) or "–"
        rows.append((f"`{kind}`", f"`{error_class(kind).__name__}`", meant, retried, ADVICE[kind]))
    return table(("`error_kind`", "class", "statuses", "tried again", "what to do"), rows)


def codes() -> str:
    rows = [(f"`{kind}`", ", ".join(f"`{code}`" for code in words)) for kind, words in _verdicts._BY_CODE.items()]
    return table(("kind", "the provider's codes"), rows)


def blocking() -> str:
    rows = [(f"`{kind}`", ", ".join(f"`{code}`" for code in words)) for kind, words in _verdicts._BLOCKING.items()]
    return table(("kind", "the provider's codes"), rows)


def figures() -> str:
    learning = adaptation.Adaptation()
    rules = learning.cooldown
    rows = [
        ("in flight at once when a client's burst begins",
         f"{pace.CLIENT_START}, doubling every {pace.CLIENT_DOUBLING * 1000:.0f} ms"),
        ("… and a model's, when its requests are limited",
         f"the larger of {pace.LANE_START} and limit / 60, doubling {pace.LANE_DOUBLING * 1000:.0f} ms after they have left, "
         "and one more for every good answer"),
        ("a burst is over when nothing was in flight for", f"{pace.REST:g} s"),
        ("a cooldown starts on", f"{rules.in_a_row} 429s in a row, {rules.of_last} of the last {rules.last} replies, "
         "or a header that says 0 remaining"),
        ("it lasts, when the provider named no time",
         f"{rules.first:g} s ({rules.first_scattered:g} s when good replies came between), "
         f"doubling each time up to {rules.longest_default:g} s"),
        ("the doubling ends after", f"{rules.calm_after} replies without a 429"),
        ("added to a cooldown by chance", f"up to {rules.spread:.0%}, at most {rules.spread_most:g} s"),
        ("in flight after a cooldown", f"{rules.recovery_start}, doubling every {rules.recovery_doubling:g} to "
         f"{rules.recovery_doubling * 1.5:g} s"),
        ("headers of replies are read every", f"{learning.listen_every:g} s, more often when little is left"),
        ("a limit that rises in the headers is followed by", f"{learning.grow:.0%} per second (one that falls, at once)"),
        ("in flight before the first reply, where the limit is `\"auto\"`",
         f"{learning.auto_start}, doubling every {learning.auto_doubling:g} s"),
        ("starts, where the provider slices its minute", f"evenly, at {learning.headroom:.0%} of the limit"),
        ("… it is taken to slice on", f"headers that say so, or {learning.pace_evidence} 429s within "
         f"{learning.pace_memory:g} s that are {learning.pace_share:.0%} of what was sent in between"),
        ("… and met with 429s all the same", f"the pace falls to what passed, stays there for {learning.pace_plateau:g} s, "
         f"and has doubled {learning.pace_doubling:g} s later"),
        ("slots after a cooldown that 429s began", f"{learning.slots_cut:.0%} of what was in flight, and one more for "
         "each round of good replies"),
        ("slots, where they are `\"auto\"`", f"{learning.slots_start}, doubling each round up to {learning.slots_most:,}; "
         f"times {learning.slots_ease:g} when a token takes {learning.slow:g} times as long as usual"),
        ("the first backoff of a prompt", f"0 to {retry.MULTIPLIER:g} s by chance"),
        ("each further one", f"twice the range, up to {retry.LONGEST_BACKOFF:g} s"),
        ("added to a Retry-After by chance", f"up to {retry.JITTER:.0%}"),
        ("prompts that must be refused before a model is blocklisted", f"{routing.CONFIRM}"),
        ("a blocklisted model is probed after", f"{lanes.PROBE_AFTER:g} s"),
        ("tokens per byte of a prompt, before the first answers",
         f"{estimate.FIRST_RATIO:g}, and {estimate.OVERHEAD} for the roles"),
        ("answers before the expected output is less than `max_new_tokens`", f"{estimate.FEW_ANSWERS}"),
        ("a stopped attempt's worker is given up after", f"{scheduler.GRACE:g} s"),
        ("a wait for a file descriptor", f"{landing.CROWDED_WAIT:g} s, no attempt burnt"),
        ("an idle client ends its threads after", f"{engine.IDLE_AFTER:g} s"),
    ]
    return table(("what", "how much"), rows)


# ---- rehearsal ----

def rehearsal_models() -> str:
    rows = []
    for profile in PROFILES.values():
        latency = profile.latency
        low = latency.low or (0 if math.isinf(latency.high) else latency.low)
        took = f"{latency.typical:g} s" + ("" if math.isinf(latency.high) else f" ({low:g} to {latency.high:g})")
        spoilt = sum(profile.faults.values())
        rows.append((
            f"`{profile.name}`", took, limits_of(profile.limits),
            f"{spoilt:.1%} of requests, at most {profile.max_faults} in a row" if spoilt else "none", profile.summary,
        ))
    return table(("model", "latency", "limits per minute", "faults", ""), rows)


def limits_of(limits: RateLimits | None) -> str:
    if limits is None:
        return "none"
    return f"{limits.requests or 0:,.0f} requests, {limits.tokens or 0:,.0f} tokens"


def of_docstring(module: object) -> str:
    lines = [line for line in (module.__doc__ or "").replace("``", "`").splitlines() if line.startswith("|")]
    return "\n" + "\n".join(lines) + "\n\n"


# ---- the command line ----

def command(name: str) -> str:
    """The flags of one command, from its parser."""
    made = argparse.ArgumentParser().add_subparsers()
    getattr(arguments, f"_{name}")(made)
    parser = made.choices[name.rpartition("_")[2]]
    rows = []
    for action in parser._actions:
        if action.dest == "help":
            continue
        words = ", ".join(f"`{word}`" for word in action.option_strings) or f"`{action.metavar}`"
        value = f" `{action.metavar or action.dest.upper()}`" if action.option_strings and action.nargs != 0 else ""
        rows.append((words + value, action.help or ""))
    return table(("", ""), rows)


def record_keys() -> str:
    return "\n`" + "` `".join(RECORD_KEYS) + "`\n\n"


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings, "sampling-params": sampling_params, "dialects": dialects, "kinds": kinds, "codes": codes,
    "blocking": blocking, "figures": figures, "rehearsal-models": rehearsal_models,
    "answers": lambda: of_docstring(answers), "faults": lambda: of_docstring(faults), "record-keys": record_keys,
    "flags-run": lambda: command("run"), "flags-ask": lambda: command("ask"),
    "flags-estimate": lambda: command("estimate"), "flags-models": lambda: command("models"),
    "flags-rehearse": lambda: command("rehearse"), "flags-report": lambda: command("report"),
    "flags-cache": lambda: command("cache"), "providers": providers_table,
    **{f"flags-batch-{name}": partial(command, f"batch_{name}") for name in ("submit", "status", "fetch", "cancel")},
    **{f"parameters-{name}": partial(parameters, name) for name in SHOWN},
}


def renewed(text: str) -> str:
    """A page with its tables written anew."""
    return BLOCK.sub(lambda block: block[1] + TABLES[block[2]]() + block[4], text)


def main(check: bool) -> int:
    """Writes the tables; with ``check`` only says which pages are out of date."""
    stale = []
    for page in sorted(HERE.glob("*.md")):
        text = page.read_text("utf-8")
        now = renewed(text)
        if now != text:
            stale.append(page.name)
            if not check:
                page.write_text(now, "utf-8")
    for name in stale:
        print(f"{name}: {'out of date' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
