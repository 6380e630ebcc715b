"""SMG on disk -> Corpus: spontaneous micro-gestures, 17 classes (Chen et al., IJCV 2023).

    ROOT/SampleNNNN/SampleNNNN_{color.mp4, data.csv, finelabels.csv, skeleton.csv}

`finelabels.csv` holds rows of class (from 1), first and last frame (from 1). Samples 1 to 35 are
the training subjects', 36 to 40 the test subjects'. The Kinect's skeletons are not read.
"""

from pathlib import Path

from train.annotations import Corpus, DataError, Skips, Video
from train.archives import advice
from train.label_rows import Counting, label_rows, segments_of
from train.labels import SMG_GESTURES

TRAIN_SAMPLES = 35
"""Subjects 1 to 35 train, 36 to 40 test: the published split."""
_PICTURES = ("_color.mp4", "_color.avi", ".mp4", ".avi")


def read_smg(root: Path, *, frame_shift: int = 0, skip_bad: bool = False) -> Corpus:
    """All samples below a folder.

    Args:
        root: holds the folders `SampleNNNN`.
        frame_shift: added to frame numbers, -1, 0 or 1.
        skip_bad: count malformed rows instead of refusing them.

    Raises:
        DataError: nothing is there, or a label row is malformed.
    """
    counting = Counting(
        {number: index for index, number in enumerate(range(1, len(SMG_GESTURES) + 1))},
        f"a class of 1 to {len(SMG_GESTURES)}", first_frame=1, shift=frame_shift,
    )  # fmt: skip
    skips = Skips()
    videos = []
    for folder in sorted(p for p in root.glob("Sample*") if p.is_dir()):
        name, digits = folder.name, folder.name.removeprefix("Sample")
        table = folder / f"{name}_finelabels.csv"
        path = next((p for s in _PICTURES if (p := folder / f"{name}{s}").exists()), None)
        if not digits.isdecimal():
            skips.add("folder is not SampleNNNN", name)
        elif not table.exists():
            skips.add("video without label file", name)
        elif path is None:
            skips.add("video missing", f"{name} (expected {folder / (name + _PICTURES[0])})")
        else:
            split = "train" if int(digits) <= TRAIN_SAMPLES else "test"
            rows = label_rows(table)
            segments = segments_of(table, rows, counting, skips, skip_bad=skip_bad)
            videos.append(Video(name, path, split, str(int(digits)), segments, None, len(rows)))
    if not videos:
        why = "; ".join(f"{reason}: {count}" for reason, count in skips.counts.items())
        raise DataError(
            f"{root}: expected folders SampleNNNN with videos and labels, "
            f"found none that can be used{f' ({why})' if why else ''}{advice(root)}"
        )
    shifted = f", frames {frame_shift:+d}" if frame_shift else ""
    return Corpus(
        f"SMG{shifted}", SMG_GESTURES, tuple(videos), skips.counts, tuple(skips.notes),
        first_frame=-counting.offset,
    )  # fmt: skip
