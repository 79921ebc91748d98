"""One module per provider: ``PROVIDER``, its ``MODELS``, and ``UNLISTED`` for those of its models that have no row."""
