"""Where Cohere's own API is, beside its compatible endpoint."""

from __future__ import annotations

from dataclasses import replace

from deluge.dialects._headers import address
from deluge.request import RequestTemplate

_ENDS = ("/compatibility/v1", "/v1", "/v2")


def cohere_url(template: RequestTemplate, path: str) -> str:
    """The address of a path of version 2, on the host and below the prefix of ``base_url``."""
    base, mark, query = template.base_url.partition("?")
    base = base.rstrip("/")
    end = next((end for end in _ENDS if base.endswith(end)), "")
    return address(replace(template, base_url=base.removesuffix(end) + "/v2" + mark + query), path)
