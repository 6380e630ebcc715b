"""events.eaf: what ELAN is given."""

import csv
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from realtime.elan import write_elan
from realtime.errors import OutputError
from realtime.text_sinks import EVENT_COLUMNS
from realtime.truth import TrueInterval

ROWS = (
    ("micro_gesture", "Rubbing eyes & <ears>", 1.0, 1.5, 2.0, 0.9),
    ("emotion", "positive", 0.25, 1.0, 4.0, 0.8),
    ("micro_gesture", "Kratzen, Äußeres", 1.95, 3.0, 3.5, 0.7),
    ("micro_gesture", "Within the last", 3.0, 3.1, 3.2, 0.7),
)


def write_csv(path: Path, rows: tuple[tuple[object, ...], ...] = ROWS) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([EVENT_COLUMNS, *rows])
    return path


def tiers(path: Path) -> dict[str, list[tuple[int, int, str | None]]]:
    """Of each tier the intervals, in ms, as ELAN reads them."""
    root = ET.parse(path).getroot()
    slots = {s.attrib["TIME_SLOT_ID"]: int(s.attrib["TIME_VALUE"]) for s in root.iter("TIME_SLOT")}
    return {
        tier.attrib["TIER_ID"]: sorted(
            (
                slots[a.attrib["TIME_SLOT_REF1"]],
                slots[a.attrib["TIME_SLOT_REF2"]],
                a.findtext("ANNOTATION_VALUE"),
            )
            for a in tier.iter("ALIGNABLE_ANNOTATION")
        )
        for tier in root.iter("TIER")
    }


def test_each_task_is_a_tier_and_nothing_overlaps(tmp_path: Path) -> None:
    path = tmp_path / "events.eaf"
    for _ in range(2):
        write_elan(
            write_csv(tmp_path / "events.csv"), path, tasks=("micro_gesture", "emotion", "other")
        )
    assert tiers(path) == {
        "micro_gesture": [
            (1000, 2000, "Rubbing eyes & <ears>"), (2000, 3500, "Kratzen, Äußeres"),
        ],
        "emotion": [(250, 4000, "positive")],
        "other": [],
    }  # fmt: skip
    assert {p.name for p in tmp_path.iterdir()} == {"events.csv", "events.eaf"}
    assert ET.parse(path).getroot().find("HEADER/MEDIA_DESCRIPTOR") is None


def test_the_truth_has_tiers_of_its_own_and_the_video_is_linked(tmp_path: Path) -> None:
    truth = (
        TrueInterval("micro_gesture", "Rubbing eyes", 0.9, 2.1),
        TrueInterval("posture", "no task of this run", 0.0, 9.0),
    )
    write_elan(
        write_csv(tmp_path / "events.csv", ()), tmp_path / "events.eaf",
        tasks=("micro_gesture", "emotion"), truth=truth, media=tmp_path / "annotated.mp4",
    )  # fmt: skip
    assert tiers(tmp_path / "events.eaf") == {
        "micro_gesture": [], "truth, micro_gesture": [(900, 2100, "Rubbing eyes")], "emotion": [],
    }  # fmt: skip
    media = ET.parse(tmp_path / "events.eaf").getroot().find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.attrib["RELATIVE_MEDIA_URL"] == "./annotated.mp4"
    assert str(tmp_path) not in (tmp_path / "events.eaf").read_text(encoding="utf-8")
    assert media.attrib["MIME_TYPE"] == "video/mp4"


def test_where_it_cannot_be_written_is_said(tmp_path: Path) -> None:
    events = write_csv(tmp_path / "events.csv")
    with pytest.raises(OutputError, match=r"Cannot write .*events\.eaf"):
        write_elan(events, tmp_path / "gone" / "events.eaf", tasks=("emotion",))


def test_events_that_somebody_has_moved_away_meanwhile_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"events\.csv cannot be read .*leave it until the run"):
        write_elan(tmp_path / "events.csv", tmp_path / "events.eaf", tasks=("emotion",))
