"""The house rules that can be counted: short functions and files, docstrings, no prints, no stubs, stable names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "deluge"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {file: ast.parse(file.read_text("utf-8")) for file in FILES}
PUBLIC_NAMES = Path(__file__).parent / "public_names.txt"

FUNCTION_LINES, BRANCHES, FILE_LINES = 40, 10, 400
PRINTERS = ("progress/", "cli/", "streaming", "prompt/show")
FORBIDDEN_WORDS = ("utils", "helper", "manager")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def path_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def branches(function: Function) -> int:
    """Places where the way through a function forks; those of functions inside it are their own."""
    count = 0
    todo: list[ast.AST] = list(ast.iter_child_nodes(function))
    while todo:
        node = todo.pop()
        if isinstance(node, (*Function.__args__, ast.Lambda, ast.ClassDef)):  # type: ignore[attr-defined]
            continue
        count += isinstance(node, (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.match_case, ast.AsyncFor))
        todo.extend(ast.iter_child_nodes(node))
    return count


@pytest.mark.parametrize("file", FILES, ids=path_of)
def test_functions_are_short(file: Path) -> None:
    long = [
        f"{path_of(file)}:{node.lineno} {node.name}: {lines} lines, {branches(node)} branches"
        for node in functions(TREES[file])
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES or branches(node) > BRANCHES
    ]
    assert long == []


def test_files_are_short() -> None:
    lines = {path_of(file): file.read_text("utf-8").count("\n") for file in FILES}
    assert {path: n for path, n in lines.items() if n > FILE_LINES and not path.startswith("models/catalog/")} == {}


def test_nothing_prints_but_displays_streams_and_the_command_line() -> None:
    printing = [
        f"{path_of(file)}:{node.lineno}" for file in FILES if not path_of(file).startswith(PRINTERS)
        for node in ast.walk(TREES[file])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


def test_nothing_is_left_unfinished() -> None:
    stubs = [
        f"{path_of(file)}:{node.lineno}" for file in FILES for node in ast.walk(TREES[file])
        if isinstance(node, ast.Name) and node.id == "NotImplementedError"
    ]
    marks = [
        f"{path_of(file)}:{number}" for file in FILES
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if any(mark in line for mark in ("TO" "DO", "FIX" "ME", "X" "XX"))
    ]
    assert stubs == [] and marks == []


def test_what_is_public_has_a_docstring() -> None:
    silent = []
    for file in FILES:
        tree = TREES[file]
        if ast.get_docstring(tree) is None and file.name != "_version.py" and tree.body:
            silent.append(path_of(file))
        silent += [f"{path_of(file)}:{node.lineno} {node.name}" for node in public(tree) if not ast.get_docstring(node)]
    assert silent == []


def public(tree: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | Function]:
    """Classes and functions of a module or class whose names have no underscore before them, and those inside them."""
    for node in tree.body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or node.name.startswith("_"):
            continue
        words = {ast.unparse(decorator) for decorator in node.decorator_list}
        if "overload" in words or any(word.endswith(".setter") for word in words):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from public(node)


def test_names_say_what_things_are() -> None:
    bad = [path_of(file) for file in FILES if any(word in path_of(file) for word in FORBIDDEN_WORDS)]
    bad += [
        f"{path_of(file)}:{node.lineno} {node.name}" for file in FILES for node in functions(TREES[file])
        if node.name.lstrip("_").startswith(("handle_", "do_")) or any(word in node.name for word in FORBIDDEN_WORDS)
    ]
    assert [name for name in bad if not name.endswith(("do_GET", "do_POST"))] == []


def test_public_names_are_those_of_the_snapshot() -> None:
    import deluge

    assert sorted(deluge.__all__) == list(deluge.__all__), "__all__ is sorted"
    assert list(deluge.__all__) == PUBLIC_NAMES.read_text("utf-8").split()
    for name in deluge.__all__:
        assert getattr(deluge, name) is not None
    assert set(deluge.__all__) <= set(dir(deluge))
