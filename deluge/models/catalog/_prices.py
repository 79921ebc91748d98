"""Generated."""

READ_ON = "2026-11-22"
PRICES: dict[str, tuple[int | None, dict[str, tuple[object, ...]]]] = {}
