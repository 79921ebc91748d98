"""Claude in Microsoft Foundry, by the usual name of its deployment; it costs what it costs at Anthropic.

https://platform.claude.com/docs/en/build-with-claude/claude-in-microsoft-foundry
"""

from __future__ import annotations

from dataclasses import replace

from deluge.models import families as f
from deluge.models.model import Model, Provider
from deluge.models.rows import Family, rows_of

PROVIDER = Provider(
    "foundry", "https://{resource}.services.ai.azure.com/anthropic/v1", "anthropic",
    key_env=("ANTHROPIC_FOUNDRY_API_KEY", "AZURE_API_KEY"), key_header="x-api-key", flags=frozenset({"dated_api"}),
    url_env={"resource": "ANTHROPIC_FOUNDRY_RESOURCE AZURE_RESOURCE"}, service_tiers=("auto", "standard_only"),
    aliases=("azure-anthropic",),
)
UNLISTED = f.CLAUDE_5_OPUS
row = rows_of(PROVIDER)


def _claude(id: str, name: str, family: Family, *dollars: float) -> Model:
    made = row(f"{id}-foundry", name, family, *dollars)
    return replace(made, price=replace(made.price, cache_write_1h=2 * dollars[0]))  # an hour costs twice the input


MODELS = (
    _claude("claude-fable-5.2", "claude-fable-5-2", f.CLAUDE_FABLE_5_1, 8.0, 40.0, 0.2, 10.0),
    _claude("claude-fable-5.1", "claude-fable-5-1", f.CLAUDE_FABLE_5_1, 10.0, 50.0, 0.25, 12.5),
    _claude("claude-5.5-opus", "claude-opus-5-5", f.CLAUDE_5_5_OPUS, 4.0, 20.0, 0.2, 5.0),
    _claude("claude-5.5-sonnet", "claude-sonnet-5-5", f.CLAUDE_5_5_SONNET, 2.0, 10.0, 0.1, 2.5),
    row("claude-5.5-haiku-foundry", "claude-haiku-5-5", f.CLAUDE_5_5_HAIKU),  # dearer for long prompts: not priced here
    _claude("claude-5-opus", "claude-opus-5", f.CLAUDE_5_OPUS, 5.0, 25.0, 0.5, 6.25),
    _claude("claude-5-sonnet", "claude-sonnet-5", f.CLAUDE_5_SONNET, 2.0, 10.0, 0.2, 2.5),
    _claude("claude-4.8-opus", "claude-opus-4-8", f.CLAUDE_4_8, 5.0, 25.0, 0.5, 6.25),
    _claude("claude-4.5-haiku", "claude-haiku-4-5", f.CLAUDE_4_5, 1.0, 5.0, 0.1, 1.25),
)
