"""SnapshotFeed: the newest snapshot of a camera, and a bounded log, for any number of readers."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from realtime.records import Event, Prediction, Snapshot

LOG_SIZE = 2000
"""Predictions and events that a slow reader can catch up on; older ones are lost to it."""


class EndOfStream(Exception):
    """The source has ended and the reader has seen everything."""


class SnapshotFeed:
    """One reference swapped; no lock is held while anyone draws. Any thread may call."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.latest: Snapshot | None = None
        self.log: deque[Prediction | Event] = deque(maxlen=LOG_SIZE)
        self.num_logged = 0
        self.num_published = 0
        self.error: BaseException | None = None
        self.is_finished = False

    def publish(self, snapshot: Snapshot) -> None:
        """Make this the newest snapshot."""
        with self.changed:
            self.latest = snapshot
            self.num_published += 1
            self.changed.notify_all()

    def refresh(self, update: Callable[[Snapshot], Snapshot]) -> None:
        """Publish the newest snapshot again, if there is one, as `update` changes it."""
        with self.changed:
            if self.latest is not None:
                self.publish(update(self.latest))

    def record(self, entries: Sequence[Prediction | Event]) -> None:
        """Log predictions and events; each reader gets them with its next snapshot."""
        with self.changed:
            self.log.extend(entries)
            self.num_logged += len(entries)

    def wait_finished(self, timeout_s: float) -> None:
        """Wait until `finish` was called, at most so long."""
        with self.changed:
            self.changed.wait_for(lambda: self.is_finished, timeout_s)

    def finish(self, error: BaseException | None = None) -> None:
        """Nothing more will come; `error` is what ended it, raised at every reader."""
        with self.changed:
            self.error = self.error or error
            self.is_finished = True
            self.changed.notify_all()


class SnapshotReader:
    """One reader's place in a feed. Its own thread calls it."""

    def __init__(self, feed: SnapshotFeed) -> None:
        self._feed = feed
        self._num_seen = 0
        self._num_read = feed.num_logged

    def next(self, timeout_s: float) -> Snapshot | None:
        """The newest snapshot that this reader has not seen, or None after `timeout_s` seconds.

        Frames may be skipped; `predictions` and `new_events` hold all since the previous call. The
        last snapshot comes once more if the end of the stream closed events.

        Raises:
            EndOfStream: the source has ended and all was read.
            BaseException: what ended the source or a worker thread, after all was read.
        """
        feed = self._feed
        with feed.changed:
            feed.changed.wait_for(self._has_news, timeout_s)
            is_new = feed.num_published > self._num_seen
            if feed.latest is None or not (is_new or (feed.is_finished and self.num_waiting)):
                if feed.is_finished:
                    raise feed.error or EndOfStream
                return None
            snapshot, entries = feed.latest, self._unread()
            self._num_seen, self._num_read = feed.num_published, feed.num_logged
        return replace(
            snapshot,
            predictions=tuple(e for e in entries if isinstance(e, Prediction)),
            new_events=tuple(e for e in entries if isinstance(e, Event)),
        )

    @property
    def num_waiting(self) -> int:
        """Predictions and events that were logged since this reader's previous snapshot."""
        return self._feed.num_logged - self._num_read

    def _has_news(self) -> bool:
        return self._feed.num_published > self._num_seen or self._feed.is_finished

    def _unread(self) -> list[Prediction | Event]:
        log = list(self._feed.log)
        return log[max(len(log) - self.num_waiting, 0) :]
