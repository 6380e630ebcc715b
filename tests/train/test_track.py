"""One video on its way into the store: labels in stream time, people, gaps."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from realtime.records import Frame, Observation
from tests.clips import make_clip
from tests.train.tiny_recipe import tiny
from tests.train.tiny_store import DrawnPerson, TinyVideo
from train.annotations import Corpus, Segment, Video
from train.labels import MICRO_GESTURES
from train.perception import perception_of
from train.prepare import Prepared, begin_store, perceive_video, prepare
from train.store import Store, open_store


class TwoPeople(DrawnPerson):
    """Somebody else sits down at 1.0 s; nobody is seen for the first three frames."""

    def __call__(self, frame: Frame) -> Observation:
        seen = super().__call__(frame)
        if frame.index < 3:
            return replace(seen, pose=None, face=None)
        return replace(seen, is_new_subject=frame.index == 10)


def damage(clip: Path, frames: range) -> None:
    """Let the coded pictures of these frames be noise, as on a bad disk."""
    with av.open(str(clip)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(clip.read_bytes())
    rng = np.random.default_rng(0)
    for at, size in (packets[k] for k in frames):
        assert at is not None
        content[at : at + size] = rng.bytes(size)
    clip.write_bytes(content)


def drawn(
    tmp_path: Path,
    segments: tuple[Segment, ...],
    frames: int = 20,
    people: type[DrawnPerson] = DrawnPerson,
    *,
    times: Sequence[float] | None = None,
    damaged: range = range(0),
) -> Store:
    """One drawn video through `perceive_video`; frames come every 0.1 s, or at `times`."""
    recipe = tiny()
    spec, out = perception_of(recipe), tmp_path / "store"
    stamps = [k / 10 for k in range(frames)] if times is None else times
    clip = make_clip(tmp_path / "v.mp4", stamps, size=(64, 48))
    damage(clip, damaged)
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


class TwoShots(DrawnPerson):
    """The picture is cut at 1.0 s."""

    def __call__(self, frame: Frame) -> Observation:
        return replace(super().__call__(frame), is_cut=frame.index == 10)


def test_a_cut_is_kept_and_windows_do_not_look_across_it(tmp_path: Path) -> None:
    store = drawn(tmp_path, (), people=TwoShots)
    assert store.video("v").cuts == pytest.approx((1.0,))
    whole, early = store.window("v", 0.0, 1.9, anchor=0.5), store.window("v", 0.0, 1.9, anchor=0.4)
    late = store.window("v", 0.9, 1.9, anchor=0.5)
    assert whole is not None
    assert early is not None
    assert late is not None
    assert np.array_equal(whole.t, early.t)
    assert (whole.xy[10:] == whole.xy[9]).all()
    assert (early.rgb[:10] != early.rgb[10]).any()
    assert (early.xy[10:] == early.xy[9]).all()
    assert (late.xy[0] == late.xy[1]).all()
    assert (late.xy[1] != late.xy[2]).any()


def test_a_store_that_does_not_know_of_cuts_is_read(tmp_path: Path) -> None:
    store = drawn(tmp_path, (), people=TwoShots)
    path = store.folder / "videos" / "v.json"
    text = json.loads(path.read_text())
    del text["cuts"]
    path.write_text(json.dumps(text))
    assert open_store(store.folder).video("v").cuts == ()


def test_another_person_and_an_empty_place_are_kept_as_such(tmp_path: Path) -> None:
    store = drawn(tmp_path, (), people=TwoPeople)
    video = store.video("v")
    assert (video.frames, video.poses, video.faces) == (20, 17, 17)
    before, after = store.window("v", 0.0, 0.9, anchor=0.5), store.window("v", 0.0, 1.5, anchor=0.5)
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


def spans(store: Store) -> list[tuple[int, float, float]]:
    return [(s.label, round(s.start, 3), round(s.end, 3)) for s in store.video("v").spans]


@pytest.mark.parametrize("uneven", [False, True])
def test_labels_after_damaged_frames_stay_where_they_are(tmp_path: Path, *, uneven: bool) -> None:
    """20 to 29, a group of pictures, are lost; labels count them all the same."""
    segments = (
        Segment(3, 5, 9), Segment(4, 15, 33), Segment(5, 22, 25), Segment(6, 40, 49),
        Segment(7, 55, 70), Segment(8, 60, 61),
    )  # fmt: skip
    times = [round(k / 10 + (0.03 if uneven and k % 3 else 0), 3) for k in range(60)]
    store = drawn(tmp_path, segments, times=times, damaged=range(20, 30))
    assert spans(store) == [
        (3, times[5], times[9]), (4, times[15], times[33]), (6, times[40], times[49]),
        (7, times[55], times[59]),
    ]  # fmt: skip
    problems = dict(store.video("v").problems)
    assert problems.pop("damaged frame, left out") > 0
    assert problems == {
        "label on damaged frames alone, left out": 1, "label cut at the video's end": 1,
        "label beyond the video's end, left out": 1,
    }  # fmt: skip


def test_damage_at_the_beginning_moves_stream_time_and_the_labels_with_it(tmp_path: Path) -> None:
    segments = (Segment(3, 2, 5), Segment(4, 8, 15), Segment(5, 30, 39))
    store = drawn(tmp_path, segments, frames=40, damaged=range(10))
    assert store.video("v").frames == 30
    assert spans(store) == [(4, 0.0, 0.5), (5, 2.0, 2.9)]


def test_a_damaged_video_that_is_there_already_is_not_done_again(tmp_path: Path) -> None:
    segments = (Segment(3, 5, 9), Segment(6, 40, 49))
    store = drawn(tmp_path, segments, frames=60, damaged=range(20, 30))
    video = Video("v", tmp_path / "v.mp4", "train", "somebody", segments, None)
    corpus = Corpus("drawn", MICRO_GESTURES, (video,))
    reports: list[Prepared] = []
    tally = prepare(
        corpus, store.info.perception, store.folder, is_trimmed=False, workers=1,
        report=reports.append,
    )  # fmt: skip
    assert tally.resumed == 1
    assert tally.skipped == store.video("v").problems
    assert reports[0].video == store.video("v")
