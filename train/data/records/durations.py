"""Durations that a data set does not give, taken from the headers of its recordings."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from stream.audio import AudioError
from stream.manifest import ManifestError
from train.data.records.record import Read, Record, length_and_rate

THREADS = 8  # files are mostly waited for
AHEAD = 64  # records


def with_durations(records: Iterable[Record | ManifestError], *, every: bool = False) -> Read:
    """Yield records in their order, those without a duration with that of their recording.

    A recording that cannot be opened becomes an error in the record's place.

    Args:
        every: whether all recordings are opened: durations as they are, and `sampling_rate` in extra.
    """
    waiting: deque[Record | ManifestError | Future[Record | ManifestError]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for record in records:
            if isinstance(record, Record) and (every or record.duration is None):
                waiting.append(pool.submit(_measured, record, every))
            elif waiting:
                waiting.append(record)
            else:
                yield record
            while waiting and (len(waiting) > AHEAD or not _is_pending(waiting[0])):
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())


def _is_pending(item: Record | ManifestError | Future[Record | ManifestError]) -> bool:
    return isinstance(item, Future) and not item.done()


def _result(
    item: Record | ManifestError | Future[Record | ManifestError],
) -> Record | ManifestError:
    return item.result() if isinstance(item, Future) else item


def _measured(record: Record, every: bool) -> Record | ManifestError:
    try:
        seconds, rate = length_and_rate(record.audio, record.part)
    except (AudioError, OSError) as error:
        return record.error(str(error))
    if not seconds > 0.0:
        return record.error(f"the recording of {record.id} has no sample there")
    extra = {**record.extra, "sampling_rate": rate} if every else record.extra
    return msgspec.structs.replace(record, duration=seconds, extra=extra)
