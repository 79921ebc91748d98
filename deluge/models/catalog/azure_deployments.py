"""Azure OpenAI by deployment and API version, for resources without the v1 path: name models by their deployment."""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Model, Provider

PROVIDER = Provider(
    "azure-deployments", "{endpoint}/openai/deployments/{model}", key_env=("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
    key_header="api-key", url_env={"endpoint": "AZURE_OPENAI_ENDPOINT AZURE_ENDPOINT AZURE_URL"},
    query={"api-version": "2024-10-21"}, service_tiers=("auto", "default", "priority"),
)
UNLISTED = f.UNLISTED.but("-supports_responses -supports_background")  # a deployment's path has chat completions only
MODELS: tuple[Model, ...] = ()
