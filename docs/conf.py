"""Sphinx: MyST pages, furo, the reference from docstrings. ``sphinx-build -W -n -b html docs OUT`` from the root."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import deluge  # noqa: E402

project = "deluge"
author = "the deluge authors"
copyright = "the deluge authors, MIT licence"
release = version = deluge.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"deluge {release}"
html_show_sourcelink = False

autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

nitpicky = True
nitpick_ignore = [
    ("py:class", "deluge.wire.Verdict"),  # the private field of a response
    ("py:class", "deluge.summary.Settings"), ("py:class", "Settings"),  # two ready-made ones are named where they are needed
    ("py:class", "Source"), ("py:class", "Content"),  # unions that the docstrings spell out
    ("py:class", "deluge.journal.recorder.Recorder"), ("py:class", "deluge.handles.T"),
    ("py:class", "deluge.mcp.session.Session"), ("py:class", "deluge.testing.batch_store.BatchStore"),
    ("py:class", "tuple[str"),  # Sphinx cuts the type of a class attribute, tuple[str, ...], in two
]
# No inventory of other projects is fetched, so that the build needs no network: their names stay plain text.
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|concurrent|datetime|os|pathlib|threading|types|typing|typing_extensions|tenacity)\..*"),
    (r"py:.*", r"(bool|bytes|dict|float|int|list|object|str|tuple|type|Any|Literal|Path|Self|Unpack)"),
    (r"py:.*", r"(BaseException|Exception|KeyboardInterrupt|KeyError|RuntimeError|TimeoutError|TypeError|ValueError)"),
]


def _public(app, env, node, content):  # type: ignore[no-untyped-def]
    """A link to ``deluge.room.Name`` leads to where the reference has it, under its public name."""
    name = node.get("reftarget", "").rpartition(".")[2]
    home = "deluge.testing" if name in _TESTING else "deluge"
    if node.get("refdomain") != "py" or (name not in deluge.__all__ and name not in _TESTING):
        return None
    if node["reftarget"] == f"{home}.{name}":
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", f"{home}.{name}", node, content)


_TESTING = frozenset({"Fault", "Latency", "Profile", "RateLimits", "RehearsalServer", "Request", "Seen"})


def setup(app):  # type: ignore[no-untyped-def]
    """Called by Sphinx."""
    app.connect("missing-reference", _public)
