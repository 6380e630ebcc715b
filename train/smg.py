"""SMG on disk -> Corpus: spontaneous micro-gestures, 17 classes (Chen et al., IJCV 2023).

    ROOT/SampleNNNN/SampleNNNN_{color.mp4, data.csv, finelabels.csv, skeleton.csv}

`data.csv` holds frames, frames a second, depth; `finelabels.csv` rows of class (from 1), first and
last frame (from 1). Samples 1 to 35 are the training subjects', 36 to 40 the test subjects'.
"""

from collections import Counter
from pathlib import Path

from train.annotations import Corpus, DataError, Segment, Video

CLASSES = (
    "Turtling neck and shoulder",
    "Rubbing eyes and forehead",
    "Folding arms",
    "Touching or covering suprasternal notch",
    "Moving legs",
    "Touching or scratching neck",
    "Folding arms behind body",
    "Rubbing hands and crossing fingers",
    "Arms akimbo",
    "Crossing legs",
    "Scratching some part of body",
    "Scratching or touching facial parts other than eyes",
    "Playing or adjusting hair",
    "Holding arms",
    "Pulling shirt collar",
    "Playing with jewelry, manipulating objects",
    "Illustrative hand gestures",
)
TRAIN_SAMPLES = 35
"""Subjects 1 to 35 train, 36 to 40 test: the published split."""
_PICTURES = ("_color.mp4", "_color.avi", ".mp4", ".avi")


def read_smg(root: Path) -> Corpus:
    """All samples below a folder.

    Raises:
        DataError: nothing is there, or a label row is malformed.
    """
    skipped: Counter[str] = Counter()
    videos = []
    for folder in sorted(root.glob("Sample[0-9]*")):
        name = folder.name
        table = folder / f"{name}_finelabels.csv"
        path = next((p for s in _PICTURES if (p := folder / f"{name}{s}").exists()), None)
        if not table.exists():
            skipped["sample without label file"] += 1
        elif path is None:
            skipped["video missing"] += 1
        else:
            number = int(name.removeprefix("Sample"))
            split = "train" if number <= TRAIN_SAMPLES else "test"
            videos.append(Video(name, path, split, str(number), _segments(table), None))
    if not videos:
        raise DataError(f"{root}: expected folders SampleNNNN with videos and labels, found none")
    return Corpus("SMG", CLASSES, tuple(videos), skipped)


def _segments(table: Path) -> tuple[Segment, ...]:
    out = []
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            label, start, end = (int(float(cell)) for cell in line.split(","))
        except ValueError:
            raise DataError(f"{table}, row {number}: expected class,start,end") from None
        if not 1 <= label <= len(CLASSES) or not 1 <= start <= end:
            raise DataError(
                f"{table}, row {number}: expected a class of 1 to {len(CLASSES)} and "
                f"1 <= start <= end, got {line}"
            )
        out.append(Segment(label - 1, start - 1, end - 1))
    return tuple(out)
