"""How a run's predictions look as one picture; `timeline` collects them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from engines.manifest import OutputSpec
from realtime.fonts import as_title
from realtime.panel import UNTRAINED_NOTICE, clock, title_of
from realtime.records import Event
from realtime.truth import TrueInterval

_MAX_ROWS = 12
_MAX_CUTS = 200
"""More lines than these would hide what is between them."""
_COLUMNS = 1500
_LETTERS, _FEWEST_LETTERS = 170, 4
"""Letters that fit into the width of the truth's row, and the fewest worth writing."""
_INK, _MUTED, _GRID = "#20252c", "#6b7480", "#e3e7ec"
_GESTURE = LinearSegmentedColormap.from_list(
    "gesture", ["#f6f8f9", "#b9e3da", "#4fb8a5", "#14746a", "#083d3b"]
)
_OUTLINE, _CURVE, _UNSURE, _ALARM = "#d9691e", "#6d4fc4", "#d5d9df", "#b3261e"


@dataclass(frozen=True)
class Track:
    """What was predicted of one task, N points in order of time."""

    t: NDArray[np.float64]
    """float64 [N] stream s: what the prediction is about."""
    probs: NDArray[np.float32]
    """float32 [N, K]."""
    coverage: NDArray[np.float32]
    """float32 [N] 0..1."""
    smooth: NDArray[np.float32]
    """float32 [N]: smoothed probability of the last class in alphabetical order; NaN = none."""
    is_decided: NDArray[np.bool_]
    """bool [N]: the decision layer did not abstain."""
    is_seen: NDArray[np.bool_]
    """bool [N]: enough of the person was seen for a decision."""

    def columns(self) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.bool_]]:
        """Equal steps of time, the nearest point of each, and whether it is near enough."""
        hop = float(np.median(np.diff(self.t))) if len(self.t) > 1 else 1.0
        steps = np.linspace(self.t[0] - hop / 2, self.t[-1] + hop / 2, _COLUMNS)
        right = np.clip(np.searchsorted(self.t, steps), 1, max(len(self.t) - 1, 1))
        left = right - 1
        right = np.minimum(right, len(self.t) - 1)
        nearest = np.where(steps - self.t[left] <= self.t[right] - steps, left, right)
        return steps, nearest, np.abs(self.t[nearest] - steps) <= 1.5 * hop


@dataclass(frozen=True)
class TimelineContent:
    """All that the picture shows."""

    source: str
    facts: str
    """Bundles and runtime, one line."""
    is_untrained: bool
    span: tuple[float, float]
    """Stream s of the first and the last frame."""
    tracks: Sequence[tuple[OutputSpec, Track]]
    events: Sequence[Event]
    cuts: Sequence[float] = ()
    """Stream s at which another shot begins."""
    truth: Sequence[TrueInterval] = ()
    """What happens in the source, where that is known."""


def draw_timeline(content: TimelineContent) -> Figure:
    """A figure of 16x9 inches, without pyplot and its global state."""
    figure = Figure(figsize=(16, 9), facecolor="white")
    FigureCanvasAgg(figure)
    _head(figure, content)
    if not content.tracks:
        figure.text(0.5, 0.45, "no window could be formed", ha="center", color=_MUTED, size=16)
        return figure
    # The truth, events large, states below, one strip of coverage at the bottom.
    shown = sorted(content.tracks, key=lambda pair: pair[0].kind != "events")
    heights = [3.4 if output.kind == "events" else 1.4 for output, _ in shown] + [0.16]
    true_tasks = [o.task for o, _ in shown if any(i.task == o.task for i in content.truth)]
    if true_tasks:
        heights.insert(0, 0.26 * len(true_tasks))
    grid = figure.add_gridspec(
        len(heights), 1, height_ratios=heights,
        left=0.235, right=0.93, top=0.85, bottom=0.085, hspace=0.2,
    )  # fmt: skip
    axes: list[Axes] = [figure.add_subplot(grid[0])]
    axes += [figure.add_subplot(grid[i], sharex=axes[0]) for i in range(1, len(heights))]
    if true_tasks:
        _draw_truth(axes[0], true_tasks, content)
    for ax, (output, track) in zip(axes[bool(true_tasks) :], shown, strict=False):
        if output.kind == "events":
            own = [event for event in content.events if event.task == output.task]
            true = {i.label for i in content.truth if i.task == output.task}
            _draw_raster(ax, output, track, own, true)
        else:
            _draw_curve(ax, output, track)
    _draw_coverage(axes[-1], shown[0][1])
    cuts = tuple(content.cuts) if len(content.cuts) <= _MAX_CUTS else ()
    _share_time_axis(axes, content.span, cuts)
    return figure


def _head(figure: Figure, content: TimelineContent) -> None:
    name, font = as_title((title_of(content.source) or "no source")[:60])
    # `$` would begin a formula.
    name, facts = (text.replace("$", r"\$") for text in (name, content.facts[:160]))
    figure.text(0.02, 0.945, name, font=font, size=19, color=_INK, va="center")
    figure.text(0.02, 0.902, facts, size=11, color=_MUTED, va="center")
    if content.is_untrained:
        figure.text(
            0.98, 0.945, UNTRAINED_NOTICE, size=13, weight="bold",
            color="white", ha="right", va="center",
            bbox={"facecolor": _ALARM, "edgecolor": "none", "boxstyle": "round,pad=0.5"},
        )  # fmt: skip


def _draw_truth(ax: Axes, tasks: Sequence[str], content: TimelineContent) -> None:
    """One row a task: dark bars with what happens; the axis is cut to the run's span later."""
    first, last = content.span
    for interval in content.truth:
        start, end = max(interval.start, first), min(interval.end, last)
        if interval.task not in tasks or start >= end:
            continue
        row = tasks.index(interval.task)
        ax.barh(row, end - start, left=start, height=0.84, color=_INK, edgecolor="white")
        letters = int((end - start) / (last - first) * _LETTERS)
        if letters >= _FEWEST_LETTERS:
            said = _short(interval.label, letters).replace("$", r"\$")
            ax.text(
                (start + end) / 2, row, said,
                size=8.5, color="white", ha="center", va="center", clip_on=True,
            )  # fmt: skip
    ax.set_ylim(len(tasks) - 0.5, -0.5)
    ax.set_yticks(range(len(tasks)), tasks)
    _style(ax, "truth   (what is performed in the clip; no prediction)")


def _shown_classes(
    output: OutputSpec, track: Track, events: Sequence[Event], true: Collection[str]
) -> list[int]:
    """Classes that had events or are true, then the most probable ones; in the bundle's order.

    At most 12.
    """
    had = {e.label for e in events} | set(true)
    # The 99th percentile ranks a class by its best moments, but not by one stray window.
    seen = track.probs[track.is_seen] if track.is_seen.any() else track.probs
    best = np.percentile(seen, 99, axis=0)
    candidates = [k for k in range(len(output.class_names)) if k != output.background]
    candidates.sort(key=lambda k: (output.class_names[k] not in had, -best[k]))
    return sorted(candidates[:_MAX_ROWS])


def _draw_raster(
    ax: Axes, output: OutputSpec, track: Track, events: Sequence[Event], true: Collection[str]
) -> None:
    classes = _shown_classes(output, track, events, true)
    steps, nearest, is_near = track.columns()
    is_unseen = is_near & ~track.is_seen[nearest]
    picture = track.probs[nearest][:, classes].T  # [rows, columns]
    picture = np.where(is_near & ~is_unseen, picture, np.nan)
    ax.fill_between(
        steps, 0, 1, where=is_unseen, color=_UNSURE, alpha=0.75, linewidth=0, step="mid",
        transform=ax.get_xaxis_transform(),
    )  # fmt: skip
    image = ax.imshow(
        picture, aspect="auto", interpolation="nearest", cmap=_GESTURE,
        norm=PowerNorm(0.7, vmin=0, vmax=float(np.nanmax(picture, initial=0.5))),
        extent=(steps[0], steps[-1], len(classes) - 0.5, -0.5),
    )  # fmt: skip
    rows = {output.class_names[k]: row for row, k in enumerate(classes)}
    for event in events:
        if event.label in rows:
            ax.add_patch(
                Rectangle(
                    (event.start, rows[event.label] - 0.42), max(event.end - event.start, 1e-3),
                    0.84, fill=False, edgecolor=_OUTLINE, linewidth=1.8,
                )
            )  # fmt: skip
    ax.set_yticks(range(len(classes)), [_short(output.class_names[k]) for k in classes])
    ax.set_yticks(np.arange(len(classes) - 1) + 0.5, minor=True)
    ax.grid(which="minor", axis="y", color="white", linewidth=2)
    more = len(output.class_names) - len(classes) - (output.background is not None)
    said = (
        f"{len(events)} event{'' if len(events) == 1 else 's'}, outlined" if events else "no event"
    )
    hidden = f"; {more} less probable classes not shown" if more > 0 else ""
    share = 100 * float(np.mean(is_unseen))
    unseen = f"; grey: too little seen, {share:.0f} % of the time" if share else ""
    _style(ax, f"{output.task}   ({said}{hidden}{unseen})")
    bar = ax.inset_axes((1.012, 0.0, 0.009, 1.0))
    ax.figure.colorbar(image, cax=bar)
    bar.tick_params(labelsize=9, colors=_MUTED, length=2)
    bar.set_ylabel("probability", size=9, color=_MUTED)
    for spine in bar.spines.values():
        spine.set_visible(False)


def _draw_curve(ax: Axes, output: OutputSpec, track: Track) -> None:
    """Smoothed and raw probability of the last class in alphabetical order, the others below it."""
    names = sorted(output.class_names)
    k = output.class_names.index(names[-1])
    steps, nearest, is_near = track.columns()
    is_unsure = ~(track.is_decided[nearest] & is_near)
    ax.fill_between(
        steps, 0, 1, where=is_unsure, color=_UNSURE, alpha=0.75, linewidth=0, step="mid",
        label="not sure",
    )  # fmt: skip
    if len(names) == 2 and output.thresholds.on > 0.5:
        for level in (output.thresholds.on, 1 - output.thresholds.on):
            ax.axhline(level, color=_MUTED, linewidth=0.8, linestyle=(0, (4, 4)))
    gaps = np.where(is_near, 0, np.nan)
    ax.plot(steps, track.probs[nearest, k] + gaps, color=_CURVE, alpha=0.3, linewidth=1)
    t, smooth = _broken_at_gaps(track)
    ax.plot(t, smooth, color=_CURVE, linewidth=2.4, label="smoothed")
    ax.set_ylim(0, 1)
    if len(names) == 2:
        ax.set_yticks([0, 0.5, 1], [names[0], "", names[1]])
    else:
        ax.set_yticks([0, 0.5, 1])
    ax.set_facecolor("#fbfbfc")
    share = float(np.mean(is_unsure))
    _style(
        ax, f"{output.task}   (grey: not sure or too little seen, {100 * share:.0f} % of the time)"
    )


def _broken_at_gaps(track: Track) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The smoothed curve with a NaN in each pause of more than three hops."""
    steps = np.diff(track.t)
    breaks = np.flatnonzero(steps > 3 * np.median(steps) if len(steps) else steps) + 1
    return np.insert(track.t, breaks, np.nan), np.insert(track.smooth, breaks, np.nan)


def _draw_coverage(ax: Axes, track: Track) -> None:
    steps, nearest, is_near = track.columns()
    strip = np.where(is_near, track.coverage[nearest], 0)[None]
    ax.imshow(
        strip, aspect="auto", interpolation="nearest", cmap="Greys", vmin=0, vmax=1.35,
        extent=(steps[0], steps[-1], 0, 1),
    )  # fmt: skip
    ax.set_yticks([0.5], ["person seen"])
    _style(ax, "")


def _share_time_axis(
    axes: Sequence[Axes], span: tuple[float, float], cuts: Sequence[float]
) -> None:
    for ax in axes:
        for t in cuts:
            ax.axvline(t, color=_INK, linewidth=0.9, linestyle=":")
        ax.set_xlim(span[0], max(span[1], span[0] + 0.1))
        is_last = ax is axes[-1]
        ax.tick_params(axis="x", which="both", labelbottom=is_last, length=3 if is_last else 0)
    is_long = span[1] - span[0] > 120
    if is_long:
        axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda t, _: clock(t)[:-2]))
    text = "time in the source" + ("" if is_long else " [s]")
    text += "; dotted: cuts, across which nothing is compared" if cuts else ""
    axes[-1].set_xlabel(text, color=_MUTED, size=11)


def _style(ax: Axes, title: str) -> None:
    ax.set_title(title, loc="left", size=12, color=_INK, pad=7)
    ax.tick_params(colors=_INK, labelsize=10.5, length=0, which="both")
    ax.tick_params(axis="x", colors=_MUTED)
    for side in ("top", "right", "left", "bottom"):
        ax.spines[side].set_color(_GRID)


def _short(name: str, most: int = 38) -> str:
    return name if len(name) <= most else name[: most - 2].rstrip(" ,") + "..."
