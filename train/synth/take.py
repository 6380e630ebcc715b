"""Take: one video from its number and a seed; who, what, where, and then every frame."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from train.annotations import RENDERED, Segment, Video, cues_beside
from train.labels import EMOTIONS, MICRO_GESTURES
from train.synth.avatar import load_avatar
from train.synth.backgrounds import Image, paint
from train.synth.body import Body, measure, skin_matrices
from train.synth.faces import draw_features
from train.synth.film import draw_film, draw_times, expose, write_mp4
from train.synth.gestures.classes import draw_length
from train.synth.imigue_writer import (
    LayoutName,
    video_path,
    write_labels,
    write_script,
)
from train.synth.people import somebody
from train.synth.performance import Performance
from train.synth.render import Renderer
from train.synth.scene import PORTRAIT_CM, SHOWN_CM, Scene, disguised, draw_scene
from train.synth.script import (
    PLAIN,
    PORTRAIT_S,
    RESTLESS,
    draw_labels,
    portrait,
    trimmed,
    untrimmed,
)
from train.synth.touches import write_cues

RECORDS = RENDERED
_VIDEO = TypeAdapter(Video)
_NEAR = 0.3
"""Share of strangers who are so near that hands at rest are out of the picture: so does a laptop's
camera show who sits at it."""


@dataclass(frozen=True)
class SynthOptions:
    """What a folder of rendered videos is made of; the same options make the same videos."""

    avatars: Path
    out: Path
    clips: int
    seed: int
    is_untrimmed: bool
    length_s: float
    """Of an untrimmed video."""
    people: dict[str, str]
    """Avatar -> split: train, val or test."""
    layout: LayoutName
    size: tuple[int, int]
    """(h, w) px."""
    is_portrait: bool = False
    """Moments of a face, nearer and without a gesture: many cheap faces for the emotion branch."""
    is_strangers: bool = False
    """Most videos show somebody else: another build and face, other skin, hair and clothes."""

    def record(self, clip: int) -> Path:
        """The file that says that a video is finished, and what is in it."""
        return self.out / RECORDS / f"{clip + 1:04d}.json"

    def subject(self, clip: int) -> str:
        """Who is in a clip: everyone in turn."""
        names = tuple(self.people)
        return names[clip % len(names)]


class Studio:
    """What a worker keeps between videos: a renderer and the bodies seen so far."""

    def __init__(self, options: SynthOptions) -> None:
        self._options = options
        self._renderer = Renderer(options.size)
        self._bodies: dict[str, Body] = {}

    def body(self, name: str) -> Body:
        """An avatar, measured once."""
        if name not in self._bodies:
            self._bodies[name] = measure(load_avatar(self._options.avatars, name))
        return self._bodies[name]

    def close(self) -> None:
        """Give the graphics context back."""
        self._renderer.close()

    def shoot(self, clip: int, *, attempt: int = 0) -> Iterator[int]:
        """Render one video and write all its files; yields the frames done so far.

        Args:
            clip: its number, from 0.
            attempt: how often it has failed; a later attempt shifts time by 2 ms each, because a
                software renderer was seen to hang on single pictures.
        """
        options = self._options
        name, subject = f"{clip + 1:04d}", options.subject(clip)
        body = cast(options, clip, self.body(subject))
        rng, performance, scene = stage(options, clip, body, 0.002 * attempt)
        film = draw_film(rng)
        backdrop = paint(rng, options.size)
        split = options.people[subject]
        path = video_path(options.out, options.layout, split, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        pictures = self._pictures(body, performance, scene, backdrop)
        t = performance.t - performance.t[0]
        yield from write_mp4(partial, t, expose(rng, film, pictures), film.crf)
        video = Video(
            id=name, path=path, split=split, subject=subject,
            segments=segments(performance), emotion=performance.emotion,
        )  # fmt: skip
        if options.layout == "A":
            write_labels(options.out, video)
        write_script(path.with_name(f"{name}_truth.csv"), performance)
        write_cues(cues_beside(path), body, performance)
        partial.replace(path)
        record = options.record(clip).with_suffix(".partial")
        record.write_bytes(_VIDEO.dump_json(video))
        record.replace(options.record(clip))  # from now on the video counts as done

    def _pictures(
        self, body: Body, performance: Performance, scene: Scene, backdrop: Image
    ) -> Iterator[Image]:
        self._renderer.show(body.avatar)
        for bones, morphs in zip(performance.bones, performance.morphs, strict=True):
            yield self._renderer.draw(skin_matrices(body, bones), morphs, scene, backdrop)


def cast(options: SynthOptions, clip: int, body: Body) -> Body:
    """Who performs in a video: the avatar of its number, or somebody made out of it."""
    if not options.is_strangers:
        return body
    return somebody(np.random.default_rng([options.seed, clip, 1]), body)


def stage(
    options: SynthOptions, clip: int, body: Body, shift_s: float = 0.0
) -> tuple[np.random.Generator, Performance, Scene]:
    """What a video shows, without its pictures.

    Args:
        options: of the folder.
        clip: the video's number, from 0.
        body: who performs, see `cast`.
        shift_s: by how much the frames are later.

    Returns:
        The generator, which draws film and backdrop next; the movement; camera, light, clothes.
    """
    rng = np.random.default_rng([options.seed, clip])
    performance = _perform(rng, options, clip, body, shift_s)
    scene = draw_scene(rng, body, _shown_cm(options, clip))
    return rng, performance, disguised(rng, scene) if options.is_strangers else scene


def _shown_cm(options: SynthOptions, clip: int) -> tuple[float, float]:
    if options.is_portrait:
        return PORTRAIT_CM
    rng = np.random.default_rng([options.seed, clip, 3])
    if options.is_strangers and rng.random() < _NEAR:
        return PORTRAIT_CM[0], SHOWN_CM[0]
    return SHOWN_CM


def _perform(
    rng: np.random.Generator, options: SynthOptions, clip: int, body: Body, shift_s: float
) -> Performance:
    features = None
    if options.is_strangers:
        features = draw_features(np.random.default_rng([options.seed, clip, 2]))
    emotion = (*range(len(EMOTIONS)), *range(len(EMOTIONS)), None)[rng.integers(5)]
    if options.is_portrait:
        t = draw_times(rng, PORTRAIT_S) + shift_s
        return portrait(rng, body, t, clip // len(options.people) % len(EMOTIONS), features)
    if options.is_untrimmed:
        t = draw_times(rng, options.length_s) + shift_s
        labels = draw_labels(rng, 4 * int(options.length_s))
        manner = RESTLESS if options.is_strangers else PLAIN
        return untrimmed(rng, body, t, emotion, labels.tolist(), features, manner=manner)
    t = draw_times(rng, draw_length(rng) + 0.4) + shift_s
    return trimmed(rng, body, t, emotion, clip % len(MICRO_GESTURES), features)


def segments(performance: Performance) -> tuple[Segment, ...]:
    """The truth in frames; gestures between two frames of a slow camera are left out."""
    out = []
    for label in performance.truth:
        inside = np.flatnonzero((performance.t >= label.start) & (performance.t <= label.end))
        if len(inside):
            out.append(Segment(label.label, int(inside[0]), int(inside[-1])))
    return tuple(out)
