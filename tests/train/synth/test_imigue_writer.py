"""What is written in iMiGUE's layouts is read back by the same readers as the data set."""

from pathlib import Path

import numpy as np

from train.annotations import Segment, Video
from train.imigue import raw_class, read_layout_a, read_layout_b
from train.labels import ILLUSTRATIVE
from train.synth.imigue_writer import (
    LayoutName,
    video_path,
    write_labels,
    write_script,
    write_summary,
)
from train.synth.performance import Performance, TimedLabel

SPLITS = ("train", "val", "test")


def written(root: Path, layout: LayoutName) -> list[Video]:
    """Three videos, one a split, the last with a face in between."""
    videos = []
    for k, split in enumerate(SPLITS):
        name = f"{k + 1:04d}"
        path = video_path(root, layout, split, name)
        path.parent.mkdir(parents=True)
        path.touch()
        segments = (Segment(k, 0, 4), Segment(ILLUSTRATIVE, 5, 9), Segment(30 - k, 9, 11))
        video = Video(name, path, split, f"person{k}", segments, (0, 1, None)[k])
        if layout == "A":
            write_labels(root, video)
        videos.append(video)
    write_summary(root, layout, videos)
    return videos


def test_layout_a_gives_back_labels_splits_people_and_emotions(tmp_path: Path) -> None:
    videos = written(tmp_path, "A")
    corpus = read_layout_a(tmp_path)
    assert sorted(corpus.videos, key=lambda v: v.id) == videos
    assert not corpus.skipped


def test_layout_b_gives_back_labels_people_and_emotions(tmp_path: Path) -> None:
    videos = written(tmp_path, "B")
    corpus = read_layout_b(tmp_path, split="miga")
    got = {video.id: video for video in corpus.videos}
    for video in videos:
        other = got[video.id]
        assert (other.path, other.subject, other.segments, other.emotion) == (
            video.path, video.subject, video.segments, video.emotion,
        )  # fmt: skip


def test_classes_have_the_numbers_of_the_data_set() -> None:
    assert [raw_class(0), raw_class(30), raw_class(ILLUSTRATIVE)] == [1, 31, 99]


def test_nothing_half_written_stays_behind(tmp_path: Path) -> None:
    written(tmp_path, "A")
    assert list(tmp_path.rglob("*.partial")) == []


def test_the_script_in_seconds_counts_from_the_first_frame(tmp_path: Path) -> None:
    t = np.array([5.0, 5.5, 6.0, 7.0])
    truth = (TimedLabel(8, 4.9, 5.6), TimedLabel(ILLUSTRATIVE, 5.6, 6.0), TimedLabel(0, 6.2, 7.2))
    nothing = np.zeros((4, 0), np.float32)
    write_script(tmp_path / "t.csv", Performance(t, nothing, nothing, truth, nothing, 1))
    assert (tmp_path / "t.csv").read_text().split() == [
        "task,label,start_s,end_s", "micro_gesture,Touching", "ears,0.0,0.6",
        "micro_gesture,Turtle", "neck,1.2,2.0", "emotion,positive,0.0,2.0",
    ]  # fmt: skip
