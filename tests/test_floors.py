"""The floor plan: imports go down only, and what touches the world is kept in its rooms."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "deluge"

# Path below deluge/ (a folder stands for all that is in it, the longest wins) -> floor.
FLOORS = {
    # 7 facade
    "__init__": 7, "__main__": 7, "client": 7, "cli": 7, "testing": 7,
    # 6 features
    "asking": 6, "agent": 6, "streaming": 6, "batches": 6, "embed": 6, "rerank": 6, "packing": 2, "apart": 5, "report": 6,
    # 5 engine
    "engine": 5, "scheduler": 5, "admission": 5, "routing": 5, "spreading": 5, "lanes": 5, "tasks": 5, "limits": 5, "retry": 5,
    "router": 5, "tracker": 5, "handles": 5, "courier": 5, "worker": 5,
    "calls": 5, "summary": 5, "plan": 5, "rowplan": 5, "endpoints": 5, "lifecycle": 5, "crew": 5, "lobby": 5,
    "readings": 5, "journaling": 5, "stepping": 5, "landing": 5, "surroundings": 5, "showing": 5, "waiting": 5,
    "fetching": 5, "leasing": 5, "sharing": 5, "budget": 5, "spending": 5, "estimates": 5,
    "duration": 5, "experience": 5, "options": 5, "lookup": 5,
    # 4 edges
    "transport": 4, "caches": 4, "progress": 4, "mcp": 4, "journal": 4, "quota": 4, "worklist": 4, "coroutines": 4,
    # 3 dialects
    "dialects": 3,
    # 2 request
    "request": 2, "response": 2, "record": 2, "status": 2, "models": 2, "config": 2, "_rowform": 2, "private": 2,
    # 1 content
    "prompt": 1, "tools": 1,
    # 0 words
    "errors": 0, "adaptation": 0, "params": 0, "usage": 0, "wire": 0, "_sse": 0, "_eventstream": 0, "_json": 0, "_plugins": 0,
    "_env": 0, "_log": 0, "_urls": 0,
    "_retry_after": 0, "_version": 0,
}

THREADED = (
    "client", "asking", "engine", "stepping", "leasing", "lifecycle", "crew", "lobby", "readings", "fetching", "courier",
    "calls", "plan", "lookup", "showing", "handles", "caches", "quota", "agent", "mcp", "progress", "testing", "cli",
    "journal",
)
# Module -> the rooms that may import it.
FENCES = {
    "requests": ("transport", "mcp"),
    "urllib3": ("transport", "mcp"),
    "threading": (*THREADED, "transport", "coroutines"),
    "queue": (*THREADED, "streaming"),
    "concurrent": THREADED,
    "multiprocessing": (),
    "subprocess": ("mcp",),
    "socket": ("transport", "testing"),
    "ssl": ("transport", "testing"),
    "signal": ("cli",),
    "asyncio": ("handles", "waiting", "coroutines"),
    "tenacity": ("retry",),
    "pyrate_limiter": ("limits", "quota"),
    "tqdm": ("progress/tqdm",),
    "rich": ("progress/rich",),
    "yaml": ("config",),
    "argparse": ("cli",),
}
PURE = ("dialects", "record", "private", "_rowform", "request", "response", "prompt", "params", "usage", "wire", "errors")
IMPURE = {"socket", "time", "threading", "random", "requests", "urllib3", "subprocess"}


def modules() -> list[tuple[str, ast.Module]]:
    """Every file of the package as its path without suffix, and its tree."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).with_suffix("").as_posix()
        found.append((name.removesuffix("/__init__"), ast.parse(file.read_text("utf-8"))))
    return found


MODULES = modules()
NAMES = {name for name, _ in MODULES}


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(room + "/")


def floor_of(name: str) -> int | None:
    rooms = [room for room in FLOORS if within(name, room)]
    return FLOORS[max(rooms, key=len)] if rooms else None


@cache
def imported(tree: ast.Module) -> list[tuple[int, str]]:
    """Line and dotted name of every import, wherever it stands: in functions and under TYPE_CHECKING too."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            module = node.module or ""
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                found.append((node.lineno, inner if inner.removeprefix("deluge.").replace(".", "/") in NAMES else module))
    return found


def test_every_module_has_a_floor() -> None:
    assert [name for name, _ in MODULES if floor_of(name) is None] == []


@pytest.mark.parametrize("name, tree", MODULES, ids=[name for name, _ in MODULES])
def test_imports_go_down_only(name: str, tree: ast.Module) -> None:
    upwards = []
    for line, target in imported(tree):
        if target == "deluge":
            continue  # the package itself: __init__ loads the facade when a name of it is asked for
        if target.startswith("deluge."):
            room = target.removeprefix("deluge.").replace(".", "/")
            below, above = floor_of(name), floor_of(room)
            assert above is not None and below is not None, f"{name}:{line} imports {target}, which has no floor"
            if above > below:
                upwards.append(f"{name}:{line} (floor {below}) imports {target} (floor {above})")
    assert upwards == []


@pytest.mark.parametrize("name, tree", MODULES, ids=[name for name, _ in MODULES])
def test_only_the_facade_imports_the_package_itself(name: str, tree: ast.Module) -> None:
    lines = [line for line, target in imported(tree) if target == "deluge"]
    assert lines == [] or floor_of(name) == 7


@pytest.mark.parametrize("fence", FENCES)
def test_fences(fence: str) -> None:
    outside = [
        f"{name}:{line}" for name, tree in MODULES for line, target in imported(tree)
        if target.split(".")[0] == fence and not any(within(name, room) for room in FENCES[fence])
    ]
    assert outside == [], f"{fence} belongs to {FENCES[fence]}"


@pytest.mark.parametrize("name, tree", [item for item in MODULES if any(within(item[0], room) for room in PURE)])
def test_pure_rooms_touch_nothing(name: str, tree: ast.Module) -> None:
    assert [f"{name}:{line} {target}" for line, target in imported(tree) if target.split(".")[0] in IMPURE] == []


def test_the_environment_is_read_in_one_place() -> None:
    readers = {
        name for name, tree in MODULES for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"))
        or (isinstance(node, ast.ImportFrom) and node.module == "os")
    }
    assert readers <= {"_env"}


def test_there_is_one_dynamic_import() -> None:
    importers = {name for name, tree in MODULES for _, target in imported(tree) if target.split(".")[0] == "importlib"}
    callers = {
        name for name, tree in MODULES for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        and node.func.id in ("__import__", "import_module", "exec", "eval")
    }
    assert importers <= {"_plugins"} and callers <= {"_plugins"}


def test_a_room_is_imported_late_by_nobody_but_itself() -> None:
    deferred = [
        f"{name}:{node.lineno} {node.module}" for name, tree in MODULES if floor_of(name) != 7
        for function in ast.walk(tree) if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function) if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deluge")
        and (node.module or "").split(".")[1:2] != [name.split("/")[0]]
    ]
    assert deferred == [], "an import inside a function hides a knot; only a room's own parts may come late"
