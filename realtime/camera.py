"""One camera of a live session: its capture and perceive threads, and its decision layer."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from engines.manifest import PerceptionSpec
from realtime.errors import SourceError, SourceLost
from realtime.feed import SnapshotFeed
from realtime.lineup import Lineup
from realtime.records import Estimate, Frame, Observation, Prediction, Snapshot, Status
from realtime.slot import LatestSlot, SlotClosed
from realtime.sources import Source
from realtime.stats import Latencies, Rate, StageTimes

logger = logging.getLogger(__name__)

LONGEST_RETRY_S = 30.0
PAUSE_S = 1.0
"""After a longer pause in the stream, perception begins anew."""


class AnyPerceiver(Protocol):
    """What a camera asks of its perceiver; `realtime.perception.Perceiver` is the real one."""

    def __call__(self, frame: Frame) -> Observation:
        """What is seen in the next frame."""

    def reset(self) -> None:
        """Forget person and clock."""


OpenPerceiver = Callable[[PerceptionSpec], AbstractContextManager[AnyPerceiver]]


class Camera:
    """Threads and state of one source. `LiveSession` makes, steps and stops it."""

    def __init__(
        self,
        name: str,
        source: Source,
        reopen: Callable[[], Source] | None,
        *,
        lineup: Lineup,
        perceiver: AbstractContextManager[AnyPerceiver],
        stages: StageTimes,
        runtime: str,
        wake: Callable[[], None],
    ) -> None:
        self.name = name
        self.buffer = lineup.buffer()
        self.feed = SnapshotFeed()
        self.is_perceived = False
        """True once the source has ended, well or not, and its last frame is in the buffer."""
        self._source, self._reopen, self._wake = source, reopen, wake
        self._retry_s = lineup.config.retry_s
        self._perceiver, self._stages = perceiver, stages
        self._decider = lineup.decider()
        self._slot: LatestSlot[Frame] = LatestSlot()
        self._stopping, self._going = threading.Event(), threading.Event()
        self._going.set()
        self._estimates: tuple[Estimate, ...] = self._decider.step((), now=0.0)[0]
        self._capture_rate, self._perception_rate = Rate(), Rate()
        self._prediction_rates = {spec.output.task: Rate() for spec in lineup.tasks}
        self._latencies = Latencies()
        self._seen_until: float | None = None  # arrival of the last frame that a prediction saw
        self._error: BaseException | None = None
        self._dropped_before = 0  # by earlier connections of the source
        self._lost: tuple[float, str] | None = None  # since (monotonic s), why
        self._windows_dropped, self._waiting = 0, ""
        self._fixed = Status(runtime=runtime, bundle=lineup.names, untrained=lineup.is_untrained)
        self._threads = (
            threading.Thread(target=self._capture, name=f"capture {name}", daemon=True),
            threading.Thread(target=self._perceive, name=f"perceive {name}", daemon=True),
        )

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def pause(self, is_paused: bool) -> None:
        """Take no frames from the source for a while, or go on; from any thread."""
        if is_paused and not self._stopping.is_set():
            self._going.clear()
        else:
            self._going.set()

    def stop(self) -> None:
        """End the threads and close the source, within about two seconds."""
        self._stopping.set()
        self._going.set()
        self._source.close()
        self._slot.close()
        for thread in self._threads:
            thread.join(timeout=2)
            if thread.is_alive() and self._lost is None:  # else it ends by the time-out of opening
                logger.warning("%s does not end; it is left behind", thread.name)

    # Called by the prediction thread.

    def decide(self, predictions: Sequence[Prediction], num_dropped: int, waiting: str) -> None:
        """Step the decision layer with this camera's predictions, and log what it says."""
        now = time.monotonic()
        for p in predictions:
            self._latencies.add(p.latency_s)
            self._seen_until = now - p.latency_s
            self._prediction_rates[p.task].tick(now)
        before = self._estimates
        self._estimates, events = self._decider.step(
            predictions, now=self._stream_now(now), stretch=self.buffer.stretch
        )
        self._windows_dropped, self._waiting = num_dropped, waiting
        self.feed.record((*predictions, *events))
        if self._lost is not None and self._estimates != before:
            self.feed.refresh(self._with_status)  # no frame will come to carry what went stale

    def finish(self) -> None:
        """The source has ended and was predicted to its end: close what is open, say why."""
        self.feed.record(self._decider.flush(self._stream_now(time.monotonic())))
        self.feed.finish(self._error)

    def _stream_now(self, now: float) -> float:
        newest = self.buffer.newest
        return newest[0] + (now - newest[1]) if newest is not None else 0.0

    # The capture thread.

    def _capture(self) -> None:
        try:
            for frame in self._frames():
                self._capture_rate.tick(frame.arrived)
                self._slot.put(frame)
        except BaseException as error:  # the perceive thread hands it on to the readers
            self._slot.close(error)
        else:
            self._slot.close()

    def _frames(self) -> Iterator[Frame]:
        """The source's frames over all its connections, with stream time going on."""
        offset, last = 0.0, None
        while not self._stopping.is_set():
            try:
                for frame in self._source:
                    if last is None and self._source.is_live:  # opened before anybody looked
                        offset = -frame.t
                    elif last is not None and self._lost is not None:
                        outage_s = frame.arrived - last.arrived
                        offset = last.t + outage_s - frame.t
                        logger.warning("%s: is there again after %.0f s", frame.source, outage_s)
                    self._lost = None
                    last = replace(frame, t=frame.t + offset) if offset else frame
                    yield last
                    self._going.wait()
                    if self._stopping.is_set():
                        return
                return
            except SourceLost as lost:
                self._lose(str(lost))
                self._find_again()

    def _lose(self, why: str) -> None:
        if self._lost is None:
            name = self._source.id
            logger.warning("%s", why if name in why else f"{name}: {why}")
        self._lost = (self._lost[0] if self._lost is not None else time.monotonic(), why)
        self.feed.refresh(self._with_status)

    def _find_again(self) -> None:
        """Open the lost source again, ever less often, until it is there or the camera stops."""
        wait_s = self._retry_s
        while not self._stopping.wait(wait_s if self._reopen is not None else None):
            assert self._reopen is not None
            self._source.close()
            try:
                found = self._reopen()
            except SourceError as error:
                wait_s = min(2 * wait_s, LONGEST_RETRY_S)
                self._lose(str(error))
            else:
                self._dropped_before += self._source.num_dropped
                self._source = found
                if self._stopping.is_set():
                    found.close()
                return

    # The perceive thread.

    def _perceive(self) -> None:
        try:
            with self._perceiver as perceiver:
                self._perceive_all(perceiver)
        except SlotClosed:
            pass
        except BaseException as error:  # a worker that dies takes its exception to the readers
            self._error = error
        self.is_perceived = True
        self._wake()

    def _perceive_all(self, perceiver: AnyPerceiver) -> None:
        before: float | None = None
        perceive = self._stages.timed("perception", perceiver)
        while (frame := self._slot.get()) is not None:
            if before is not None and frame.t - before > PAUSE_S:
                perceiver.reset()
            before = frame.t
            observation = perceive(frame)
            self.buffer.append(observation)
            self._perception_rate.tick(time.monotonic())
            self._wake()
            self.feed.publish(self._with_status(Snapshot(frame, observation, self._estimates)))

    def _with_status(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot as of now: present estimates, rates and connection."""
        now = time.monotonic()
        age = now - self._seen_until if self._seen_until is not None else float("nan")
        lost_since, why = self._lost or (None, "")
        status = replace(
            self._fixed,
            connected=lost_since is None,
            lost_since=lost_since,
            message=why or self._waiting,
            windows_dropped=self._windows_dropped,
            capture_hz=self._capture_rate.hz(now),
            perception_hz=self._perception_rate.hz(now),
            prediction_hz=min(rate.hz(now) for rate in self._prediction_rates.values()),
            frames_dropped=self._slot.num_dropped + self._dropped_before + self._source.num_dropped,
            latency_p50_s=self._latencies.percentile(50),
            latency_p95_s=self._latencies.percentile(95),
            prediction_age_s=age,
        )
        return replace(snapshot, estimates=self._estimates, status=status)
