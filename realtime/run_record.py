"""`run.json`: what ran, on what, for how long, with which versions."""

import json
import math
import os
import platform
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from engines.manifest import Manifest
from realtime.output_folder import RUN_FILE, unwritable
from realtime.records import Snapshot
from realtime.stats import Latencies

_PACKAGES = (
    "tells", "openvino", "onnxruntime", "onnxruntime-gpu", "tensorrt", "pycuda", "cuda-bindings",
    "mediapipe", "opencv-python", "av", "numpy",
)  # fmt: skip
_MOST_LATENCIES, _MOST_OUTAGES = 10_000, 1000


@dataclass(frozen=True)
class Counts:
    """How much was seen, predicted and lost."""

    frames: int = 0
    frames_with_pose: int = 0
    frames_with_face: int = 0
    frames_with_nobody: int = 0
    """Frames with neither pose nor face."""
    frames_dropped: int = 0
    predictions: int = 0
    windows_dropped: int = 0
    events: int = 0


@dataclass(frozen=True)
class Outage:
    """A time without the camera."""

    at: float
    """Stream seconds of the last frame before it."""
    lasted_s: float | None
    """Until the next frame; None if none came."""


class Tally:
    """Counts snapshots; `write` like a sink's. For one source and one thread."""

    def __init__(self) -> None:
        self._counts = Counts()
        self._latencies = Latencies(most=_MOST_LATENCIES)
        self._outages: deque[Outage] = deque(maxlen=_MOST_OUTAGES)
        self._lost_at: float | None = None
        self._first_t: float | None = None
        self._last_t = 0.0

    @property
    def counts(self) -> Counts:
        """What was counted so far."""
        return self._counts

    @property
    def stream_s(self) -> float:
        """Stream seconds from the first to the last counted frame."""
        return 0.0 if self._first_t is None else self._last_t - self._first_t

    @property
    def outages(self) -> tuple[Outage, ...]:
        """When the camera was lost, the last 1000 times, and whether it still is."""
        still = () if self._lost_at is None else (Outage(self._lost_at, None),)
        return (*self._outages, *still)

    def latency_s(self, q: float) -> float:
        """The q-th percentile (0..100) of the last 10 000 predictions' latencies, or NaN."""
        return self._latencies.percentile(q)

    def write(self, snapshot: Snapshot, *, is_new_frame: bool = True) -> None:
        """Count one snapshot; of a repeated frame only its predictions and events."""
        c, seen, status = self._counts, snapshot.observation, snapshot.status
        is_nobody = seen.pose is None and seen.face is None
        self._counts = Counts(
            frames=c.frames + is_new_frame,
            frames_with_pose=c.frames_with_pose + (is_new_frame and seen.pose is not None),
            frames_with_face=c.frames_with_face + (is_new_frame and seen.face is not None),
            frames_with_nobody=c.frames_with_nobody + (is_new_frame and is_nobody),
            frames_dropped=max(c.frames_dropped, status.frames_dropped),
            predictions=c.predictions + len(snapshot.predictions),
            windows_dropped=max(c.windows_dropped, status.windows_dropped),
            events=c.events + len(snapshot.new_events),
        )
        for prediction in snapshot.predictions:
            self._latencies.add(prediction.latency_s)
        self._note_outage(snapshot, is_new_frame)
        self._last_t = snapshot.frame.t
        if self._first_t is None:
            self._first_t = snapshot.frame.t

    def _note_outage(self, snapshot: Snapshot, is_new_frame: bool) -> None:
        t = snapshot.frame.t
        if not snapshot.status.connected:
            self._lost_at = t
        elif self._lost_at is not None and is_new_frame:
            self._outages.append(Outage(self._lost_at, t - self._lost_at))
            self._lost_at = None


@dataclass(frozen=True)
class RunRecord:
    """One run. May be written when it starts and again when it ends.

    Raises:
        ValueError: the source holds a password.
    """

    command: str
    """`analyze` or `live`."""
    source: str
    """The source's id: its URI without credentials."""
    bundles: Sequence[Manifest]
    device: str
    """What was asked for: `auto`, `cpu`, ..."""
    runtime: str
    """What was opened, e.g. `OpenVINO CPU bf16`."""
    started: str
    """ISO 8601, UTC."""
    first_frame: str | None = None
    """ISO 8601, UTC: when the first recorded frame arrived. Its `t` in the other files is 0 for a
    camera; times of a clip are the clip's."""
    ended: str | None = None
    """ISO 8601, UTC; None while it runs."""
    outcome: Literal["running", "finished", "interrupted", "failed"] = "running"
    counts: Counts = field(default_factory=Counts)
    wall_s: float = 0.0
    stream_s: float = 0.0
    """Stream seconds that were worked through."""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    """Stage -> median ms, where it was measured."""
    latency_p50_s: float = math.nan
    """Arrival of a window's last frame -> its prediction."""
    latency_p95_s: float = math.nan
    outages: Sequence[Outage] = ()

    def __post_init__(self) -> None:
        if urlsplit(self.source).password is not None:
            raise ValueError("RunRecord.source must be an id without credentials")

    @property
    def real_time_factor(self) -> float | None:
        """`wall_s / stream_s`: below 1 is faster than the clip plays. None where nothing ran."""
        return self.wall_s / self.stream_s if self.stream_s > 0 else None


def write_run_json(folder: Path, record: RunRecord) -> Path:
    """Write `run.json` into `folder`, in one piece, over an earlier one of the same run.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / RUN_FILE
    part = path.with_suffix(f".part{os.getpid()}")
    text = json.dumps(_as_json(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise unwritable(path, error) from None
    return path


def is_finished(folder: Path, source: str) -> bool:
    """True if a run left its whole results of this source there."""
    try:
        document = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(document, dict):
        return False
    return (document.get("outcome"), document.get("source")) == ("finished", source)


def versions() -> dict[str, str]:
    """Versions of Python, of this program and of what of its libraries is installed."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _describe(manifest: Manifest) -> dict[str, object]:
    """What made the predictions, and all that it takes to read their numbers."""
    source = manifest.source
    return {
        "id": manifest.id, "tasks": list(manifest.tasks), "data": source.data,
        "untrained": source.is_untrained, "revision": source.revision,
        "min_coverage": manifest.window.min_coverage,
        "outputs": {
            o.task: {
                "kind": o.kind,
                "class_names": list(o.class_names),
                "background": None if o.background is None else o.class_names[o.background],
                "thresholds": asdict(o.thresholds),
            }
            for o in manifest.outputs
        },
    }  # fmt: skip


def _as_json(record: RunRecord) -> dict[str, object]:
    factor = record.real_time_factor
    return {
        "command": record.command,
        "outcome": record.outcome,
        "started": record.started,
        "first_frame": record.first_frame,
        "ended": record.ended,
        "source": record.source,
        "bundles": [_describe(m) for m in record.bundles],
        "device": record.device,
        "runtime": record.runtime,
        "counts": asdict(record.counts),
        "outages": [
            {"at_s": _rounded(o.at), "lasted_s": _rounded(o.lasted_s)} for o in record.outages
        ],
        "timings": {
            "wall_s": round(record.wall_s, 3),
            "stream_s": round(record.stream_s, 3),
            "real_time_factor": None if factor is None else round(factor, 4),
            "latency_p50_s": _rounded(record.latency_p50_s),
            "latency_p95_s": _rounded(record.latency_p95_s),
            "stage_ms": {k: round(v, 3) for k, v in record.stage_ms.items() if math.isfinite(v)},
        },
        "versions": versions(),
    }  # fmt: skip


def _rounded(seconds: float | None) -> float | None:
    return round(seconds, 4) if seconds is not None and math.isfinite(seconds) else None
