"""AWS Bedrock: Claude and Nova through Converse, OpenAI's models through its OpenAI-compatible endpoint.

https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html; ``regions`` are those that may be asked.
"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Model, Provider
from deluge.models.rows import PLAIN, Family, rows_of

PROVIDER = Provider(
    "bedrock", "https://bedrock-runtime.{region}.amazonaws.com", "bedrock",
    key_env=("AWS_BEARER_TOKEN_BEDROCK", "AWS_BEDROCK_API_KEY", "BEDROCK_API_KEY"),
    flags=frozenset({"sigv4", "reserves_max_tokens", "cached_input_free"}),
    url_env={"region": "AWS_REGION AWS_DEFAULT_REGION"}, url_defaults={"region": "us-east-1"}, key_optional=True,
    service_tiers=("default", "priority", "flex", "reserved"), aliases=("aws",),
)
row = rows_of(PROVIDER)

_US_3 = ("us-east-1", "us-east-2", "us-west-2")
_US_4 = ("us-east-1", "us-east-2", "us-west-1", "us-west-2")
_US_CA = ("ca-central-1", *_US_4)
_US_CA_WEST = ("ca-central-1", "ca-west-1", *_US_4)
_WORLD_2025 = (
    "af-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1",
    "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ca-central-1", "eu-central-1", "eu-central-2", "eu-north-1",
    "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-south-1", "sa-east-1",
    *_US_4,
)
_WORLD_NO_ME = (
    *(region for region in _WORLD_2025 if region != "me-south-1"),
    "ap-east-2", "ap-southeast-5", "ap-southeast-7", "ca-west-1", "mx-central-1",
)
_WORLD = (*_WORLD_NO_ME, "me-south-1")
_WORLD_OPENAI = (
    *(region for region in _WORLD if region != "mx-central-1"), "ap-southeast-6", "me-central-1",
)
_OPENAI_URL = "https://bedrock-runtime.{region}.amazonaws.com/openai/v1"


def _claude(
    id: str, name: str, family: Family, *prices: float, aliases: str = "",
    us: tuple[str, ...] = _US_CA_WEST, world: tuple[str, ...] = _WORLD_NO_ME,
) -> tuple[Model, Model]:
    """The row for the US profile and the one for the global profile."""
    words, family = aliases.split(), family.but("anthropic_fields")
    return (
        row(f"{id}-bedrock", f"us.anthropic.{name}", family, *prices, regions=us,
            aliases=" ".join(f"{word}-bedrock" for word in words)),
        row(f"{id}-bedrock-global", f"global.anthropic.{name}", family, *prices, regions=world,
            aliases=" ".join(f"{word}-bedrock-global" for word in words)),
    )


def _gpt(id: str, family: Family, *prices: float, aliases: str = "") -> tuple[Model, Model]:
    """The row for the US profile, which costs a tenth more, and the one for the global profile."""
    family = family.but("-native_mcp -supports_background")
    dearer = [round(price * 1.1, 6) for price in prices]
    return (
        row(f"{id}-bedrock", f"us.openai.{id}", family, *dearer, regions=_US_4, aliases=aliases, dialect="openai_chat",
            base_url=_OPENAI_URL),
        row(f"{id}-bedrock-global", f"global.openai.{id}", family, *prices, regions=_WORLD_OPENAI,
            dialect="openai_chat",
            base_url=_OPENAI_URL),
    )


# Served without the hour that later models keep what they cache.
_OLD_CLAUDE = "anthropic_fields no_hour_caching"
_NOVA = PLAIN.but(
    "no_seed supports_images supports_files supports_video supports_tools supports_prompt_caching no_tool_caching"
    " no_hour_caching", max_output=5_000,
)

MODELS = (
    *_claude("claude-fable-5.1", "claude-fable-5-1", f.CLAUDE_FABLE_5_1, 10.0, 50.0, 0.25, 12.5,
             aliases="claude-fable-5-1 claude-5.1-fable claude-5-1-fable"),
    *_claude("claude-fable-5", "claude-fable-5", f.CLAUDE_FABLE_5, 10.0, 50.0),
    *_claude("claude-5.5-opus", "claude-opus-5-5", f.CLAUDE_5_5_OPUS, 4.0, 20.0, 0.2, 5.0,
             aliases="claude-opus-5-5 claude-opus-5.5"),
    *_claude("claude-5.5-sonnet", "claude-sonnet-5-5", f.CLAUDE_5_5_SONNET, 2.0, 10.0, 0.1, 2.5,
             aliases="claude-sonnet-5-5 claude-sonnet-5.5"),
    *_claude("claude-5.5-haiku", "claude-haiku-5-5", f.CLAUDE_5_5_HAIKU, 0.1, 0.5, 0.01, 0.125,
             aliases="claude-haiku-5-5 claude-haiku-5.5"),
    *_claude("claude-5-opus", "claude-opus-5", f.CLAUDE_5_OPUS, 5.0, 25.0),
    *_claude("claude-5-sonnet", "claude-sonnet-5", f.CLAUDE_5_SONNET, 2.0, 10.0, 0.2, 2.5),
    *_claude("claude-4.8-opus", "claude-opus-4-8", f.CLAUDE_4_8, 5.0, 25.0),
    *_claude("claude-4.7-opus", "claude-opus-4-7", f.CLAUDE_4_7, 5.0, 25.0, us=_US_3),
    *_claude("claude-4.6-opus", "claude-opus-4-6-v1", f.CLAUDE_4_6, 5.0, 25.0, world=_WORLD),
    *_claude("claude-4.6-sonnet", "claude-sonnet-4-6", f.CLAUDE_4_6, 3.0, 15.0, world=_WORLD),
    *_claude("claude-4.5-opus", "claude-opus-4-5-20251101-v1:0", f.CLAUDE_4_5_OPUS, 5.0, 25.0, us=_US_CA,
             world=_WORLD_2025),
    *_claude("claude-4.5-sonnet", "claude-sonnet-4-5-20250929-v1:0", f.CLAUDE_4_5, 3.0, 15.0, us=_US_CA,
             world=_WORLD_2025),
    *_claude("claude-4.5-haiku", "claude-haiku-4-5-20251001-v1:0", f.CLAUDE_4_5, 1.0, 5.0, us=_US_CA,
             world=_WORLD_2025),
    row("claude-4.1-opus-bedrock", "us.anthropic.claude-opus-4-1-20250805-v1:0", f.CLAUDE_4_1_OPUS, 15.0, 75.0,
        regions=_US_3, flags=_OLD_CLAUDE + " -supports_json_schema -supports_strict_tools"),
    *_claude("claude-4-sonnet", "claude-sonnet-4-20250514-v1:0", f.CLAUDE_4_SONNET.but("no_hour_caching"), 3.0, 15.0,
             us=_US_4, world=("ap-northeast-1", "eu-west-1", *_US_3)),
    row("claude-3-haiku-bedrock", "us.anthropic.claude-3-haiku-20240307-v1:0", f.CLAUDE_3, 0.25, 1.25,
        regions=("us-east-1", "us-west-2"), flags=_OLD_CLAUDE),
    *_gpt("gpt-6.1-sol", f.GPT_6_ALWAYS, 2.0, 10.0, 0.1, 2.5, aliases="gpt-6.1-bedrock"),
    *_gpt("gpt-6-astra", f.GPT_6_ALWAYS, 10.0, 50.0, 1.0, 12.5),
    *_gpt("gpt-6-sol", f.GPT_6, 2.0, 10.0, 0.2, 2.5, aliases="gpt-6-bedrock"),
    *_gpt("gpt-6-luna", f.GPT_6, 0.1, 0.5, 0.01, 0.125),
    _gpt("gpt-5.6-sol", f.GPT_5_6, 4.0, 20.0, 0.4, 5.0, aliases="gpt-5.6-bedrock")[0],
    _gpt("gpt-5.6-terra", f.GPT_5_6, 2.0, 12.0, 0.2, 2.5)[0],
    _gpt("gpt-5.6-luna", f.GPT_5_6, 0.2, 1.2, 0.02, 0.25)[0],
    row("gpt-oss-120b-bedrock", "openai.gpt-oss-120b-1:0", f.GPT_OSS, regions=("us-west-2",), dialect="openai_chat",
        base_url=_OPENAI_URL),
    row("gpt-oss-20b-bedrock", "openai.gpt-oss-20b-1:0", f.GPT_OSS, regions=("us-west-2",), dialect="openai_chat",
        base_url=_OPENAI_URL),
    row("nova-pro", "us.amazon.nova-pro-v1:0", _NOVA, 0.8, 3.2, regions=_US_3, context=300_000,
        flags="supports_flex supports_priority", tiers={"flex": 0.5, "priority": 1.75}),
    row("nova-lite", "us.amazon.nova-lite-v1:0", _NOVA, 0.06, 0.24, regions=_US_3, context=300_000),
    row("nova-micro", "us.amazon.nova-micro-v1:0", _NOVA, 0.035, 0.14, regions=_US_3, context=128_000,
        flags="-supports_images -supports_files -supports_video"),
)
