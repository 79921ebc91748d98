"""Claude Platform on AWS, run by Anthropic and paid through AWS: https://platform.claude.com/docs (Claude Platform on AWS).

Models have Anthropic's own names: ``claude-aws:claude-opus-5-5``. The workspace goes along as
``extra_headers={"anthropic-workspace-id": …}``.
"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Model, Provider

PROVIDER = Provider(
    "claude-aws", "https://aws-external-anthropic.{region}.api.aws/v1", "anthropic", key_env=("ANTHROPIC_AWS_API_KEY",),
    key_header="x-api-key", flags=frozenset({"sigv4", "dated_api", "native_mcp"}),
    url_env={"region": "AWS_REGION AWS_DEFAULT_REGION"}, url_defaults={"region": "us-east-1"}, key_optional=True,
    service_tiers=("auto", "standard_only"),
)
UNLISTED = f.CLAUDE_5_OPUS
MODELS: tuple[Model, ...] = ()
