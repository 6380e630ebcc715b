import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.decide import TaskSpec
from realtime.errors import OutputError
from realtime.records import Prediction, Status
from realtime.timeline import Timeline
from realtime.truth import TrueInterval, Truth
from tests.realtime.scene import OUTPUTS, estimates_at, event, predictions_at, snapshot

ALARM = (179, 38, 30)
OUTLINE = (217, 105, 30)
INK = (32, 37, 44)
DARK = (8, 61, 59)
UNSEEN = (223, 227, 231)  # as it looks on white
UNSURE = (223, 226, 231)  # as it looks over the curve's ground

TASKS = tuple(TaskSpec(output, 0.5, untrained=False) for output in OUTPUTS)


def picture_of(timeline: Timeline, path: Path) -> np.ndarray:
    timeline.save(path)
    read = cv2.imread(str(path))
    assert read is not None
    return np.asarray(read[:, :, ::-1])


def count(picture: np.ndarray, color: tuple[int, int, int], tolerance: int = 8) -> int:
    return int((np.abs(picture.astype(int) - color).max(axis=-1) <= tolerance).sum())


def filled(seconds: float = 20.0, *, untrained: bool = False, hop_s: float = 0.25) -> Timeline:
    timeline = Timeline(TASKS)
    for t in np.arange(2.0, seconds, hop_s):
        timeline.write(
            snapshot(
                float(t),
                estimates=estimates_at(float(t), untrained=untrained),
                predictions=predictions_at(float(t)),
            )
        )
    return timeline


def test_the_picture_has_report_size_and_shows_probabilities_and_abstention(tmp_path: Path) -> None:
    picture = picture_of(filled(), tmp_path / "timeline.png")
    assert picture.shape == (900, 1600, 3)
    dark = np.argwhere(np.abs(picture.astype(int) - DARK).max(axis=-1) <= 8)
    assert len(dark) > 20_000  # one class at its highest probability all the time
    assert np.ptp(dark[:, 1]) > 1000
    assert count(picture, UNSURE) > 20_000  # the emotion abstains all the time
    assert count(picture, ALARM) == 0


def test_untrained_weights_are_named_on_the_picture(tmp_path: Path) -> None:
    assert count(picture_of(filled(untrained=True), tmp_path / "a.png"), ALARM) > 5_000
    timeline = filled()
    timeline.write(snapshot(21.0, status=Status(untrained=True)))
    assert count(picture_of(timeline, tmp_path / "b.png"), ALARM) > 5_000


def test_two_cameras_of_one_path_have_different_titles(tmp_path: Path) -> None:
    titles = []
    for source in ("rtsp://door/live", "rtsp://hall/live"):
        timeline, shot = Timeline(TASKS), snapshot(3.0)
        timeline.write(replace(shot, frame=replace(shot.frame, source=source)))
        titles.append(picture_of(timeline, tmp_path / "timeline.png")[20:80])
    assert (titles[0] != titles[1]).any()


def test_events_are_outlined_where_they_happened(tmp_path: Path) -> None:
    timeline = filled()
    assert count(picture_of(timeline, tmp_path / "before.png"), OUTLINE, 20) < 10
    timeline.write(snapshot(20.1, new_events=(replace(event(10.0, "Folding arms"), end=12.0),)))
    picture = picture_of(timeline, tmp_path / "after.png")
    outlined = np.argwhere(np.abs(picture.astype(int) - OUTLINE).max(axis=-1) <= 20)
    assert len(outlined) > 200
    # The axis reaches from 2.0 s at x = 376 to 20.1 s at x = 1488.
    left, right = outlined[:, 1].min(), outlined[:, 1].max()
    assert left == pytest.approx(376 + 1112 * 8 / 18.1, abs=6)
    assert right == pytest.approx(376 + 1112 * 10 / 18.1, abs=6)


def test_the_truth_is_a_row_of_its_own_where_it_happens(tmp_path: Path) -> None:
    true = [
        TrueInterval("micro-gesture", "Folding arms", 8.0, 10.0),
        TrueInterval("micro-gesture", "Pressing lips $", 30.0, 31.0),  # beyond the run
        TrueInterval("posture", "upright", 0.0, 20.0),  # no bundle predicts it
    ]
    timeline = Timeline(TASKS, Truth(tuple(true)))
    for t in np.arange(2.0, 20.1, 0.25):
        timeline.write(snapshot(float(t), predictions=predictions_at(float(t))))
    picture = picture_of(timeline, tmp_path / "timeline.png")
    row = picture[146, 380:]  # the only row, right of its name
    dark = 380 + np.flatnonzero(np.abs(row.astype(int) - INK).max(axis=-1) <= 8)
    # The axis reaches from 2.0 s at x = 376 to 20.0 s at x = 1488.
    assert dark.min() == pytest.approx(376 + 1112 * 6 / 18, abs=6)
    assert dark.max() == pytest.approx(376 + 1112 * 8 / 18, abs=6)
    without = picture_of(filled(), tmp_path / "without.png")
    assert count(without[140:152, 380:1480], INK) == 0


def test_a_gesture_that_nobody_was_seen_to_do_is_grey(tmp_path: Path) -> None:
    timeline, nobody = Timeline(TASKS), Timeline(TASKS)
    for t in np.arange(2.0, 20.0, 0.25):
        gesture, _ = predictions_at(float(t))
        unseen = replace(gesture, coverage=0.1)
        nobody.write(snapshot(float(t), predictions=(unseen,)))
        timeline.write(snapshot(float(t), predictions=(gesture if t < 11 else unseen,)))
    half, none = (
        picture_of(x, tmp_path / name)[200:700, 380:1480]
        for x, name in ((timeline, "half.png"), (nobody, "none.png"))
    )
    dark, grey = (  # columns of px
        np.flatnonzero((np.abs(half.astype(int) - color).max(axis=-1) <= 8).sum(axis=0) > 100)
        for color in (DARK, UNSEEN)
    )
    assert dark.max() < grey.min() == pytest.approx(1112 / 2, abs=80)
    assert count(none, DARK) == 0
    assert count(none, UNSEEN) > 300_000


def test_a_pause_of_the_stream_stays_blank(tmp_path: Path) -> None:
    timeline = Timeline(TASKS)
    for t in (*np.arange(2, 8, 0.25), *np.arange(14, 20, 0.25)):
        timeline.write(snapshot(float(t), predictions=predictions_at(float(t))))
    picture = picture_of(timeline, tmp_path / "timeline.png")
    dark = np.argwhere(np.abs(picture.astype(int) - DARK).max(axis=-1) <= 8)
    columns = np.unique(dark[:, 1])
    assert np.diff(columns).max() > 250


def test_a_short_gesture_survives_hours_of_predictions_in_bounded_memory(tmp_path: Path) -> None:
    timeline = Timeline(TASKS)
    quiet = np.array([0.01, 0.01, 0.01, 0.97], np.float32)
    burst = np.array([0.01, 0.01, 0.97, 0.01], np.float32)
    shot = snapshot(0.0)
    for i in range(40_000):  # 2 h 47 min at a hop of 0.25 s
        t = i / 4
        probs = burst if 20_000 <= i < 20_004 else quiet
        prediction = Prediction("s", "micro-gesture", t - 2, t, t, probs, 1.0, 0.1, "demo 1.0")
        frame = replace(shot.frame, t=t)
        timeline.write(replace(shot, frame=frame, predictions=(prediction,)))
    record = timeline._records["micro-gesture"]
    assert record._rows.nbytes < 1_000_000
    track = record.track(0.5)
    assert track is not None
    assert len(track.t) <= 4096
    assert track.probs[:, 2].max() == pytest.approx(0.97)
    assert track.t[track.probs[:, 2].argmax()] == pytest.approx(5000, abs=8)
    assert (np.diff(track.t) > 0).all()
    timeline.save(tmp_path / "timeline.png")


@pytest.mark.parametrize("hops", [0, 1, 2])
def test_a_run_that_ended_at_once_still_gives_a_picture(tmp_path: Path, hops: int) -> None:
    timeline = Timeline(TASKS)
    for i in range(hops):
        timeline.write(snapshot(2.0 + i / 4, predictions=predictions_at(2.0 + i / 4)))
    assert picture_of(timeline, tmp_path / "timeline.png").shape == (900, 1600, 3)


def test_a_source_that_begins_anew_does_not_fold_the_time_axis(tmp_path: Path) -> None:
    timeline = filled(10.0)
    for t in (1.0, 1.25):
        timeline.write(snapshot(t, predictions=predictions_at(t)))
    track = timeline._records["emotion"].track(0.5)
    assert track is not None
    assert (np.diff(track.t) > 0).all()


def test_saving_is_quick_and_needs_no_main_thread(tmp_path: Path) -> None:
    timeline = filled(600.0)
    start = time.perf_counter()
    thread = threading.Thread(target=timeline.save, args=(tmp_path / "timeline.png",))
    thread.start()
    thread.join(timeout=30)
    assert (tmp_path / "timeline.png").stat().st_size > 10_000
    assert time.perf_counter() - start < 10


def test_a_folder_that_is_gone_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Cannot write .*timeline\.png: No such file"):
        filled().save(tmp_path / "gone" / "timeline.png")


def test_cuts_are_dotted_lines_while_they_are_few(tmp_path: Path) -> None:
    pictures = []
    for number, cuts in enumerate(((), (5.0, 9.0), tuple(np.arange(2.0, 19.0, 0.05)))):
        timeline = filled()
        for t in cuts:
            seen = snapshot(float(t))
            observation = replace(seen.observation, is_cut=True)
            for _ in range(2):  # live, a frame may come again with news
                timeline.write(replace(seen, observation=observation))
        pictures.append(picture_of(timeline, tmp_path / f"{number}.png"))
    plain, two, many = (count(picture[110:700], INK) for picture in pictures)
    assert plain + 100 < two
    assert abs(many - plain) < 20
