"""Real people, never trained or tuned on: what the runtime says of three clips.

The bundle runs over each clip as `python -m realtime analyze` runs it. What counts is laid down
without looking at any score:

- *A hand is at the head* in a frame in which a wrist, pinky, index or thumb of perception's own
  pose lies within `REACH` shoulder widths of the nearest of nose, eyes, ears and mouth corners, all
  in the picture. The frames were looked at: 0.4 gives the intervals in which the hand is seen at
  mouth, chin, cheek or forehead (0.50-1.07, 1.93-3.03, 4.03-4.53, 6.07-6.80, 7.90-8.33 and
  10.43-10.87 s); with 0.55 a hand on its way there and one before the throat count as well.
- *The top micro-gesture* is the first bar of the panel: the most probable class of the smoothed
  probabilities, at the instant that the prediction is about. If that is the background, it is no
  hand-to-head class; neither is the neck. Time for which there is no answer counts as wrong.
- A frame with a hand at the head is right if an answer with a hand-to-head class on top lies within
  `TOLERANCE_S` of it. At the torso there is no such tolerance: the share of all answers counts
  (although the fist of `help` passes before the chin for half a second).
- *The smile* is judged by windows, not by the smoothed state, whose time constant is longer than
  the smile. Smiling are windows whose middle shows the smile; before are those that end before
  it begins. As the clip begins half a second before the smile, its neutral beginning is played to
  and fro ahead of it, a window long. A window is positive if that class is as likely
  as the bundle asks before it shows a state. (That was not laid down blindly: up to bundle 0.10.0
  more than a half was enough, and the face at rest was known to have 0.67.)
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from engines.engine import Engine
from engines.skeleton import LAYOUTS
from engines.tensor_specs import WHOLE_HANDS
from realtime.config import Config
from realtime.lineup import Lineup, load_lineup
from realtime.perception import Perceiver, open_perceiver
from realtime.pipeline import analyze
from realtime.records import Frame, Pose, Prediction, Snapshot, Status
from realtime.sources import open_source
from train.annotations import DataError
from train.labels import EMOTIONS, MICRO_GESTURES

HEAD_CLIP = "intel_asl_hand_to_face.mp4"
TORSO_CLIP = "intel_asl_torso_hands.mp4"
SMILE_CLIP = "pyfeat_single_face_neutral_smile.mp4"
HAND_TO_HEAD = frozenset(MICRO_GESTURES[k] for k in (*range(2, 11), 12))
TOLERANCE_S, REACH, MIN_CONF = 0.35, 0.4, 0.3
AT_HEAD_AT_LEAST, AT_TORSO_AT_MOST = 0.6, 0.1
NEUTRAL_UNTIL_S, SMILE_S = 0.5, (0.67, 2.27)
_SMILE_HOP_S = 0.1
_GESTURE, _EMOTION = "micro_gesture", "emotion"
_HANDS = (*WHOLE_HANDS[0], *WHOLE_HANDS[1])
_HEAD = (
    "nose", "left_eye", "right_eye", "left_eye_inner", "right_eye_inner", "left_eye_outer",
    "right_eye_outer", "left_ear", "right_ear", "mouth_left", "mouth_right",
)  # fmt: skip


@dataclass(frozen=True)
class Share:
    """A share of some seconds of a clip."""

    value: float
    """0..1; not a number where there are no such seconds."""
    of_s: float


@dataclass(frozen=True)
class Windows:
    """Some windows of a clip, judged one by one."""

    count: int
    positive: int
    mean: float
    """Mean probability of the positive class; not a number where there is no window."""


@dataclass(frozen=True)
class RealPeople:
    """What was measured; what the bundle has no task for is None."""

    hand_at_head: Share | None
    """Of the time that a hand is at the head: a hand-to-head class on top."""
    hands_at_torso: Share | None
    """Of the time that is answered for: a hand-to-head class on top, which is wrong."""
    smiling: Windows | None
    before_smile: Windows | None


@dataclass(frozen=True)
class Answer:
    """What the panel shows first, and the instant that it is about."""

    at: float
    top: str | None
    """None while too little is seen."""


def measure(folder: Path, clips: Path, config: Config, device: str) -> RealPeople:
    """Run a bundle over the clips.

    Raises:
        DataError: a clip is missing.
        TellsError: the bundle, its perception or a clip cannot be used.
    """
    lineup = load_lineup([folder], config)
    has_gestures = any(
        o.task == _GESTURE and o.class_names == MICRO_GESTURES for o in lineup.manifests[0].outputs
    )
    has_emotion = any(o.task == _EMOTION for o in lineup.manifests[0].outputs)
    check_clips(clips)
    at_head = at_torso = smiling = before = None
    with ExitStack() as stack:
        run = _Run(
            lineup, lineup.open_engines(stack, device),
            stack.enter_context(open_perceiver(lineup.perception)),
        )  # fmt: skip
        if has_gestures:
            at_head = share_at_head(list(run("at the head", frames_of(clips / HEAD_CLIP))))
            snapshots = run("at the torso", frames_of(clips / TORSO_CLIP))
            at_torso = share_of_answers(answers(snapshots), config.hop_s)
        if has_emotion:
            frames = with_lead_in(
                list(frames_of(clips / SMILE_CLIP)), lineup.manifests[0].window.span_s
            )
            fine = replace(run, lineup=replace(lineup, config=replace(config, hop_s=_SMILE_HOP_S)))
            predictions = [p for s in fine("smile", frames) for p in s.predictions]
            smiling, before = judge_smile(predictions, _shown_from(lineup))
    return RealPeople(at_head, at_torso, smiling, before)


def check_clips(clips: Path) -> None:
    """Make sure that the clips are there.

    Raises:
        DataError: one is missing.
    """
    for name in (HEAD_CLIP, TORSO_CLIP, SMILE_CLIP):
        if not (clips / name).is_file():
            raise DataError(
                f"{clips / name}: expected a clip of real people, there is no such file"
            )


@dataclass(frozen=True)
class _Run:
    """The offline loop over one clip after another, on the thread that opened the engines."""

    lineup: Lineup
    engines: Sequence[Engine]
    perceiver: Perceiver

    def __call__(self, what: str, frames: Iterable[Frame]) -> Iterator[Snapshot]:
        self.perceiver.reset()
        bar = tqdm(frames, desc=f"real people, {what}", unit="frame")
        for snapshot in analyze(
            bar, self.perceiver, self.lineup.buffer(), self.lineup.predictor(self.engines),
            self.lineup.decider(), status=Status(),
        ):  # fmt: skip
            # A few hundred pictures are not kept.
            yield replace(snapshot, frame=replace(snapshot.frame, image=np.zeros((1, 1, 3), "u1")))


def frames_of(path: Path) -> Iterator[Frame]:
    """Every frame of a clip."""
    with open_source(str(path)) as source:
        yield from source


def answers(snapshots: Iterable[Snapshot]) -> list[Answer]:
    """What the panel shows of the gestures, each time that it changes."""
    out = []
    for snapshot in snapshots:
        at = [p.at for p in snapshot.predictions if p.task == _GESTURE]
        if at:
            (top,) = (e.top for e in snapshot.estimates if e.task == _GESTURE)
            out.append(Answer(at[-1], top[0][0] if top else None))
    return out


def share_at_head(snapshots: Sequence[Snapshot]) -> Share:
    """Of the time that a hand is at the head: a hand-to-head class is on top, near enough."""
    t = np.array([s.frame.t for s in snapshots])
    is_there = np.array([is_hand_at_head(s.observation.pose) for s in snapshots], bool)
    right = np.array([a.at for a in answers(snapshots) if a.top in HAND_TO_HEAD])
    wanted = t[is_there]
    near = np.abs(wanted[:, None] - right[None]) <= TOLERANCE_S + 1e-6
    step = float(np.median(np.diff(t))) if len(t) > 1 else 0.0
    return Share(_mean(near.any(axis=1)), len(wanted) * step)


def share_of_answers(given: Sequence[Answer], hop_s: float) -> Share:
    """Of all answers: a hand-to-head class is on top."""
    return Share(_mean([a.top in HAND_TO_HEAD for a in given]), len(given) * hop_s)


def is_hand_at_head(pose: Pose | None) -> bool:
    """True if a hand of this pose is within reach of the head."""
    if pose is None:
        return False
    layout = LAYOUTS[pose.layout]
    hands, head = (
        pose.xy[[k for k in layout.indices(names) if pose.conf[k] > MIN_CONF]]
        for names in (_HANDS, _HEAD)
    )
    left, right = pose.xy[list(layout.indices(("left_shoulder", "right_shoulder")))]
    if not len(hands) or not len(head):
        return False
    nearest = np.linalg.norm(hands[:, None] - head[None], axis=-1).min()
    return bool(nearest <= REACH * np.linalg.norm(left - right))


def with_lead_in(frames: Sequence[Frame], lead_s: float) -> list[Frame]:
    """The clip after `lead_s` seconds of its neutral beginning, to and fro, at negative times."""
    still = [f for f in frames if f.t - frames[0].t <= NEUTRAL_UNTIL_S]
    if len(still) < 2:
        return list(frames)
    step = (still[-1].t - still[0].t) / (len(still) - 1)
    count = math.ceil(lead_s / step)
    order = np.pad(np.arange(len(still)), (count, 0), mode="reflect")[:count]
    lead = [
        replace(still[k], t=frames[0].t - step * (count - i), index=i) for i, k in enumerate(order)
    ]
    return lead + [replace(f, index=count + f.index) for f in frames]


def _shown_from(lineup: Lineup) -> float:
    outputs = lineup.manifests[0].outputs
    return next(o.thresholds.on for o in outputs if o.task == _EMOTION)


def judge_smile(predictions: Iterable[Prediction], shown_from: float) -> tuple[Windows, Windows]:
    """Windows of the smile, and windows before it; positive from that probability on."""
    smiling, before = [], []
    for p in predictions:
        if p.task != _EMOTION:
            continue
        prob = float(p.probs[EMOTIONS.index("positive")])
        if p.end <= NEUTRAL_UNTIL_S:
            before.append(prob)
        elif SMILE_S[0] <= p.at <= SMILE_S[1]:
            smiling.append(prob)
    return _windows(smiling, shown_from), _windows(before, shown_from)


def _windows(probs: Sequence[float], shown_from: float) -> Windows:
    return Windows(len(probs), sum(p >= shown_from for p in probs), _mean(probs))


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def numbers(found: RealPeople) -> dict[str, Any]:
    """For machines; what is not a number is None."""
    out: dict[str, Any] = {}
    for name, item in vars(found).items():
        if item is not None:
            out[name] = {k: None if v != v else v for k, v in vars(item).items()}
    return out


def lines(found: RealPeople) -> list[str]:
    """For people."""
    out = ["real people, never trained or tuned on"]
    if (s := found.hand_at_head) is not None:
        out.append(
            f"  a hand at the head: hand-to-head on top {s.value:.1%} of {s.of_s:.1f} s "
            f"(expected at least {AT_HEAD_AT_LEAST:.0%})"
        )
    if (s := found.hands_at_torso) is not None:
        out.append(
            f"  hands at the torso: hand-to-head on top {s.value:.1%} of {s.of_s:.1f} s "
            f"(expected at most {AT_TORSO_AT_MOST:.0%})"
        )
    for what, wanted, w in (
        ("smiling", "all", found.smiling), ("before the smile", "none", found.before_smile)
    ):  # fmt: skip
        if w is not None:
            out.append(
                f"  {what}: {w.positive} of {w.count} windows positive, mean {w.mean:.2f} "
                f"(expected {wanted})"
            )
    return out
