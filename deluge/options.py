"""What a call asks for beside its prompts: the options, checked, and what they make of the client's settings."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict, cast

from deluge.config import ClientConfig, PoolEntry, resolved
from deluge.errors import ConfigError
from deluge.journal import Recorder
from deluge.params import CACHE_PATTERNS, SERVICE_TIERS, SamplingParams
from deluge.prompt.fingerprint import canonical
from deluge.request import Purpose, RequestOptions
from deluge.router import Router
from deluge.tools import MCPServer, Tool


class CallOptions(TypedDict, total=False):
    """What every call takes.

    ``tools``: Tools, MCPServers, functions or the provider's own dicts. ``tool_choice``: whether they are called: ``auto``,
    ``none``, ``required`` (one of them at least), or the name of the one that has to be called.
    ``output_schema``: a JSON schema, or a type: then ``response.parsed`` is the typed object; an answer that does not fit
    is asked for again ``max_repairs`` times.
    ``cache``: a CachePattern, kept for ``cache_ttl`` (5m, 1h; OpenAI: 30m, 12h). ``service_tier``: auto, flex …
    ``prefer_model``: a name of the pool, or ``"last"``. ``model`` and ``sampling_params`` replace the client's for this
    call. ``timeout``: seconds for the whole call.
    ``dedupe``: whether equal prompts are sent once ("auto": at temperature 0 and where there is a response cache).
    ``max_cost``: dollars that the call may spend, beside the client's own cap; ``unknown_cost``: dollars that a request
    counts as where its price is not known.
    ``journal``: a file that keeps every finished prompt; the same call with the same file goes on where it stopped.
    ``durable="each"`` brings every batch of records to the disk before it is handed over ("second": within a second);
    ``retry_failed=True`` asks again what failed. These three are for ``process_prompts``, ``map`` and ``ask``.
    """

    tools: Any
    tool_choice: str | None
    output_schema: Any
    max_repairs: int | None
    cache: str | None
    cache_ttl: str | None
    service_tier: str | None
    prefer_model: str | None
    model: str | None
    sampling_params: SamplingParams | Mapping[str, Any] | None
    timeout: float | None
    journal: str | os.PathLike[str] | Recorder | None
    durable: str | None
    retry_failed: bool | None
    dedupe: bool | Literal["auto"] | None
    max_cost: float | None
    unknown_cost: float | None


# Settings of the engine, which all copies of a client share.
LIMITS = frozenset({
    "max_requests_per_minute", "max_tokens_per_minute", "max_concurrent_requests", "model_limits", "limit_mode", "adaptation",
    "max_queued", "quota", "max_cost",
})
TOOL_CHOICES = ("auto", "none", "required")
OPTION_NAMES = frozenset(CallOptions.__annotations__)


def request_options(
    config: ClientConfig, options: CallOptions, schema: Mapping[str, Any] | None, tool_choice: str | None = None,
    purpose: Purpose | None = None,
) -> RequestOptions:
    """What the client and the call ask for beside parameters; checked. ``tool_choice`` overrides that of the call."""
    tools = _tools(options.get("tools"))
    if tool_choice is None:
        tool_choice = _chosen(options.get("tool_choice"), tools)
    cache, tier = options.get("cache"), options.get("service_tier")
    if cache is not None and cache not in CACHE_PATTERNS:
        raise ConfigError(
            f"cache= on a call is a CachePattern ({', '.join(CACHE_PATTERNS)}); a cache object belongs into the constructor"
        )
    if tier is not None and tier not in SERVICE_TIERS:
        raise ConfigError(f"unknown service_tier {tier!r}; there are: {', '.join(SERVICE_TIERS)}")
    return RequestOptions(
        tools=tools, output_schema=schema, cache=cache,
        cache_ttl=_ttl(options.get("cache_ttl")), service_tier=tier, tool_choice=tool_choice,
        extra_headers=config.extra_headers, extra_body=config.extra_body, use_responses_api=config.use_responses_api,
        background=config.background, force_local_mcp=config.force_local_mcp, keep_raw=config.keep_raw,
        allow_private_urls=config.allow_private_urls, purpose=purpose,
    )


def _ttl(value: str | None) -> str | None:
    if value not in (None, "5m", "30m", "1h", "12h"):
        raise ConfigError(f"cache_ttl is 5m or 1h (Anthropic, Bedrock), 30m or 12h (OpenAI), not {value!r}")
    return value


def repairs_of(config: ClientConfig, wanted: int | None) -> int:
    """How often an answer that does not fit is asked for again."""
    if wanted is None:
        return config.max_repairs
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 0:
        raise ConfigError(f"max_repairs is a number of times, 0 or more, not {wanted!r}")
    return wanted


def dollars_of(name: str, value: float | None) -> float | None:
    """A number of dollars that a call gives, checked."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ConfigError(f"{name} is a number of dollars, 0 or more, not {value!r}")
    return float(value)


def end_of(timeout: float | None) -> float | None:
    """The monotonic time at which the call's timeout passes."""
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)) or not timeout > 0:
        raise ConfigError("timeout must be above 0 seconds")
    return time.monotonic() + timeout


def _tools(tools: Any) -> tuple[Any, ...]:
    if tools is None:
        return ()
    if not isinstance(tools, (Tool, MCPServer, Mapping, Iterable)) and not callable(tools):
        raise ConfigError(f"tools are a list of Tools, not {type(tools).__name__}")
    several = isinstance(tools, Iterable) and not isinstance(tools, (Tool, MCPServer, Mapping))
    return tuple(_tool(tool) for tool in (tools if several else (tools,)))


def _chosen(choice: Any, tools: tuple[Any, ...]) -> str | None:
    """The call's ``tool_choice``. ``ConfigError`` when it is none, or there is nothing to be chosen."""
    if choice is None:
        return None
    names = [name for tool in tools for name in tool_names(tool)]
    if isinstance(choice, str) and (choice in TOOL_CHOICES or choice in names):
        if tools or choice in ("auto", "none"):
            return choice
        raise ConfigError(f"tool_choice {choice!r} needs tools=")
    known = f", or the name of a tool ({', '.join(names)})" if names else "; there are no tools to be named"
    raise ConfigError(f"tool_choice is {', '.join(map(repr, TOOL_CHOICES))}{known}, not {choice!r}")


def tool_names(tool: Any) -> list[str]:
    """The names by which a tool may be chosen: of a dict in the provider's words, also its kind."""
    if isinstance(tool, (Tool, MCPServer)):
        return [tool.name]
    found = [tool.get("name"), tool.get("server_label")]
    for inner in (tool.get("function"), tool.get("custom"), tool.get("toolSpec"), *(tool.get("functionDeclarations") or ())):
        found.append(inner.get("name") if isinstance(inner, Mapping) else None)
    if not any(found):
        found.append(tool.get("type"))
    return [name for name in found if isinstance(name, str) and name]


def _tool(tool: Any) -> Any:
    if isinstance(tool, (Tool, MCPServer, Mapping)):
        return tool
    if not callable(tool):
        raise ConfigError(f"a tool is a Tool, a function, an MCPServer or a provider's own dict, not {type(tool).__name__}")
    return Tool.from_function(tool)


def pool_of(
    config: ClientConfig, pool: tuple[PoolEntry, ...], router: Router, options: CallOptions
) -> tuple[tuple[PoolEntry, ...], Router]:
    """The pool with what this call overrides."""
    name, given = options.get("model"), options.get("sampling_params")
    if name is not None:
        model, effort = resolved(name, config)
        own = next((entry.params for entry in pool if entry.model.id == model.id), pool[0].params)
        params = own if effort is None else own.replace(reasoning_effort=cast(Any, effort))
        pool, router = (PoolEntry(model, params, 1.0, model.id),), Router([model.id], [1.0])
    if given is not None:
        if not isinstance(given, (SamplingParams, Mapping)):
            raise ConfigError(f"sampling_params of a call are SamplingParams or a mapping, not {type(given).__name__}")
        params = given if isinstance(given, SamplingParams) else SamplingParams(**given)
        pool = tuple(PoolEntry(entry.model, params, entry.weight, entry.key) for entry in pool)
    return pool, router


def preferred(name: str | None, pool: tuple[PoolEntry, ...], config: ClientConfig) -> str | None:
    """The key of the model that is to answer, ``last``, or None."""
    if name is None or name == "last":
        return name
    model, _ = resolved(name, config)
    ids = [entry.key for entry in pool]
    if name in ids:
        return name
    if model.id not in ids:
        raise ConfigError(f"prefer_model {name!r} is not in the pool ({', '.join(ids)})")
    return model.id


def tools_size(options: RequestOptions) -> int:
    """Bytes of the tools and the schema, which go along with every prompt."""
    if not options.tools and options.output_schema is None:
        return 0
    return len(canonical([[tool_facts(tool) for tool in options.tools], options.output_schema]))


def tool_facts(tool: Any) -> Any:
    """What of a tool shapes the answer."""
    if isinstance(tool, Tool):
        return [tool.name, tool.description, tool.parameters, tool.strict]
    if isinstance(tool, MCPServer):
        return ["mcp", tool.name, tool.url, tool.command, tool.args, tool.allowed_tools]
    return tool
