"""The words in which the catalog says what a model can do, each with its meaning.

Dialects, client and router decide on these words, never on a model's name. A word starts with ``supports_``
where the model offers something, with ``requires_`` or ``no_`` where it refuses something.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from deluge.errors import ConfigError

FLAGS: dict[str, str] = {
    # what goes in and what comes out
    "supports_json": "has a mode that answers in JSON without a schema",
    "supports_json_schema": "answers along a JSON schema (structured output)",
    "supports_images": "reads images",
    "supports_files": "reads documents (PDF)",
    "supports_audio": "hears audio",
    "supports_video": "watches video",
    "no_media_urls": "takes images and files with their bytes only: those given by URL are fetched first",
    "supports_logprobs": "gives the log probabilities of its tokens",
    "supports_tools": "calls functions",
    "supports_parallel_tool_calls": "takes the switch for several tool calls in one turn",
    "no_json_with_tools": "answers in JSON, along a schema or not, only where it has no tools",
    "server_tool_invocations": "has to be told (includeServerSideToolInvocations) to use its own tools beside functions",
    "media_in_tool_results": "takes images and documents inside the results of tools (Gemini)",
    "supports_strict_tools": "holds tool arguments to their schema when asked (strict)",
    "native_mcp": "the provider itself calls MCP servers",
    "supports_verbosity": "takes a setting for how long its answers are",
    "embedding": "gives embeddings, not text",
    "reranking": "ranks documents, does not give text",
    "cohere_v2": "embeds and ranks at Cohere's own /v2, beside its compatible endpoint",
    "output_dimension": "calls the length of a vector output_dimension, not dimensions",
    "fixed_dimension": "gives vectors of one length only",
    "input_types": "is told what the texts are that it embeds (input_type)",
    "base64_vectors": "sends vectors as base64 when asked (encoding_format)",
    "top_k_documents": "calls the number of documents to be ranked top_k, not top_n",
    # what counts against the limits of its provider
    "counts_max_tokens": "its token limit counts the larger of the input and max_tokens, whatever is written",
    "reserves_max_tokens": "its token limit takes max_tokens at the start and gives back what was not written",
    "cached_input_free": "input that was read from its cache does not count against its token limit",
    "counts_input_only": "its token limit counts input only",
    # which interface
    "supports_responses": "is also served by the Responses API",
    "requires_responses": "is served by the Responses API only",
    "requires_responses_for_tools": "calls functions through the Responses API only",
    "no_tools_with_reasoning": "calls functions in chat completions only with reasoning effort none",
    "requires_stateless_responses": "the Responses API stores nothing here: store must be false",
    "supports_background": "the Responses API runs it in the background",
    "codex": "made for coding agents",
    "computer_use": "made to operate a computer",
    # thinking
    "reasoning": "can think before it answers",
    "always_reasons": "thinks always: it cannot be turned off",
    "thinks_by_default": "thinks when the request says nothing about it",
    "adaptive_thinking": "decides itself how much to think (thinking type adaptive)",
    "budget_thinking": "takes a thinking budget in tokens",
    "thinking_levels": "takes a thinking level instead of a budget (Gemini 3 and later)",
    "thinking_between_tools": "can be told to think between tool calls only",
    "thinking_disabled_ok": "takes the word that turns thinking off",
    "thinking_disabled_to_high": "thinking can be turned off at effort high and below only",
    "reasoning_summaries": "shows summaries of its reasoning when the Responses API is asked for them",
    "thinking_hidden": "shows its thoughts only when asked to (display: summarized)",
    "thinking_switch": "turns thinking on and off by thinking: {type: enabled|disabled} in chat completions",
    "reasoning_object": "takes reasoning: {effort, max_tokens} in chat completions instead of reasoning_effort",
    "reasoning_format": "writes its thoughts into its text unless they are asked for apart (reasoning_format: parsed)",
    "reasoning_split": "writes its thoughts into its text unless told to split them off, and wants them back",
    "reasoning_content_back": "the reasoning of its tool calls must be sent back as reasoning_content",
    "claude_seals": "reads the sealed thoughts of Claude, whichever provider served it",
    "thought_signatures": "the signatures of its tool calls must be sent back",
    "completion_excludes_reasoning": "its count of completion tokens leaves reasoning out",
    # sampling and other parameters
    "sampling_fixed": "refuses or ignores temperature and top_p",
    "own_sampling": "answers best at its own temperature and top_p: a default of ours is not sent",
    "sampling_fixed_when_reasoning": "refuses temperature, top_p and logprobs while it reasons",
    "temperature_xor_top_p": "takes temperature or top_p, not both",
    "temperature_to_one": "takes a temperature of 1 at most",
    "no_stop": "refuses stop sequences",
    "no_seed": "refuses a seed",
    "random_seed": "calls the seed random_seed",
    "uses_max_tokens": "calls the output limit max_tokens, not max_completion_tokens",
    "developer_role": "takes system messages under the role developer",
    "no_system_role": "refuses system messages",
    "system_in_between": "takes system messages in the middle of a conversation, after a turn of the user's",
    "no_forced_tools": "refuses to be forced to call a tool",
    "no_forced_tools_when_thinking": "refuses to be forced to call a tool while it thinks",
    "no_prefill": "refuses a conversation that ends with the assistant's own words",
    "short_tool_ids": "wants tool call ids of nine letters and digits",
    "mistral_chunks": "takes documents, sound, thoughts and the media of tool results as Mistral's chunks, and no names",
    "four_stops": "takes four stop sequences at most",
    "strict_body": "refuses body fields that it does not know",
    "anthropic_fields": "takes Anthropic's own fields (anthropic_beta, tools) in additionalModelRequestFields",
    "dated_api": "serves Anthropic's API version 2026-10-21, which takes no sampling parameters",
    "raw_predict": "serves Anthropic's Messages at Vertex's :rawPredict",
    # tiers and caching
    "supports_flex": "has the slower, cheaper tier flex",
    "supports_priority": "has the faster, dearer tier priority",
    "supports_fast": "answers faster and dearer on request (Anthropic's speed: fast)",
    "supports_prompt_caching": "caches prompts up to marks in them (cache_control, cachePoint)",
    "no_tool_caching": "caches system and messages up to marks, but no tools alone",
    "no_hour_caching": "keeps what it caches for five minutes, not for an hour",
    "supports_prompt_cache_key": "takes prompt_cache_key",
    "supports_prompt_cache_options": "takes prompt_cache_options and breakpoints",
    "automatic_caching": "caches repeated prefixes by itself",
    "peak_prices": "costs more in the provider's peak hours: service_prices['peak']; the plain price is off-peak",
    "reports_cost": "says in its usage what the request cost",
    # keys and servers
    "sigv4": "without a bearer token the request is signed with AWS credentials",
    "google_auth": "without a token one is taken from google-auth",
    "local": "a server of your own, usually without a key",
    "echoes": "answers with the prompt's own text, so that the length of its answers is known beforehand",
    "embedded": "the rehearsal server inside this process",
    "retired": "the provider has shut it down; set by itself once the day in retires has come",
}


def checked(flags: Iterable[str], *, what: str = "flag") -> frozenset[str]:
    """These flags as a set; ``ConfigError`` names the first that is not a word of this page."""
    found = frozenset(flags)
    for flag in sorted(found - FLAGS.keys()):
        near = get_close_matches(flag, FLAGS, n=3)
        hint = f": did you mean {' or '.join(near)}?" if near else "; docs/models.md lists them"
        raise ConfigError(f"unknown {what} {flag!r}{hint}")
    return found
