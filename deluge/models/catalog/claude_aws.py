"""Claude Platform on AWS, run by Anthropic and paid through AWS: https://platform.claude.com/docs (Claude Platform on AWS).

Models have Anthropic's own names: ``claude-aws:claude-opus-5-5``. The workspace goes along as
``extra_headers={"anthropic-workspace-id": …}``. What it costs is not listed apart.
"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import rows_of

PROVIDER = Provider(
    "claude-aws", "https://aws-external-anthropic.{region}.api.aws/v1", "anthropic", key_env=("ANTHROPIC_AWS_API_KEY",),
    key_header="x-api-key", flags=frozenset({"sigv4", "dated_api", "native_mcp"}),
    url_env={"region": "AWS_REGION AWS_DEFAULT_REGION"}, url_defaults={"region": "us-east-1"}, key_optional=True,
    service_tiers=("auto", "standard_only"),
)
UNLISTED = f.CLAUDE_5_OPUS
row = rows_of(PROVIDER)
MODELS = (
    row("claude-fable-5.2-aws", "claude-fable-5-2", f.CLAUDE_FABLE_5_1),
    row("claude-mythos-5.2-aws", "claude-mythos-5-2", f.CLAUDE_FABLE_5_1),
    row("claude-5.5-opus-aws", "claude-opus-5-5", f.CLAUDE_5_5_OPUS, flags="supports_fast"),
    row("claude-5.5-sonnet-aws", "claude-sonnet-5-5", f.CLAUDE_5_5_SONNET),
    row("claude-5.5-haiku-aws", "claude-haiku-5-5", f.CLAUDE_5_5_HAIKU),
    row("claude-5-opus-aws", "claude-opus-5", f.CLAUDE_5_OPUS, flags="supports_fast"),
    row("claude-5-sonnet-aws", "claude-sonnet-5", f.CLAUDE_5_SONNET),
    row("claude-4.6-sonnet-aws", "claude-sonnet-4-6", f.CLAUDE_4_6),
    row("claude-4.5-haiku-aws", "claude-haiku-4-5-20251001", f.CLAUDE_4_5, aliases="claude-haiku-4-5-aws"),
)
