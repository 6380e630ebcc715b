"""What the page is told: records as plain JSON values. NaN becomes null."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from engines.manifest import RENDERED_PEOPLE, Manifest, OutputSpec, TaskMetrics
from realtime.records import Estimate, Event, Snapshot, Status
from realtime.truth import TrueMoment

Json = dict[str, Any]


def describe_session(manifests: Sequence[Manifest], *, runtime: str, emotion: bool) -> Json:
    """What does not change while the page is up: bundles, tasks, runtime.

    Args:
        manifests: of the opened bundles.
        runtime: runtime, device and precision.
        emotion: False where the host has switched emotion inference off.
    """
    tasks = [_task(output, m) for m in manifests for output in m.outputs]
    return {
        "runtime": runtime,
        "bundles": [{"id": m.id, "untrained": m.source.is_untrained} for m in manifests],
        "tasks": [task for task in tasks if emotion or task["kind"] == "events"],
        "emotion_off": not emotion and any(task["kind"] == "state" for task in tasks),
    }


def describe_snapshot(
    snapshot: Snapshot, now: float, *, made: float, truths: Sequence[TrueMoment] = ()
) -> Json:
    """One picture's numbers; its events travel on their own, because pictures may be skipped.

    Args:
        snapshot: what the session knows.
        now: `time.monotonic()`.
        made: when the snapshot was, on the same clock: a lost camera's last one gets old.
        truths: of the moments that its estimates are about, where they are known.
    """
    return {
        "t": _number(snapshot.frame.t),
        "following": snapshot.observation.following,
        "estimates": [_estimate(e, snapshot.frame.t) for e in snapshot.estimates],
        "truths": [_truth(moment, snapshot.frame.t) for moment in truths],
        "status": describe_status(snapshot.status, now, made=made),
    }


def describe_status(status: Status, now: float, *, made: float) -> Json:
    """The status line; `lost_for_s` instead of a time stamp of this machine's clock."""
    status = replace(status, prediction_age_s=status.prediction_age_s + max(0.0, now - made))
    values = {name: _number(value) for name, value in asdict(status).items()}
    lost_since = values.pop("lost_since")
    values["lost_for_s"] = None if lost_since is None else max(0.0, now - lost_since)
    return values


def describe_event(event: Event, number: int) -> Json:
    """One closed gesture; `number` counts the camera's events, so that none shows twice."""
    values = asdict(event)
    return {"number": number} | {name: _number(value) for name, value in values.items()}


def _task(output: OutputSpec, manifest: Manifest) -> Json:
    background = None if output.background is None else output.class_names[output.background]
    measured = next((m for m in manifest.metrics if m.task == output.task), None)
    return {
        "task": output.task,
        "kind": output.kind,
        "classes": list(output.class_names),
        "background": background,
        "on": output.thresholds.on,
        "majority": None if measured is None else _number(measured.majority),
        "right": None if measured is None else _right(measured),
        # What of the data it was, which follows after commas, says nothing to people.
        "measured_on": None if measured is None else measured.split.partition(",")[0],
        "is_rendered": measured is not None and measured.split.startswith(RENDERED_PEOPLE),
    }


def _right(measured: TaskMetrics) -> str | None:
    """In how many cases: a share alone would hide how few there were."""
    if measured.top1 is None:
        return None
    return f"{round(measured.top1 * measured.n)} of {measured.n}"


def _estimate(estimate: Estimate, t: float) -> Json:
    at = t if estimate.at is None else estimate.at
    return {
        "task": estimate.task,
        "label": estimate.label,
        "prob": _number(estimate.prob),
        "for_s": _number(max(0.0, at - estimate.since)),
        "ago_s": None if estimate.at is None else _number(max(0.0, t - at)),
        "reason": estimate.reason,
        "top": [[name, _number(prob)] for name, prob in estimate.top],
    }


def _truth(moment: TrueMoment, t: float) -> Json:
    ago_s = _number(max(0.0, t - moment.t))
    return {"task": moment.task, "label": moment.label, "ago_s": ago_s}


def _number(value: Any) -> Any:
    if isinstance(value, float):
        return round(float(value), 4) if math.isfinite(value) else None
    return value
