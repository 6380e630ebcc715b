"""The strip beside the picture: what is predicted now, and what happened lately."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from engines.manifest import OutputSpec
from realtime.lettering import Color, Style, put_text, text_width
from realtime.records import Estimate, Event, Image
from realtime.truth import NOTHING, TrueMoment

UNTRAINED_NOTICE = "UNTRAINED WEIGHTS - predictions are random"
GROUND: Color = (19, 22, 27)
TEXT: Color = (233, 236, 240)
MUTED: Color = (147, 156, 168)
TAG: Color = (201, 208, 217)
"""Ground of the word `truth`: no prediction is written on a light ground."""
_TRACK: Color = (41, 47, 56)
_QUIET_BAR: Color = (92, 116, 128)
_ACCENT: Color = (94, 214, 192)
_STATE: Color = (184, 160, 255)
_UNSURE: Color = (66, 73, 85)
_HIGHLIGHT: Color = (30, 44, 46)


@dataclass(frozen=True)
class PanelContent:
    """Everything that the panel shows but the time; equal content looks equal."""

    source: str
    estimates: tuple[Estimate, ...]
    events: tuple[Event, ...]
    """Oldest first."""
    truths: tuple[TrueMoment, ...] = ()
    """Of the moments that the estimates are about, where they are known."""


def clock(t: float) -> str:
    """Stream seconds as m:ss.s, with hours where there are any."""
    tenths = max(round(t * 10), 0)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def none_of(background: str) -> str:
    """The name of the class that stands for no gesture, said as what it is."""
    return f"none ({background[:1].lower()}{background[1:]})"


def title_of(source: str) -> str:
    """A source's id as a short name for people: host and path of a camera, name of a file."""
    scheme, separator, address = source.partition("://")
    if not separator or scheme in ("file", "test"):
        return source.rsplit("/", 1)[-1]
    authority, slash, path = address.partition("/")
    # Ids hold no login; on a picture that is passed on there would be none even if they did.
    return (authority.rpartition("@")[2] + slash + path).rstrip("/")


def draw_panel(
    size: tuple[int, int],
    scale: float,
    content: PanelContent,
    outputs: Mapping[str, OutputSpec],
) -> Image:
    """The panel as uint8 [height, width, 3].

    Args:
        size: (height, width) px.
        scale: 1 for a picture of 360 lines.
        content: what is shown.
        outputs: task -> its specification: which tasks are states, and where they abstain.
    """
    column = _Column(size, scale)
    column.y = column.px(38)
    if not content.estimates:
        column.text("waiting for the first window", 11, MUTED)
        column.y += column.px(24)
    truths = {moment.task: moment for moment in content.truths}
    for estimate in content.estimates:
        output, true = outputs.get(estimate.task), truths.get(estimate.task)
        if output is not None and output.kind == "state" and len(output.class_names) == 2:
            _draw_gauge(column, estimate, output, true)
        else:
            _draw_bars(column, estimate, true, _background(output))
    current = [
        e for e in content.estimates if e.label is not None and _is_event(outputs.get(e.task))
    ]
    _draw_ticker(column, current, content.events[::-1])
    return column.canvas


def _background(output: OutputSpec | None) -> str | None:
    if output is None or output.background is None:
        return None
    return output.class_names[output.background]


def _is_event(output: OutputSpec | None) -> bool:
    return output is None or output.kind == "events"


class _Column:
    """A canvas that is filled from top to bottom."""

    def __init__(self, size: tuple[int, int], scale: float) -> None:
        self.canvas: Image = np.empty((*size, 3), np.uint8)
        self.canvas[:] = GROUND
        self.scale = scale
        self.left = self.px(14)
        self.right = size[1] - self.px(14)
        self.y = 0

    @property
    def width(self) -> int:
        return self.right - self.left

    def px(self, length: float) -> int:
        return round(length * self.scale)

    def has_room(self, height: float) -> bool:
        return self.y + self.px(height) <= len(self.canvas)

    def text(
        self, text: str, px: float, color: Color, *, bold: bool = False, room: int | None = None
    ) -> None:
        style = Style(self.px(px), color, bold)
        put_text(self.canvas, text, (self.left, self.y), style, max_width=room or self.width)

    def text_right(self, text: str, px: float, color: Color, *, bold: bool = False) -> int:
        """Write flush right; return the width that is left beside it."""
        style = Style(self.px(px), color, bold)
        x = max(self.right - text_width(text, style), self.left)
        put_text(self.canvas, text, (x, self.y), style, max_width=self.right - x)
        return x - self.left - self.px(8)

    def bar(self, share: float, color: Color) -> None:
        """A thin bar from the left edge over `share`, 0..1, of the width; its top is at `y`."""
        end = self.left + round(self.width * min(share, 1))
        self.canvas[self.y : self.y + max(self.px(3), 2), self.left : end] = color

    def lozenge(self, start: float, end: float, height: float, color: Color) -> None:
        """A round-ended bar from `start` to `end`, 0..1 of the width, its middle at `y`."""
        thickness = self.px(height)
        span = self.width - thickness
        y = self.y * 8
        xs = [round((self.left + thickness / 2 + span * share) * 8) for share in (start, end)]
        cv2.line(self.canvas, (xs[0], y), (xs[1], y), color, thickness, cv2.LINE_AA, 3)

    def title(self, text: str, aside: str, color: Color = MUTED, *, bold: bool = False) -> None:
        room = self.text_right(aside, 10.5 if bold else 10, color, bold=bold)
        self.text(text.replace("_", " ").upper(), 9, MUTED, bold=True, room=room)

    def truth(self, moment: TrueMoment) -> None:
        """A light tag with what is true, and when that was: like nothing that is predicted."""
        room = self.text_right(f"at {clock(moment.t)}", 9.5, MUTED)
        tag, pad = Style(self.px(8), GROUND, bold=True), self.px(4)
        width = text_width("TRUTH", tag) + 2 * pad
        self.canvas[self.y : self.y + self.px(13), self.left : self.left + width] = TAG
        put_text(self.canvas, "TRUTH", (self.left + pad, self.y + self.px(1.5)), tag)
        style = Style(self.px(10.5), TEXT if moment.label else MUTED)
        x = width + self.px(7)
        said = moment.label or NOTHING
        put_text(self.canvas, said, (self.left + x, self.y), style, max_width=max(room - x, 0))


def _draw_bars(
    column: _Column, estimate: Estimate, true: TrueMoment | None, background: str | None
) -> None:
    column.title(estimate.task, estimate.reason or "")
    column.y += column.px(17)
    if true is not None:
        column.truth(true)
        column.y += column.px(19)
    for label, prob in estimate.top:
        if not column.has_room(22):
            return
        is_decided = label == estimate.label
        color = _ACCENT if is_decided else TEXT
        room = column.text_right(_percent(prob), 11, color, bold=is_decided)
        name = none_of(label) if label == background else label
        column.text(name, 11, color, bold=is_decided, room=room)
        column.y += column.px(15)
        column.bar(1, _TRACK)
        column.bar(prob, _ACCENT if is_decided else _QUIET_BAR)
        column.y += column.px(7)
    column.y += column.px(9)


def _draw_gauge(
    column: _Column, estimate: Estimate, output: OutputSpec, true: TrueMoment | None
) -> None:
    """Where the state stands between two classes; the undecided middle is marked."""
    # In alphabetical order: negative left, positive right, whatever the graph's order is.
    left, right = sorted(output.class_names)
    said = f"{estimate.label} {_percent(estimate.prob)}" if estimate.label else estimate.reason
    color = _STATE if estimate.label else MUTED
    column.title(estimate.task, said or "", color, bold=estimate.label is not None)
    if true is not None:
        column.y += column.px(17)
        column.truth(true)
    column.y += column.px(25)
    column.lozenge(0, 1, 7, _TRACK)
    on = output.thresholds.on
    if on > 0.5:
        column.lozenge(1 - on, on, 7, _UNSURE)
    share = dict(estimate.top).get(right)
    if share is not None:
        _draw_marker(column, share, is_decided=estimate.label is not None)
    column.y += column.px(8)
    column.text_right(right, 9, MUTED)
    column.text(left, 9, MUTED)
    if on > 0.5:
        style = Style(column.px(9), MUTED)
        x = column.left + (column.width - text_width("not sure", style)) // 2
        put_text(column.canvas, "not sure", (x, column.y), style)
    column.y += column.px(24)


def _draw_marker(column: _Column, share: float, *, is_decided: bool) -> None:
    thickness = column.px(7)
    x = column.left + thickness / 2 + (column.width - thickness) * share
    at = (round(x * 8), column.y * 8)
    for radius, color in ((6.5, GROUND), (5.0, _STATE if is_decided else MUTED)):
        radius_px = round(radius * column.scale * 8)
        cv2.circle(column.canvas, at, radius_px, color, -1, cv2.LINE_AA, 3)
    if not is_decided:
        cv2.circle(column.canvas, at, round(2.8 * column.scale * 8), GROUND, -1, cv2.LINE_AA, 3)


def _draw_ticker(column: _Column, current: Sequence[Estimate], events: Sequence[Event]) -> None:
    if not column.has_room(14):
        return
    column.title("events", "" if events or current else "none yet")
    column.y += column.px(17)
    for estimate in current:
        if column.has_room(32):
            top, bottom = column.y - column.px(3), column.y + column.px(27)
            column.canvas[top:bottom, column.left - column.px(8) : column.right] = _HIGHLIGHT
            stripe = column.left - column.px(8)
            column.canvas[top:bottom, stripe : stripe + max(column.px(2), 1)] = _ACCENT
            said = f"now, since {clock(estimate.since)}"
            _draw_event(column, str(estimate.label), said, estimate.prob, is_now=True)
    for event in events:
        if not column.has_room(28):
            return
        said = f"{clock(event.start)} - {clock(event.end)}"
        _draw_event(column, event.label, said, event.peak, is_now=False)


def _draw_event(column: _Column, label: str, said: str, prob: float, *, is_now: bool) -> None:
    column.text(label, 11, _ACCENT if is_now else TEXT, bold=is_now)
    column.y += column.px(14)
    room = column.text_right(("" if is_now else "peak ") + _percent(prob), 9.5, MUTED)
    column.text(said, 9.5, MUTED, room=room)
    column.y += column.px(18)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
