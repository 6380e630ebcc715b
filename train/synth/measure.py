"""Measures an estimator's errors: rendered people's bones beside what `prepare` saw of them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from engines.skeleton import MEDIAPIPE33
from train.annotations import DataError
from train.store import Store
from train.synth.avatar import load_avatar
from train.synth.body import measure
from train.synth.estimator import (
    JOINTS,
    KNOTS,
    Estimator,
    as_body,
    key_of,
    resampled,
    shoulder_width,
)
from train.synth.keypoints import carry, mediapipe_places
from train.synth.rotations import Floats
from train.synth.take import RECORDS, SynthOptions, cast, stage

_WIDTH, _BATCH, _LR = 192, 512, 2e-3
_MOMENT_S, _HOP_S = 2.13, 0.7
_MOMENTS = 1200
_TOLERANCE_S = 0.02
_MIRROR = list(MEDIAPIPE33.mirror[:JOINTS])


@dataclass(frozen=True, eq=False)
class Pair:
    """One video: T frames of a body, and what was seen of it."""

    subject: str
    t: NDArray[np.float64]
    body: Floats
    """float32 [T, 25, 3], see `estimator`."""
    seen: Floats
    """float32 [T, 25, 3]."""
    conf: Floats
    """float32 [T, 25]."""


def measure_estimator(
    sources: Sequence[tuple[Path, Store]], avatars: Path, seed: int, *, steps: int = 2500
) -> Estimator:
    """The errors of the estimator behind stores of rendered training videos.

    Args:
        sources: folders that `synth` has rendered, each with what `prepare` has made of it.
        avatars: who was rendered.
        seed: of everything that is left to chance.
        steps: of each of the networks, one for all people and one without each of them.

    Raises:
        DataError: a folder was not rendered by `synth`, or there are fewer than two people in the
            stores' training splits.
        AvatarError: an avatar is missing.
    """
    pairs = [pair for folder, store in sources for pair in _pairs(folder, avatars, store)]
    if len(_subjects(pairs)) < 2:
        raise DataError(
            f"{', '.join(str(store.folder) for _, store in sources)}: errors are measured on two "
            "people or more of the split 'train'"
        )
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    net = _fitted(pairs, "all", steps)
    moments = [moment for pair in pairs for moment in _moments(pair)]
    # What a network leaves over of people whom it has learnt from says too little.
    by_others = {
        s: _fitted([p for p in pairs if p.subject != s], f"without {s}", steps)
        for s in _subjects(pairs)
    }
    chosen = rng.permutation(len(moments))[:_MOMENTS]
    keys, rests, shakes, conf = [], [], [], []
    for pair, at in (moments[k] for k in chosen):
        rest = pair.seen[at] - pair.body[at] - _errors(by_others[pair.subject], pair.body[at])
        knots = resampled(rest, KNOTS)
        keys.append(key_of(pair.body[at]))
        rests.append(knots)
        shakes.append((rest - resampled(knots, len(at))).std(axis=0))
        conf.append(pair.conf[at[np.rint(np.linspace(0, len(at) - 1, KNOTS)).astype(int)]])
    linear = [layer for layer in net.net if isinstance(layer, nn.Linear)]
    return Estimator(
        weights=tuple(layer.weight.detach().numpy() for layer in linear),
        biases=tuple(layer.bias.detach().numpy() for layer in linear),
        mean=net.mean.numpy(), spread=net.spread.numpy(),
        keys=np.stack(keys), rests=np.stack(rests), shakes=np.stack(shakes),
        conf=np.stack(conf),
    )  # fmt: skip


def _subjects(pairs: list[Pair]) -> list[str]:
    return sorted({pair.subject for pair in pairs})


def _pairs(rendered: Path, avatars: Path, store: Store) -> Iterator[Pair]:
    """Every training video of both."""
    options = _options(rendered, avatars)
    for video in tqdm(store.videos("train"), desc="bones", unit="video"):
        clip = int(video.id) - 1
        if not options.record(clip).exists():
            raise DataError(f"{rendered}: has no video {video.id}, which {store.folder} has")
        body = cast(options, clip, measure(load_avatar(avatars, options.subject(clip))))
        _, performance, scene = stage(options, clip, body)
        points = carry(body, performance.bones, mediapipe_places(body))
        window = store.window(video.id, video.start, video.end, anchor=0.5, inputs=())
        assert window is not None
        t = performance.t - performance.t[0]
        at = np.clip(np.searchsorted(t, window.t - _TOLERANCE_S), 0, len(t) - 1)
        seen = window.has_pose & (np.abs(t[at] - window.t) < _TOLERANCE_S)
        xy, camera = scene.camera.project(points[at[seen]], options.size), scene.camera
        space = (points[at[seen]] - camera.eye) @ camera.rotation.T
        true_widths = shoulder_width(xy), shoulder_width(space)
        seen_widths = shoulder_width(window.xy[seen]), shoulder_width(window.xyz[seen])
        yield Pair(
            video.subject or "", window.t[seen], as_body(xy, -space[..., 2], true_widths),
            as_body(window.xy[seen], window.xyz[seen][..., 2], seen_widths),
            window.conf[seen][:, :JOINTS],
        )  # fmt: skip


def _options(rendered: Path, avatars: Path) -> SynthOptions:
    path = rendered / RECORDS / "options.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        clips = len(list(path.parent.glob("[0-9]*.json")))
        known["size"] = tuple(known["size"])
        known.pop("xlsx", None)  # what was asked of earlier versions, beside the videos
        return SynthOptions(avatars=avatars, out=rendered, clips=clips, **known)
    except (OSError, ValueError, TypeError, KeyError):
        raise DataError(f"{rendered}: expected a folder that `train synth` has rendered") from None


class _MeanError(nn.Module):
    def __init__(self, bodies: Tensor) -> None:
        super().__init__()
        self.mean, self.spread = bodies.mean(0), bodies.std(0) + 0.02
        size = bodies.shape[1]
        self.net = nn.Sequential(
            nn.Linear(size, _WIDTH), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(_WIDTH, _WIDTH), nn.ReLU(), nn.Dropout(0.1), nn.Linear(_WIDTH, size),
        )  # fmt: skip

    def forward(self, bodies: Tensor) -> Tensor:
        """[N, 75] -> [N, 75]."""
        x = (bodies - self.mean) / self.spread
        return self.net(x + 0.05 * torch.randn_like(x) if self.training else x)


def _fitted(pairs: list[Pair], name: str, steps: int) -> _MeanError:
    bodies = np.concatenate([pair.body for pair in pairs])
    errors = np.concatenate([pair.seen for pair in pairs]) - bodies
    x = torch.from_numpy(np.concatenate([bodies, _mirrored(bodies)])).flatten(1)
    y = torch.from_numpy(np.concatenate([errors, _mirrored(errors)])).flatten(1)
    net = _MeanError(x)
    optimizer = torch.optim.AdamW(net.parameters(), _LR, weight_decay=0.05)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in tqdm(range(steps), desc=f"errors, {name}", unit="step"):
        batch = torch.randint(len(x), (_BATCH,))
        loss = F.smooth_l1_loss(net(x[batch]), y[batch], beta=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
    return net.eval()


def _mirrored(points: Floats) -> Floats:
    return points[:, _MIRROR] * np.array([-1, 1, 1], np.float32)


@torch.inference_mode()
def _errors(net: _MeanError, bodies: Floats) -> Floats:
    return net(torch.from_numpy(bodies).flatten(1)).numpy().reshape(bodies.shape)


def _moments(pair: Pair) -> Iterator[tuple[Pair, NDArray[np.intp]]]:
    """Moments that overlap, each as the indices of its frames."""
    for start in np.arange(pair.t[0], pair.t[-1] - _MOMENT_S, _HOP_S):
        at = np.flatnonzero((pair.t >= start) & (pair.t <= start + _MOMENT_S))
        if len(at) >= KNOTS and np.diff(pair.t[at]).max() < 0.5:
            yield pair, at
