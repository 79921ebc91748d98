"""Wire formats, one module each, pure: no socket, no clock, no environment, no thread.

``_plugins`` finds them by name.
"""
