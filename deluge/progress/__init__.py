"""Showing a run while it goes on. Displays only read snapshots, and only standard error is written to.

A new display is one new file here that ends in ``DISPLAY = factory``, or a factory that is registered under a name
(``_plugins.register("progress", name, factory)``). ``factory()`` gives a ``Display``; with a true ``needs_terminal``
it is used only where lines can be drawn.
"""

from deluge.progress._display import Display, display
from deluge.progress._ticker import Ticker

__all__ = ["Display", "Ticker", "display"]
