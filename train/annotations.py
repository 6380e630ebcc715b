"""What a data set says about its videos, in one form whatever files it came in."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from engines.errors import TellsError

RENDERED = ".synth"
"""The folder in which `train synth` keeps its records: a data set that has it is no recording."""


def cues_beside(video: Path) -> Path:
    """Where `train synth` writes what hands touch and faces do in the frames of a video.

    An array of `train.synth.touches.CUES_DTYPE`.
    """
    return video.with_name(f"{video.stem}_cues.npy")


class DataError(TellsError):
    """A data set cannot be used as it is: the message says what was expected and what came."""


@dataclass(frozen=True)
class Segment:
    """One annotated gesture."""

    label: int
    """Index into `Corpus.class_names`; `train.labels.UNLABELLED` where the class is hidden."""
    start: int
    """First frame, 0-based."""
    end: int
    """Last frame, 0-based, inclusive."""
    row: int | None = field(default=None, compare=False)
    """Of its video's label file, from 0: the challenge calls clips by it."""


@dataclass(frozen=True)
class Video:
    """One video and all that is annotated in it."""

    id: str
    path: Path
    split: str
    """train, val or test."""
    subject: str
    """Who is seen; videos of one person share it. Empty where the data set does not say."""
    segments: tuple[Segment, ...]
    emotion: int | None
    """Index into `train.labels.EMOTIONS`; None where it is not annotated."""
    rows: int = field(default=0, compare=False)
    """Of its label file, those that became no segment among them."""
    is_annotated: bool = field(default=True, compare=False)
    """Whether its gestures are known, all of them with their classes; of a challenge's test they
    may be hidden, it is only to be answered for."""


@dataclass(frozen=True)
class Corpus:
    """A data set on disk."""

    name: str
    class_names: tuple[str, ...]
    videos: tuple[Video, ...]
    skipped: Counter[str] = field(default_factory=Counter)
    """Why something was left out or changed -> how often; never silent."""
    notes: tuple[str, ...] = ()
    """The same one by one, as `what: why`."""
    first_frame: int = 0
    """What its label files call a video's first frame."""


class Skips:
    """Collects what a reader leaves out or changes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []

    def add(self, reason: str, what: str) -> None:
        """Count a reason, and note what it is about."""
        self.counts[reason] += 1
        self.notes.append(f"{what}: {reason}")
