"""How far a job has come, and its end before its time."""

from __future__ import annotations

from deluge.batches.job import BatchPart, BatchStatus
from deluge.batches.lines import NOWHERE
from deluge.batches.submission import Submission
from deluge.batches.work import BatchWork


def status_of(work: BatchWork) -> BatchStatus:
    """What the providers say of every batch of the job."""
    state = work.state
    try:
        parts = tuple(_part(work, number) for number in range(len(state.parts)))
        return BatchStatus(state.path, state.total, work.lines.parts.count(NOWHERE), parts)
    finally:
        work.close()


def _part(work: BatchWork, number: int) -> BatchPart:
    part = work.state.parts[number]
    model = work.state.lanes[part.lane].model
    if not part.batch:
        dropped = part.stage == "dropped"
        return BatchPart("", model, part.stage, part.count, cancelled=part.count if dropped else 0, ended=dropped)
    api, counter = work.desks.apis[part.lane], work.desks.counters[part.lane]
    look = counter.run(api.look(counter.desk, part.batch), "asking for the batch")
    return BatchPart(part.batch, model, look.status, part.count, look.succeeded, look.failed, look.expired, look.cancelled,
                     look.ended)


def cancelled(work: BatchWork, mine: bool) -> BatchStatus:
    """Ends what runs of a job; ``mine``: its state may be written, so that nothing more of it is created either."""
    state = work.state
    try:
        if mine:
            state.cancelled = True
            state.save()
            Submission(state, work.lines, work.desks).advance_all()
        for number, part in enumerate(state.parts):
            if part.batch and not _part(work, number).ended:
                api, counter = work.desks.apis[part.lane], work.desks.counters[part.lane]
                counter.run(api.cancel(counter.desk, part.batch), "cancelling the batch")
        return status_of(work)
    finally:
        work.close()
