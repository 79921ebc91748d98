"""Provider batch jobs: prompts that may take a day, at the price of a batch, in a job that survives the process."""

from __future__ import annotations

from deluge.batches.job import BatchJob, BatchPart, BatchStatus

__all__ = ["BatchJob", "BatchPart", "BatchStatus"]
