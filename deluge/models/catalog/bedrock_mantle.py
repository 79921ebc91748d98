"""Amazon Bedrock's newer endpoint: Claude in Anthropic's own format, OpenAI's models in theirs.

https://platform.claude.com/docs/en/build-with-claude/claude-in-amazon-bedrock; what it costs is not listed apart.
"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Model, Provider
from deluge.models.rows import Family, rows_of

PROVIDER = Provider(
    "bedrock-mantle", "https://bedrock-mantle.{region}.api.aws/anthropic/v1", "anthropic",
    key_env=("AWS_BEARER_TOKEN_BEDROCK", "AWS_BEDROCK_API_KEY", "BEDROCK_API_KEY"), flags=frozenset({"sigv4", "dated_api"}),
    url_env={"region": "AWS_REGION AWS_DEFAULT_REGION"}, url_defaults={"region": "us-east-1"}, key_optional=True,
    service_tiers=("auto", "standard_only"), aliases=("mantle",),
)
UNLISTED = f.CLAUDE_5_OPUS
row = rows_of(PROVIDER)
_OPENAI_URL = "https://bedrock-mantle.{region}.api.aws/openai/v1"


def _claude(id: str, name: str, family: Family) -> Model:
    return row(f"{id}-mantle", f"anthropic.{name}", family)


def _gpt(id: str, family: Family) -> Model:
    family = family.but("-native_mcp -supports_background -supports_flex -supports_priority")
    return row(f"{id}-mantle", f"openai.{id}", family, dialect="openai_chat", base_url=_OPENAI_URL)


MODELS = (
    _claude("claude-fable-5.2", "claude-fable-5-2", f.CLAUDE_FABLE_5_1),
    _claude("claude-mythos-5.2", "claude-mythos-5-2", f.CLAUDE_FABLE_5_1),
    _claude("claude-5.5-opus", "claude-opus-5-5", f.CLAUDE_5_5_OPUS),
    _claude("claude-5.5-sonnet", "claude-sonnet-5-5", f.CLAUDE_5_5_SONNET),
    _claude("claude-5.5-haiku", "claude-haiku-5-5", f.CLAUDE_5_5_HAIKU),
    _claude("claude-5-opus", "claude-opus-5", f.CLAUDE_5_OPUS),
    _claude("claude-5-sonnet", "claude-sonnet-5", f.CLAUDE_5_SONNET),
    _claude("claude-4.8-opus", "claude-opus-4-8", f.CLAUDE_4_8),
    _claude("claude-4.7-opus", "claude-opus-4-7", f.CLAUDE_4_7),
    _claude("claude-4.5-haiku", "claude-haiku-4-5", f.CLAUDE_4_5),
    _gpt("gpt-6.1-sol", f.GPT_6_ALWAYS), _gpt("gpt-6-astra", f.GPT_6_ALWAYS), _gpt("gpt-6-sol", f.GPT_6),
    _gpt("gpt-6-luna", f.GPT_6), _gpt("gpt-5.6-sol", f.GPT_5_6), _gpt("gpt-5.6-terra", f.GPT_5_6),
    _gpt("gpt-5.6-luna", f.GPT_5_6), _gpt("gpt-oss-120b", f.GPT_OSS), _gpt("gpt-oss-20b", f.GPT_OSS),
)
