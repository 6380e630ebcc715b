"""One video on its way into the store: labels in stream time, people, gaps."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from realtime.records import Frame, Observation
from tests.clips import make_clip
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import DrawnPerson, TinyVideo
from train.annotations import Corpus, Segment, Video
from train.labels import MICRO_GESTURES
from train.perception import perception_of
from train.prepare import begin_store, perceive_video
from train.store import Store, open_store


class TwoPeople(DrawnPerson):
    """Somebody else sits down at 1.0 s; nobody is seen for the first three frames."""

    def __call__(self, frame: Frame) -> Observation:
        seen = super().__call__(frame)
        if frame.index < 3:
            return replace(seen, pose=None, face=None)
        return replace(seen, is_new_subject=frame.index == 10)


def drawn(
    tmp_path: Path,
    segments: tuple[Segment, ...],
    frames: int = 20,
    people: type[DrawnPerson] = DrawnPerson,
) -> Store:
    """One drawn video through `perceive_video`."""
    recipe = tiny()
    spec, out = perception_of(recipe), tmp_path / "store"
    clip = make_clip(tmp_path / "v.mp4", [k / 10 for k in range(frames)], size=(64, 48))
    video = Video("v", clip, "train", "somebody", segments, None)
    begin_store(out, Corpus("drawn", MICRO_GESTURES, (video,)), spec, is_trimmed=False)
    done = perceive_video(video, people(spec, TinyVideo("v", "train")), out)
    assert done.video is not None
    return open_store(out)


def test_labels_are_kept_in_stream_time(tmp_path: Path) -> None:
    store = drawn(tmp_path, (Segment(3, 0, 0), Segment(4, 5, 12), Segment(5, 19, 19)))
    spans = [(s.label, round(s.start, 3), round(s.end, 3)) for s in store.video("v").spans]
    assert spans == [(3, 0.0, 0.0), (4, 0.5, 1.2), (5, 1.9, 1.9)]
    assert not store.video("v").problems


def test_another_person_and_an_empty_place_are_kept_as_such(tmp_path: Path) -> None:
    store = drawn(tmp_path, (), people=TwoPeople)
    video = store.video("v")
    assert (video.frames, video.poses, video.faces) == (20, 17, 17)
    before, after = store.window("v", 0.0, 0.9), store.window("v", 0.0, 1.5)
    assert before is not None
    assert after is not None
    assert before.has_pose.tolist() == before.has_face.tolist() == [False] * 3 + [True] * 7
    assert np.isnan(before.xy[:3]).all()
    assert not before.faces[:3].any()
    assert (len(before), len(after)) == (10, 6)


def test_a_video_without_a_second_frame_is_a_video(tmp_path: Path) -> None:
    store = drawn(tmp_path, (Segment(3, 0, 4),), frames=1)
    video = store.video("v")
    assert (video.frames, video.start, video.end) == (1, 0.0, 0.0)
    assert video.problems == {"label cut at the video's end": 1}
