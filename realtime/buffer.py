"""ObservationBuffer: the last seconds of one camera, from which windows are cut."""

import threading

import numpy as np
from numpy.typing import NDArray

from engines.errors import WindowError
from engines.manifest import PerceptionSpec
from engines.skeleton import LAYOUTS
from engines.window import Window, within_shot
from realtime.records import Floats, Observation

MAX_HZ = 60.0
"""Observations that come faster are thinned: no model samples so densely; the ring is bounded."""


class ObservationBuffer:
    """A preallocated ring of observations.

    Memory: h * w * 3 + S * S * 3 bytes for each of `span_s * MAX_HZ` places. One thread appends,
    another may cut windows.
    """

    def __init__(self, spec: PerceptionSpec, *, span_s: float, max_gap_s: float) -> None:
        """Room for windows of up to `span_s` seconds in which no pause exceeds `max_gap_s`."""
        places = int(np.ceil(1.02 * span_s * MAX_HZ)) + 4
        (h, w), v, s = spec.storage, LAYOUTS[spec.layout].num_joints, spec.face_size
        self._spec, self._span_s, self._max_gap_s = spec, span_s, max_gap_s
        self._lock = threading.Lock()
        self._t = np.zeros(places, np.float64)
        self._arrived = np.zeros(places, np.float64)
        self._rgb = np.zeros((places, h, w, 3), np.uint8)
        self._xy = np.zeros((places, v, 2), np.float32)
        self._xyz = np.zeros((places, v, 3), np.float32)
        self._conf = np.zeros((places, v), np.float32)
        self._faces = np.zeros((places, s, s, 3), np.uint8)
        self._has_face = np.zeros(places, np.bool_)
        self._shots = np.zeros(places, np.int64)
        self._next = 0
        self._count = 0
        self._shot = 0
        self.stretch = 0
        """Number of the present stretch: evidence of one person without a pause."""
        self.num_thinned = 0
        """Observations that came faster than `MAX_HZ` and were left out."""

    def append(self, observation: Observation) -> None:
        """Store a copy; another person, a long pause or going back in time begin a new stretch."""
        with self._lock:
            self._shot += observation.is_cut
            if self._count:
                since = observation.t - self._t[self._next - 1]
                if observation.is_new_subject or not 0 < since <= self._max_gap_s:
                    self._count = 0
                    self.stretch += 1
                elif since < 0.99 / MAX_HZ:
                    self.num_thinned += 1
                    return
            self._write(self._next, observation)
            self._next = (self._next + 1) % len(self._t)
            self._count = min(self._count + 1, len(self._t))

    @property
    def newest(self) -> tuple[float, float] | None:
        """(stream s, arrival in monotonic s) of the newest observation, or None."""
        with self._lock:
            if not self._count:
                return None
            return float(self._t[self._next - 1]), float(self._arrived[self._next - 1])

    def window(self, end: float, span_s: float, anchor: float) -> Window:
        """The evidence from `end - span_s` to `end` (stream s), copied.

        Where it holds cuts, it shows nothing but the shot that it is about (`within_shot`).

        Args:
            end: stream seconds.
            span_s: seconds.
            anchor: 0..1: where in the window the instant lies that it is about.

        Raises:
            WindowError: the present stretch does not reach back so far yet.
        """
        with self._lock:
            order = self._order()
            t = self._t[order]
            lo = int(np.searchsorted(t, end - span_s - 1e-6))
            hi = int(np.searchsorted(t, end + 1e-6))
            picked = order[lo:hi]
            # Filled if the stretch reaches back beyond the start, or begins there but for a sample.
            if not len(picked) or (lo == 0 and t[0] > end - span_s + 0.05 * span_s):
                seen = end - float(t[lo]) if len(picked) else 0.0
                raise WindowError(f"{seen:.1f} s of {span_s:.1f} s seen so far")
            picked = picked[within_shot(t[lo:hi], self._shots[picked], anchor)]
            return Window(
                t=t[lo:hi],
                rgb=self._rgb[picked],
                xy=self._xy[picked],
                xyz=self._xyz[picked],
                conf=self._conf[picked],
                faces=self._faces[picked],
                has_face=self._has_face[picked],
                layout=self._spec.layout,
            )

    def shot_at(self, t: float) -> int:
        """Number of the shot, between two cuts, of the last observation until `t` (stream s)."""
        with self._lock:
            order = self._order()
            before = int(np.searchsorted(self._t[order], t + 1e-6))
            return int(self._shots[order[max(before - 1, 0)]]) if self._count else self._shot

    def _order(self) -> NDArray[np.intp]:
        """Places of the present stretch's observations in the ring, in time order."""
        return (self._next - self._count + np.arange(self._count)) % len(self._t)

    def _write(self, i: int, observation: Observation) -> None:
        self._t[i], self._arrived[i] = observation.t, observation.arrived
        self._shots[i] = self._shot
        self._rgb[i] = observation.rgb
        pose, face = observation.pose, observation.face
        if pose is None:
            self._xy[i], self._xyz[i], self._conf[i] = np.nan, np.nan, 0
        else:
            if pose.layout != self._spec.layout:
                raise WindowError(
                    f"The pose is {pose.layout}, the bundle wants {self._spec.layout}"
                )
            self._xy[i] = in_crop(pose.xy, observation)
            self._xyz[i], self._conf[i] = pose.xyz, pose.conf
        self._faces[i] = 0 if face is None else face.crop
        self._has_face[i] = face is not None


def in_crop(xy: Floats, observation: Observation) -> Floats:
    """Points [..., 2] of the frame, in px of `observation.rgb`."""
    x0, y0, x1, y1 = observation.crop
    h, w = observation.rgb.shape[:2]
    to_rgb = np.array([w / (x1 - x0), h / (y1 - y0)], np.float32)
    return np.asarray((xy - observation.crop[:2]) * to_rgb, np.float32)
