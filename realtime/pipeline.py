"""The offline loop: every frame, in order, deterministic."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from realtime.ahead import ahead
from realtime.buffer import ObservationBuffer
from realtime.decide import Decider
from realtime.predictor import Predictor
from realtime.records import Frame, Observation, Snapshot, Status


def analyze(
    frames: Iterable[Frame],
    perceiver: Callable[[Frame], Observation],
    buffer: ObservationBuffer,
    predictor: Predictor,
    decider: Decider,
    *,
    status: Status,
) -> Iterator[Snapshot]:
    """One snapshot a frame, in order; the last one carries the events that the end closes.

    The source and perception, the slowest stage, each work ahead on a thread of their own.
    Each snapshot is given out one frame late, because only then is it known not to be the last.
    """
    held: Snapshot | None = None
    for frame, observation in ahead((frame, perceiver(frame)) for frame in ahead(frames)):
        if held is not None:
            yield held
        buffer.append(observation)
        predictions = []
        while new := predictor.step({frame.source: buffer}):
            predictions += new
        estimates, events = decider.step(predictions, now=frame.t)
        held = Snapshot(frame, observation, estimates, tuple(predictions), events, status)
    if held is not None:
        yield replace(held, new_events=held.new_events + decider.flush(held.frame.t))
