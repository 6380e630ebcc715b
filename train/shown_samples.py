"""Which windows of a store are looked at, and what is known of them."""

from collections.abc import Sequence

import numpy as np

from train.annotations import DataError
from train.contact_sheet import Sample
from train.dataset import labels_at, window_ends
from train.labels import EMOTIONS, UNLABELLED
from train.perception import perception_of
from train.recipes import Recipe
from train.store import Store
from train.store_files import StoredVideo


def fitting_recipe(store: Store, recipes: Sequence[Recipe]) -> Recipe:
    """The first of the recipes that the store was prepared for, one of its gestures before others.

    Raises:
        DataError: it was prepared for none of them.
    """
    fitting = [recipe for recipe in recipes if perception_of(recipe) == store.info.perception]
    if fitting:
        return next((r for r in fitting if r.gestures == store.class_names), fitting[0])
    names = ", ".join(recipe.name for recipe in recipes)
    raise DataError(
        f"{store.folder}: was prepared with other perception than the recipes {names} ask for"
    )


def sample_at(store: Store, name: str, at: float, recipe: Recipe) -> Sample:
    """The window of a video whose label is about the instant `at`, as near as its length allows.

    Raises:
        DataError: there is no such video, or it does not last so long.
    """
    video = _video(store, name)
    if not video.start <= at <= video.end:
        raise DataError(
            f"--at: video {name} lasts from {video.start:.2f} to {video.end:.2f} s, got {at:g}"
        )
    span_s, anchor = recipe.window.span_s, recipe.window.anchor
    end = max(at + span_s * (1 - anchor), video.start + span_s)
    return _sample(store, video, min(end, video.end), recipe)


def spread_samples(
    store: Store, recipe: Recipe, number: int, *, name: str | None = None, split: str | None = None
) -> list[Sample]:
    """Windows at annotated gestures, spread over classes and videos.

    Of a video without any it is the middle.

    Raises:
        DataError: there is no such video, or none of that split.
    """
    videos = [_video(store, name)] if name is not None else store.videos(split)
    if not videos or (split is not None and videos[0].split != split):
        known = ", ".join(sorted({video.split for video in store.videos()}))
        what = f"video {name} is not" if videos else "there is no video"
        raise DataError(f"{store.folder}: {what} of the split {split!r}; its splits: {known}")
    places = []
    for video in videos:
        for end in window_ends(video, recipe, 1.0, is_trimmed=True):
            label = labels_at(video, end, recipe, store).get("micro_gesture", UNLABELLED)
            places.append((label, video.id, end))
    places.sort()
    chosen = np.unique(np.linspace(0, len(places) - 1, number).round().astype(int))
    return [
        _sample(store, store.video(places[k][1]), places[k][2], recipe) for k in chosen
    ]  # fmt: skip


def _video(store: Store, name: str) -> StoredVideo:
    names = [video.id for video in store.videos()]
    if name not in names:
        raise DataError(
            f"{store.folder}: has no video {name!r}, but {len(names)} from {names[0]} "
            f"to {names[-1]}"
        )
    return store.video(name)


def _sample(store: Store, video: StoredVideo, end: float, recipe: Recipe) -> Sample:
    spec = recipe.window
    start = max(end - spec.span_s, video.start)
    window = store.window(video.id, start, end, anchor=spec.anchor, inputs=recipe.inputs)
    if window is None:
        raise DataError(f"{store.folder}: video {video.id} has no frame before {end:.2f} s")
    labels = labels_at(video, end, recipe, store)
    gesture, emotion = labels.get("micro_gesture", UNLABELLED), labels.get("emotion", UNLABELLED)
    span_s = min(spec.span_s, video.end - video.start)
    at = end - span_s * (1 - spec.anchor)
    title = "not annotated" if gesture == UNLABELLED else store.class_names[gesture]
    if gesture != UNLABELLED and not any(s.start <= at <= s.end for s in video.spans):
        title += " (nothing annotated here)"
    facts = [
        f"video {video.id}, {video.split}"
        + (f", subject {video.subject}" if video.subject else ""),
        f"emotion: {'not annotated' if emotion == UNLABELLED else EMOTIONS[emotion]}",
        f"{window.start:.2f} to {window.end:.2f} s, {len(window)} frames",
        f"pose in {window.has_pose.mean():.0%}, face in {window.has_face.mean():.0%} of them",
    ]
    if not store.is_whole(video.id, start, end, spec.max_gap_s):
        facts.append("over a pause or a change of person: not learned from")
    spans = tuple((s.start, s.end) for s in video.spans)
    return Sample(window, at, spans, title, tuple(facts))
