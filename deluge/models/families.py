"""What generations of models accept, wherever they are served: the facts behind the catalogs of several providers."""

from __future__ import annotations

from deluge.models.rows import PLAIN

# A model that no catalog lists: whatever the user asks for is sent, and the server judges it.
UNLISTED = PLAIN.but(
    "supports_json supports_json_schema supports_images supports_files supports_audio supports_video supports_logprobs"
    " supports_tools supports_parallel_tool_calls supports_strict_tools supports_verbosity supports_responses"
    " supports_background supports_flex supports_priority reasoning",
    efforts="none minimal low medium high xhigh max",
)

# -- OpenAI ----------------------------------------------------------------------------------------------------------

_OPENAI = PLAIN.but(
    "supports_json supports_json_schema supports_images supports_files supports_tools supports_strict_tools"
    " supports_parallel_tool_calls supports_responses supports_background native_mcp developer_role"
    " supports_prompt_cache_key automatic_caching four_stops"
)
GPT_3_5 = PLAIN.but(
    "supports_json supports_tools supports_parallel_tool_calls supports_logprobs supports_responses four_stops",
    context=16_385, max_output=4_096,
)
GPT_4 = GPT_3_5.but("-supports_json", context=8_192, max_output=8_192)
GPT_4_TURBO = GPT_3_5.but("supports_images", context=128_000, max_output=4_096)
GPT_4O = _OPENAI.but("supports_logprobs supports_priority", context=128_000, max_output=16_384)
GPT_4_5 = _OPENAI.but("supports_logprobs", context=128_000, max_output=16_384)
GPT_4_1 = GPT_4O.but(context=1_047_576, max_output=32_768)

O_SERIES = _OPENAI.but(
    "reasoning always_reasons sampling_fixed no_stop reasoning_summaries -supports_parallel_tool_calls",
    efforts="low medium high", default_effort="medium", context=200_000, max_output=100_000,
)
O1_MINI = O_SERIES.but(
    "-supports_json -supports_json_schema -supports_images -supports_files -supports_tools -supports_strict_tools"
    " -native_mcp -developer_role -reasoning_summaries no_system_role",
    efforts="", context=128_000, max_output=65_536,
)

_GPT_5_ON = _OPENAI.but(
    "reasoning no_stop supports_verbosity supports_flex supports_priority reasoning_summaries",
    context=400_000, max_output=128_000,
)
GPT_5 = _GPT_5_ON.but("always_reasons sampling_fixed", efforts="minimal low medium high", default_effort="medium")
GPT_5_PRO = GPT_5.but("requires_responses -supports_flex -supports_priority", efforts="high", default_effort="high")
GPT_5_CODEX = GPT_5.but("codex requires_responses -supports_flex", efforts="low medium high", default_effort="medium")
GPT_5_1 = _GPT_5_ON.but(
    "sampling_fixed_when_reasoning supports_logprobs", efforts="none low medium high", default_effort="none",
)
GPT_5_2 = GPT_5_1.but(efforts="none low medium high xhigh", default_effort="none")
GPT_5_2_PRO = GPT_5_PRO.but(efforts="medium high xhigh", default_effort="medium")
GPT_5_4 = GPT_5_2.but(context=1_050_000)
GPT_5_5 = GPT_5_4.but(default_effort="medium")
GPT_5_6 = GPT_5_5.but(
    "no_tools_with_reasoning supports_prompt_cache_options",
    efforts="none low medium high xhigh max", default_effort="medium",
)
GPT_6 = GPT_5_6
GPT_6_ALWAYS = GPT_6.but(
    "always_reasons sampling_fixed requires_responses_for_tools"
    " -sampling_fixed_when_reasoning -supports_logprobs -no_tools_with_reasoning",
    efforts="low medium high xhigh max", default_effort="medium",
)
GPT_CHAT = _OPENAI.but(
    "supports_logprobs -supports_tools -supports_strict_tools -supports_parallel_tool_calls -native_mcp",
    context=128_000, max_output=16_384,
)
DEEP_RESEARCH = O_SERIES.but("requires_responses -supports_json -supports_json_schema", efforts="medium")
COMPUTER_USE = _OPENAI.but("requires_responses computer_use reasoning", context=8_192, max_output=1_024)

GPT_OSS = PLAIN.but(
    "supports_json supports_json_schema supports_tools reasoning always_reasons",
    efforts="low medium high", default_effort="medium", context=131_072,
)

# -- Anthropic -------------------------------------------------------------------------------------------------------

CLAUDE_3 = PLAIN.but(
    "no_seed temperature_to_one supports_images supports_tools supports_parallel_tool_calls supports_prompt_caching",
    context=200_000, max_output=4_096,
)
CLAUDE_3_5 = CLAUDE_3.but("supports_files", max_output=8_192)
CLAUDE_3_7 = CLAUDE_3_5.but(
    "reasoning budget_thinking thinking_disabled_ok no_forced_tools_when_thinking sampling_fixed_when_reasoning"
    " claude_seals",
    max_output=64_000,
)
CLAUDE_4_OPUS = CLAUDE_3_7.but(max_output=32_000)
CLAUDE_4_SONNET = CLAUDE_3_7
CLAUDE_4_1_OPUS = CLAUDE_4_OPUS.but("temperature_xor_top_p supports_json_schema supports_strict_tools")
CLAUDE_4_5 = CLAUDE_4_1_OPUS.but(max_output=64_000)
CLAUDE_4_5_OPUS = CLAUDE_4_5.but(efforts="low medium high", default_effort="high")
CLAUDE_4_6 = CLAUDE_4_5.but(
    "adaptive_thinking no_prefill",
    efforts="low medium high max", default_effort="high", context=1_000_000, max_output=128_000,
)
CLAUDE_4_7 = CLAUDE_4_6.but(
    "sampling_fixed thinking_hidden"
    " -sampling_fixed_when_reasoning -temperature_xor_top_p -budget_thinking -thinking_disabled_ok",
    efforts="low medium high xhigh max", default_effort="high",
)
CLAUDE_4_8 = CLAUDE_4_7.but("system_in_between")
CLAUDE_5_SONNET = CLAUDE_4_8.but("thinking_disabled_ok")
CLAUDE_5_OPUS = CLAUDE_5_SONNET.but("thinks_by_default thinking_disabled_to_high")
CLAUDE_5_5_HAIKU = CLAUDE_5_OPUS
CLAUDE_FABLE_5 = CLAUDE_4_8.but("always_reasons thinks_by_default")
CLAUDE_FABLE_5_1 = CLAUDE_FABLE_5.but("no_forced_tools")
CLAUDE_5_5_OPUS = CLAUDE_FABLE_5_1
CLAUDE_5_5_SONNET = CLAUDE_FABLE_5_1.but("thinking_between_tools")

# -- Google ----------------------------------------------------------------------------------------------------------

_GEMINI = PLAIN.but(
    "supports_json supports_json_schema supports_images supports_files supports_audio supports_video supports_tools"
    " supports_logprobs automatic_caching no_json_with_tools",
    context=1_048_576, max_output=65_536,
)
GEMINI_1_5 = _GEMINI.but(max_output=8_192)
GEMINI_2 = GEMINI_1_5
GEMINI_2_5_FLASH = _GEMINI.but(
    "reasoning budget_thinking thinking_disabled_ok thinks_by_default supports_flex supports_priority"
)
GEMINI_2_5_FLASH_LITE = GEMINI_2_5_FLASH.but("-thinks_by_default")
GEMINI_2_5_PRO = GEMINI_2_5_FLASH.but("always_reasons -thinking_disabled_ok")
GEMINI_3_PRO = _GEMINI.but(
    "reasoning always_reasons thinks_by_default thinking_levels thought_signatures supports_flex supports_priority"
    " own_sampling media_in_tool_results -no_json_with_tools",
    efforts="low medium high", default_effort="high",
)
GEMINI_3_FLASH = GEMINI_3_PRO.but(efforts="minimal low medium high", default_effort="high")
GEMINI_3_FLASH_LITE = GEMINI_3_FLASH.but(default_effort="minimal")
GEMINI_3_5_FLASH_LITE = GEMINI_3_FLASH_LITE.but("sampling_fixed")
GEMINI_3_6_FLASH = GEMINI_3_FLASH.but("sampling_fixed")
GEMINI_3_7_FLASH = GEMINI_3_6_FLASH.but(efforts="low medium high")
GEMINI_4 = GEMINI_3_7_FLASH.but(default_effort="medium")

# Claude's format, as hosts of other models speak it.
IN_CLAUDES_FORMAT = PLAIN.but("supports_tools reasoning budget_thinking thinking_disabled_ok no_seed")

# -- open weights, as most hosts serve them --------------------------------------------------------------------------

OPEN = PLAIN.but("supports_json supports_json_schema supports_tools")
OPEN_VISION = OPEN.but("supports_images")
OPEN_REASONING = OPEN.but("reasoning thinks_by_default")
OPEN_REASONING_VISION = OPEN_REASONING.but("supports_images")
