"""Hold out: a share of a data set's training people, or videos, for validation.

What is held out follows from the names alone: the same share of the same data is always the same.
In cross-validation the folds are the first such share, the second, and so on.
"""

import math
from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np

from train.annotations import Corpus, DataError, Video
from train.labels import EMOTIONS
from train.truth_file import TRUTH_COLUMNS, TRUTH_FILE

_SEED = 0
_CURE = f"; of layout A a {TRUTH_FILE} at its root names them ({','.join(TRUTH_COLUMNS)})"


def hold_out(corpus: Corpus, share: float, *, by_result: bool = False, fold: int = 1) -> Corpus:
    """Move a share of what is to be trained on to the split `val`; the other splits stay.

    Args:
        corpus: as it is published.
        share: of the training subjects, 0 to 1; 0 leaves everything as it is. At least one is
            held out, and one stays. Videos of unknown people stay, too.
        by_result: of the training videos instead, of each result alike: where a split is by video,
            people are on both sides anyway.
        fold: which share is held out, from 1; of a fifth there are five.

    Raises:
        DataError: the share is none, there are not two to choose from, or not so many folds.
    """
    if not 0 <= share < 1:
        raise DataError(f"--hold-out: expected a share of 0 or more and less than 1, got {share:g}")
    if share == 0:
        if fold != 1:
            raise DataError(f"--fold {fold}: expected --hold-out with it, as 0.2 for five folds")
        return corpus
    training = [video for video in corpus.videos if video.split == "train"]
    held = (_by_result if by_result else _by_subject)(training, share, fold)
    videos = tuple(replace(v, split="val") if v.id in held else v for v in corpus.videos)
    name = f"{corpus.name}, {share:g} held out" + (f", fold {fold}" if fold > 1 else "")
    return replace(corpus, name=name, videos=videos)


def known_people(corpus: Corpus) -> list[str]:
    """A line for each split that is judged by people who are learnt from, as far as they are named.

    Published splits have such, and what is held out joins them: iMiGUE's validation of the
    challenge shows nobody else.
    """
    learnt = {video.subject for video in corpus.videos if video.split == "train"} - {""}
    lines = []
    for split in ("val", "test"):
        judged = [video for video in corpus.videos if video.split == split]
        known = [video.id for video in judged if video.subject in learnt]
        if known:
            lines.append(
                f"{split}: {len(known)} of {len(judged)} videos show people who are learnt from, "
                f"too: {' '.join(known)}"
            )
    return lines


def _by_subject(training: Sequence[Video], share: float, fold: int) -> set[str]:
    named = [video for video in training if video.subject]
    people = {video.subject for video in named}
    chosen = _drawn(people, share, fold, "training people whom the data set names", _CURE)
    return {video.id for video in named if video.subject in chosen}


def _by_result(training: Sequence[Video], share: float, fold: int) -> set[str]:
    chosen = set()
    for result in range(len(EMOTIONS)):
        names = {video.id for video in training if video.emotion == result}
        what = f"training videos with the result {EMOTIONS[result]}"
        chosen |= _drawn(names, share, fold, what)
    return chosen


def _drawn(names: Set[str], share: float, fold: int, what: str, cure: str = "") -> set[str]:
    every = sorted(names)
    if len(every) < 2:
        raise DataError(f"--hold-out: expected 2 or more {what}, got {len(every)}{cure}")
    size = min(max(1.0, share * len(every)), len(every) - 1)  # 7.4 of 37: folds of 7 and of 8
    folds = math.ceil(len(every) / size - 1e-9)
    if not 1 <= fold <= folds:
        raise DataError(
            f"--fold: expected 1 to {folds} for {size:.3g} of {len(every)} {what}, got {fold}"
        )
    order = np.random.default_rng(_SEED).permutation(len(every))
    return {every[k] for k in order[round((fold - 1) * size) : round(fold * size)]}
