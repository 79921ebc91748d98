"""The typing test is checked by mypy where the wheel is tested; here it names everything that is public."""

from __future__ import annotations

import ast
from pathlib import Path

import deluge

API = Path(__file__).parent / "typing" / "api.py"


def test_every_public_name_is_typed_by_the_typing_test() -> None:
    tree = ast.parse(API.read_text("utf-8"))
    imported = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "deluge"
        for alias in node.names
    }
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert imported | {"__version__"} == set(deluge.__all__)
    assert imported <= used


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(deluge.__file__).parent / "py.typed").exists()
