"""The annotated picture: the frame with its subject, and beside it what the engines say.

Nothing but the subject is painted on the picture: hands and face are what a viewer looks at. The
predictions stand in a panel on its right, notices in a strip below both.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from engines.manifest import OutputSpec
from realtime.lettering import Color, Style, put_text, text_width
from realtime.panel import (
    GROUND,
    MUTED,
    TEXT,
    UNTRAINED_NOTICE,
    PanelContent,
    clock,
    draw_panel,
    title_of,
)
from realtime.records import Event, Image, Snapshot
from realtime.subject import paint_subject
from realtime.truth import Truth

EMOTION_NOTICE = "emotion inference on"
_SMALLEST, _LARGEST = 240, 720
_BASE = 360
_AMBER: Color = (255, 193, 77)
_INK: Color = (35, 25, 5)
_STRIP: Color = (27, 31, 38)
_EMOTION: Color = (184, 160, 255)
_MAX_EVENTS = 24


@dataclass(frozen=True)
class _Arrangement:
    """Where things lie on the annotated picture, in px."""

    zoom: float
    scale: float
    picture: tuple[int, int]
    panel: tuple[int, int]
    strip: int

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), both even, as yuv420p video needs them."""
        height = self.picture[0] + self.strip
        width = self.picture[1] + self.panel[1]
        return height + height % 2, width + width % 2


def _arrange(height: int, width: int) -> _Arrangement:
    # Small pictures are enlarged, so that text has the pixels that it needs; large ones are
    # reduced, so that drawing and encoding keep up with the camera.
    short = min(height, width)
    zoom = 1.0
    if short < _SMALLEST:
        zoom = _BASE / short
    elif short > _LARGEST:
        zoom = _LARGEST / short
    picture = (round(height * zoom), round(width * zoom))
    scale = max(min(picture) / _BASE, 0.8)
    return _Arrangement(zoom, scale, picture, (picture[0], round(240 * scale)), round(24 * scale))


class Overlay:
    """Draws snapshots; remembers recent events for the ticker. For one source and one thread."""

    def __init__(self, outputs: Sequence[OutputSpec], truth: Truth | None = None) -> None:
        """`outputs` are those of all opened bundles, `truth` is the source's, if it has one."""
        self._truth = truth
        self._outputs = {output.task: output for output in outputs}
        self.reset()

    def reset(self) -> None:
        """Forget past events."""
        self._events: deque[Event] = deque(maxlen=_MAX_EVENTS)
        self._panel: tuple[object, Image] | None = None
        self._strip: tuple[object, Image] | None = None

    def draw(self, snapshot: Snapshot) -> Image:
        """The annotated picture, uint8 [H, W, 3] RGB; H and W, both even, depend on the frame's."""
        self._events.extend(snapshot.new_events)
        image = snapshot.frame.image
        spot = _arrange(*image.shape[:2])
        (height, width), panel_width = spot.picture, spot.panel[1]
        canvas = np.empty((*spot.size, 3), np.uint8)
        canvas[height:] = _STRIP
        canvas[:, width + panel_width :] = GROUND
        picture = canvas[:height, :width]
        if spot.zoom == 1.0:
            picture[:] = image
        else:
            how = cv2.INTER_AREA if spot.zoom < 1 else cv2.INTER_LINEAR
            picture[:] = cv2.resize(image, (width, height), interpolation=how)
        paint_subject(
            picture, snapshot.observation, zoom=spot.zoom, line=spot.scale, with_region=True
        )
        beside = canvas[:height, width : width + panel_width]
        beside[:] = self._cached_panel(snapshot, spot)
        _draw_time(beside, snapshot, spot.scale)
        strip = self._cached_strip(snapshot, spot)
        canvas[height : height + spot.strip, : strip.shape[1]] = strip
        return canvas

    def _cached_panel(self, snapshot: Snapshot, spot: _Arrangement) -> Image:
        """The panel changes at the rate of predictions, not of frames."""
        truths = () if self._truth is None else self._truth.beside(snapshot.estimates)
        content = PanelContent(
            snapshot.frame.source, snapshot.estimates, tuple(self._events), truths
        )
        key = (spot, content)
        if self._panel is None or self._panel[0] != key:
            self._panel = (key, draw_panel(spot.panel, spot.scale, content, self._outputs))
        return self._panel[1]

    def _cached_strip(self, snapshot: Snapshot, spot: _Arrangement) -> Image:
        status, tasks = snapshot.status, [e.task for e in snapshot.estimates]
        untrained = status.untrained or any(e.untrained for e in snapshot.estimates)
        facts = " - ".join(text for text in (status.bundle, status.runtime) if text)
        key = (spot, untrained, facts, "emotion" in tasks)
        if self._strip is None or self._strip[0] != key:
            strip = _draw_strip(spot, facts, untrained=untrained, emotion="emotion" in tasks)
            self._strip = (key, strip)
        return self._strip[1]


def _draw_time(panel: Image, snapshot: Snapshot, scale: float) -> None:
    """Stream time, and whether anybody is seen: the parts that change with each frame."""
    at = (round(14 * scale), round(8 * scale))
    style = Style(round(17 * scale), TEXT, bold=True)
    # Digit by digit in equal steps: no dancing, and each digit is rendered once only.
    step, x = text_width("0", style), at[0]
    for character in clock(snapshot.frame.t):
        advance = step if character.isdigit() else text_width(character, style)
        put_text(panel, character, (x, at[1]), style)
        x += advance
    observation = snapshot.observation
    if not snapshot.status.connected:
        said = "source lost"
    elif observation.pose is None and observation.face is None:
        said = "nobody seen"
    else:
        said = title_of(snapshot.frame.source)
    small = Style(round(10 * scale), MUTED)
    x += round(12 * scale)
    room = panel.shape[1] - x - round(14 * scale)
    width = min(text_width(said, small), room)
    put_text(panel, said, (x + room - width, at[1] + round(6 * scale)), small, max_width=room)


def _draw_strip(spot: _Arrangement, facts: str, *, untrained: bool, emotion: bool) -> Image:
    width, scale = spot.picture[1], spot.scale
    strip: Image = np.empty((spot.strip, width + spot.panel[1], 3), np.uint8)
    strip[:] = _STRIP
    pad, y = round(10 * scale), round(5 * scale)
    if untrained:
        strip[:, :width] = _AMBER
        style = Style(round(11.5 * scale), _INK, bold=True)
        x = max((width - text_width(UNTRAINED_NOTICE, style)) // 2, 0)
        put_text(strip, UNTRAINED_NOTICE, (x, round(4 * scale)), style, max_width=width)
    else:
        style = Style(round(10 * scale), MUTED)
        put_text(strip, facts, (pad, y), style, max_width=width - 2 * pad)
    if emotion:
        x = width + round(14 * scale)
        dot = (round((x + 3.5 * scale) * 8), spot.strip * 4)
        cv2.circle(strip, dot, round(3.5 * scale * 8), _EMOTION, -1, cv2.LINE_AA, 3)
        style = Style(round(10 * scale), _EMOTION, bold=True)
        put_text(strip, EMOTION_NOTICE, (x + round(13 * scale), y), style)
    return strip
