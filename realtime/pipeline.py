"""The offline loop: every frame, in order, deterministic."""

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing
from dataclasses import replace

from engines.errors import TellsError
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
) -> Generator[Snapshot, None, None]:
    """One snapshot a frame, in order; the last one carries the events that the end closes.

    The source and perception, the slowest stage, each work ahead on a thread of their own.
    Each snapshot is given out one frame late, because only then is it known not to be the last.
    """
    held: Snapshot | None = None
    with ExitStack() as stages:
        read = stages.enter_context(closing(ahead(frames)))
        seen = stages.enter_context(closing(ahead((f, perceiver(f)) for f in read)))
        try:
            for frame, observation in seen:
                if held is not None:
                    yield held
                buffer.append(observation)
                predictions = []
                while new := predictor.step({frame.source: buffer}):
                    predictions += new
                estimates, events = decider.step(predictions, now=frame.t, stretch=buffer.stretch)
                state = replace(
                    status,
                    windows_dropped=predictor.num_dropped.get(frame.source, 0),
                    message=predictor.waiting.get(frame.source, ""),
                )
                held = Snapshot(frame, observation, estimates, tuple(predictions), events, state)
        except TellsError:  # what was seen before the source failed is not lost
            if held is not None:
                yield replace(held, new_events=held.new_events + decider.flush(held.frame.t))
            raise
    if held is not None:
        yield replace(held, new_events=held.new_events + decider.flush(held.frame.t))
