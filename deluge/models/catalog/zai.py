"""Z.ai (GLM): https://docs.z.ai"""

from __future__ import annotations

from deluge.models import families as f
from deluge.models.model import Provider
from deluge.models.rows import PLAIN, rows_of

PROVIDER = Provider(
    "zai", "https://api.z.ai/api/paas/v4", key_env=("ZAI_API_KEY",), flags=frozenset({"uses_max_tokens"}),
    aliases=("z-ai", "z.ai"),
)
row = rows_of(PROVIDER)
_GLM = PLAIN.but(
    "supports_json supports_tools reasoning thinks_by_default thinking_switch thinking_disabled_ok",
)
_GLM_5_3 = _GLM.but(
    "always_reasons -thinking_switch -thinking_disabled_ok",
    efforts="low high max", default_effort="max", context=1_000_000, max_output=131_072,
)
# https://docs.z.ai/devpack/tool/claude: the same models in Anthropic's format
_ANTHROPIC = "https://api.z.ai/api/anthropic/v1"
_MESSAGES = f.IN_CLAUDES_FORMAT.but("thinks_by_default")
_5_3_MESSAGES = _MESSAGES.but("always_reasons -thinking_disabled_ok", context=1_000_000, max_output=131_072)
MODELS = (
    row("glm-5.3", "", _GLM_5_3, 1.4, 4.4),
    row("glm-5.3-flash", "", _GLM_5_3, 0.15, 0.5, flags="supports_images"),
    row("glm-4.7", "", _GLM, 0.6, 2.2),
    row("glm-4.7-flash", "", _GLM, 0.6, 2.2),
    row("glm-4.6", "", _GLM, 0.6, 2.2),
    row("glm-4.5", "", _GLM, 0.6, 2.2),
    row("glm-4.5-air", "", _GLM, 0.6, 2.2),
    row("glm-5.3-anthropic-compat", "glm-5.3", _5_3_MESSAGES, 1.4, 4.4, dialect="anthropic", base_url=_ANTHROPIC),
    row("glm-5.3-flash-anthropic-compat", "glm-5.3-flash", _5_3_MESSAGES, 0.15, 0.5, flags="supports_images",
        dialect="anthropic", base_url=_ANTHROPIC),
    row("glm-4.7-anthropic-compat", "glm-4.7", _MESSAGES, 0.6, 2.2, dialect="anthropic", base_url=_ANTHROPIC),
)
