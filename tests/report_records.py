"""Records, hostile texts and a strict reader, for the tests of the report."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from deluge.record import RECORD_KEYS

VOID = {"meta", "br", "img", "input", "link", "hr"}
TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "p", "div", "b", "span", "section", "svg",
    "g", "rect", "line", "text", "ul", "li", "i", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre",
}
HOSTILE = (
    "<script>document.title='owned'</script>", "\"><img src=x onerror=\"document.title='owned'\">",
    "</pre></title></style><script>document.title='owned'</script>", "' onmouseover='x", "<!--", "]]>", "&lt;b&gt;",
    "javascript:document.title=1", "\u202eevil\x00\x1b[31m", "{{7*7}}${7*7}<%= 7 %>",
)


def made(index: int = 0, **changes: Any) -> dict[str, Any]:
    """A record as a run writes it."""
    base: dict[str, Any] = dict.fromkeys(RECORD_KEYS)
    base.update(
        v=1, index=index, prompt=f"question {index}", completion="yes", finish_reason="stop", is_error=False, status_code=200,
        model="gpt-4.1-mini", provider="openai", input_tokens=10, cache_read_tokens=0, cache_write_tokens=0, output_tokens=20,
        reasoning_tokens=0, cost=0.001, attempts=1, models_tried=["gpt-4.1-mini"], possibly_billed=False, source="api",
        started_at=1_700_000_000.0 + index, finished_at=1_700_000_001.0 + index, latency=1.0, queued=0.1,
    )
    return {**base, **changes}


def written(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


class Page(HTMLParser):
    """Every tag, attribute and text of a page; unbalanced tags fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
