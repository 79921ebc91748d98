"""Every code block of README.md and docs/ runs: Python in one namespace per page, commands in the same directory.

A block behind ``<!-- not run: why -->`` is compiled only, and the flags of its ``deluge`` commands are checked.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import run

import deluge
from deluge.cli.arguments import parsed

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.M | re.S)
NOT_RUN = re.compile(r"<!--\s*not run: [^>]+-->\s*$")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    run: bool


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for match in FENCE.finditer(text):
        before = text[:match.start()]
        yield Block(page, before.count("\n") + 2, match[1], match[2], NOT_RUN.search(before) is None)


# A page takes seconds; what a newcomer reads first runs each time, the others where there is time for them.
FIRST = ("README.md", "quickstart.md", "client-basics.md")
RUN = [pytest.param(page, id=page.name, marks=() if page.name in FIRST else pytest.mark.slow) for page in PAGES]


@pytest.mark.parametrize("page", RUN)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shim = tmp_path / "bin" / "deluge"  # for a checkout that is not installed
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m deluge "$@"\n')
    shim.chmod(0o755)
    # One script per page: what a block defines is there for the next, and a failure shows the page's own lines.
    source = []
    for block in blocks(page):
        if not block.run:
            continue
        if block.language == "python":
            padded = f"{block.line - 1} * '\\n' + {block.text!r}"  # so that a traceback names the page's own line
            source.append(f"exec(compile({padded}, {str(page)!r}, 'exec'), page)")
        elif block.language == "bash":
            for command in commands(block):
                source.append(f"subprocess.run({command!r}, shell=True, check=True)")
    script = tmp_path / "page.py"
    first = f"import os, subprocess\nos.environ['PATH'] = {str(shim.parent)!r} + ':' + os.environ['PATH']"
    script.write_text("\n".join([first, "page = {'__name__': '__main__'}", *source, ""]))
    done = run(sys.executable, script, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def commands(block: Block) -> list[str]:
    """The lines of a bash block that are run: those that do not install anything or make an environment."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not re.match(r"\s*(#|python3? -m venv|pip |export )", line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_that_are_not_run_are_right_all_the_same(page: Path) -> None:
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if block.language == "python":
            check_python(ast.parse(block.text, where), where)
        elif block.language == "bash":
            for line in commands(block):
                words = shlex.split(line, comments=True)
                if words[:1] == ["deluge"] and not {"|", ">", "&&", ";"} & set(words):
                    check_command(words[1:], where)


def check_python(tree: ast.Module, where: str) -> None:
    """What is imported from deluge exists, and arguments of the client and its methods have these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "deluge":
            for alias in node.names:
                assert hasattr(deluge, alias.name), f"{where}: deluge has no {alias.name}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "LLMClient":
            check_arguments(node, deluge.LLMClient, where)
        if isinstance(node, ast.Call) and re.fullmatch(r"client\.\w+", ast.unparse(node.func)):
            assert isinstance(node.func, ast.Attribute)
            method = getattr(deluge.LLMClient, node.func.attr, None)
            assert method is not None, f"{where}: a client has no {node.func.attr}"
            check_arguments(node, method, where)


def check_arguments(call: ast.Call, function: object, where: str) -> None:
    known = inspect.signature(function).parameters  # type: ignore[arg-type]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for keyword in call.keywords:
        assert keyword.arg is None or keyword.arg in known, f"{where}: no argument {keyword.arg}"


def check_command(words: list[str], where: str) -> None:
    try:
        parsed(words)
    except SystemExit as end:
        assert end.code in (0, None), f"{where}: deluge {shlex.join(words)}"


def test_the_first_page_begins_with_the_environment_and_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    places = [text.index(words) for words in (
        "python3 -m venv",
        "    pip install -e . && deluge run examples/prompts.jsonl --model rehearsal-echo --output answers.jsonl\n",
        '    pip install -e ".[test]" && pytest\n', "OPENAI_API_KEY", "--base-url http://localhost:8000/v1",
        "from deluge import",
    )]
    assert places == sorted(places)
    block = next(block for block in blocks(ROOT / "README.md") if block.language == "python")
    assert len([line for line in block.text.splitlines() if line.strip()]) <= 8
