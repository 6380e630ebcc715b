"""What a run without a page says on the terminal: events as lines, the cameras' state as one."""

import math
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace

from tqdm import tqdm

from realtime.lineup import Lineup
from realtime.records import Event, Snapshot, Status


class Terminal:
    """Tells of one camera or of several; any thread may call it."""

    def __init__(self, line: "tqdm[None]", lineup: Lineup, cameras: Sequence[str]) -> None:
        """`line`: a bar that is nothing but its description."""
        self._line, self._lock = line, threading.Lock()
        self._mark = "  [untrained]" if lineup.is_untrained else ""
        self._unseen = replace(Status(), connected=False, message="no picture yet")
        self._states = dict.fromkeys(cameras, self._unseen)
        self._t = 0.0

    def tell(self, camera: str, snapshot: Snapshot) -> None:
        """Print the camera's new events; keep the line of status up to date.

        Raises:
            OSError: nobody reads it any more.
        """
        with self._lock:
            self._states[camera] = snapshot.status
            self._t = max(self._t, snapshot.frame.t)
            for event in snapshot.new_events if sys.stdout is not None else ():
                self._line.write(self._named(camera, _describe(event) + self._mark))
            self._line.set_description_str(self._status(), refresh=False)
            self._line.update()

    def end(self, camera: str) -> None:
        """The camera will tell nothing more: its last rates are no rates of now."""
        with self._lock:
            last = self._states[camera]
            self._states[camera] = replace(
                last, connected=False, message="", prediction_age_s=math.nan
            )

    def _named(self, camera: str, text: str) -> str:
        return f"{camera}  {text}" if len(self._states) > 1 else text

    def _status(self) -> str:
        """Rates and losses of all cameras together, the oldest prediction, the first trouble."""
        states = self._states.values()
        there = [s for s in states if s.connected]
        num_there = f"{len(there)} of {len(states)} cameras  " if len(states) > 1 else ""
        ages = [s.prediction_age_s for s in states if not math.isnan(s.prediction_age_s)]
        age = f"{max(ages):.2f} s" if ages else "-"
        troubles = [self._named(c, s.message) for c, s in self._states.items() if s.message]
        dropped = sum(s.frames_dropped for s in states), sum(s.windows_dropped for s in states)
        return (
            f"{self._t:7.1f} s  {num_there}capture {sum(s.capture_hz for s in there):.0f}/s  "
            f"perception {sum(s.perception_hz for s in there):.0f}/s  "
            f"prediction {sum(s.prediction_hz for s in there):.1f}/s  "
            f"age {age}  dropped {dropped[0]}+{dropped[1]}  "
            f"{troubles[0] if troubles else 'ok'}"
        )


def _describe(event: Event) -> str:
    return f"{event.start:8.2f} - {event.end:.2f} s  {event.label}  (peak {event.peak:.2f})"
