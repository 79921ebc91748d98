"""The tables in docs/ that follow from the code say what the code says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "tables.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_a_page_follow_from_the_code(page: Path, tables: dict[str, Any]) -> None:
    text = page.read_text("utf-8")
    assert tables["renewed"](text) == text, "run: python docs/tables.py"


def test_every_table_is_on_a_page(tables: dict[str, Any]) -> None:
    there = re.findall(r"<!-- table: ([\w-]+)", "".join(page.read_text("utf-8") for page in PAGES))
    assert sorted(there) == sorted(tables["TABLES"])


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    listed = " ".join(re.findall(r"```\{toctree\}.*?\n\n(.*?)```", index, re.S))
    assert sorted(listed.split()) == sorted(page.stem for page in PAGES if page.stem != "index")


def test_every_public_name_is_in_the_reference() -> None:
    import deluge
    import deluge.testing

    text = (DOCS / "api.md").read_text("utf-8")
    for module in (deluge, deluge.testing):
        for name in module.__all__:
            if name not in ("__version__", "PROFILES", "rehearsal"):
                assert re.search(rf"auto\w+:: {name}\b", text, re.M), f"docs/api.md lacks {name}"
