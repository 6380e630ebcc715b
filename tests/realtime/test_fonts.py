"""Names in any script on the pictures: a font that has the letters, or `?` in their place."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.fonts import SANS, SANS_BOLD, spelled
from realtime.lettering import text_alpha
from realtime.timeline import Timeline
from tests.realtime.scene import snapshot

CIRCLED = "\u24d0"
"""A letter that DejaVu Sans lacks in bold; STIX, which matplotlib brings along too, has it."""
NOBODYS = "\U000ffffe"
"""A letter that no font has."""


@pytest.mark.parametrize("usual", [SANS, SANS_BOLD])
def test_the_usual_font_is_used_wherever_it_has_the_letters(usual: Path) -> None:
    assert spelled("Grüße_Ωмир.mp4", usual) == (("Grüße_Ωмир.mp4", usual),)


def test_another_font_is_found_for_letters_that_the_usual_one_lacks() -> None:
    before, other, after = spelled(f"a {CIRCLED} clip.mp4", SANS_BOLD)
    assert (before, after) == (("a ", SANS_BOLD), (" clip.mp4", SANS_BOLD))
    assert other[0] == CIRCLED
    assert other[1] != SANS_BOLD


def test_letters_that_no_font_has_are_replaced_for_all_to_see() -> None:
    assert spelled(f"a{NOBODYS}b\n{NOBODYS}.mp4") == (("a?b??.mp4", SANS),)
    for bold in (False, True):
        shown = text_alpha(f"caf\xe9{NOBODYS}", 12, bold)
        assert (shown == text_alpha("caf\xe9?", 12, bold)).all()


@pytest.mark.parametrize("name", ["\u5b57.mp4", f"{CIRCLED}.mp4", f"{NOBODYS}.mp4", "clip$1$.mp4"])
def test_a_timeline_is_drawn_without_a_warning_whatever_the_clip_is_called(
    name: str, tmp_path: Path
) -> None:
    timeline, shot = Timeline(()), snapshot()
    timeline.write(replace(shot, frame=replace(shot.frame, source=f"videos/{name}")))
    timeline.save(tmp_path / "timeline.png")  # warnings are errors here
    picture = cv2.imread(str(tmp_path / "timeline.png"))
    assert picture is not None
    assert int((np.asarray(picture)[30:70, 20:200].max(axis=-1) < 100).sum()) > 200
