"""A folder -> Corpus, whichever data set it holds."""

from pathlib import Path

from train.annotations import Corpus, DataError
from train.imigue import SplitName, layout_of, read_layout_a, read_layout_b
from train.smg import read_smg


def open_corpus(
    root: Path,
    layout: str,
    *,
    frame_shift: int = 0,
    split: SplitName | None = None,
    skip_bad: bool = False,
) -> Corpus:
    """Read the annotations of a data set.

    Args:
        root: its folder.
        layout: `A` or `B` of iMiGUE, `smg`, or `auto` for what the folder looks like.
        frame_shift: added to frame numbers, -1, 0 or 1: where a label then begins before the
            video, it is cut at its first frame, and counted.
        split: which of layout B's published splits; None takes `original`.
        skip_bad: count malformed label rows instead of refusing them.

    Raises:
        DataError: it is none of them, cannot be read, or has no splits to choose from.
    """
    if not root.is_dir():
        raise DataError(f"{root}: expected the folder of a data set, there is none")
    if layout == "auto":
        layout = layout_of(root) or ("smg" if any(root.glob("Sample[0-9]*")) else "A")
    if split is not None and layout != "B":
        what = "SMG" if layout == "smg" else "layout A"
        raise DataError(
            f"--split: expected layout B, which has several, {root} is {what}: its own split is "
            "taken; leave --split out"
        )
    if layout == "smg":
        return read_smg(root, frame_shift=frame_shift, skip_bad=skip_bad)
    if layout == "B":
        return read_layout_b(
            root, frame_shift=frame_shift, split=split or "original", skip_bad=skip_bad
        )
    return read_layout_a(root, frame_shift=frame_shift, skip_bad=skip_bad)
