"""What the page is told of a bundle."""

from dataclasses import replace
from pathlib import Path

from engines.bundle import load_bundle
from engines.manifest import TaskMetrics
from realtime.ui.messages import describe_session

DEMO = Path(__file__).parents[2] / "assets" / "demo"


def test_a_task_says_how_often_it_was_right_and_on_what() -> None:
    manifest = load_bundle(DEMO).manifest
    measured = TaskMetrics(
        task="emotion", split="some people", n=19, top1=0.73684, macro_f1=None, ece=None,
        majority=0.6,
    )  # fmt: skip
    told = describe_session(
        [replace(manifest, metrics=(measured,))], runtime="a runtime", emotion=True
    )
    gesture, emotion = told["tasks"]
    assert (emotion["right"], emotion["measured"]) == (0.7368, "19 cases measured (some people)")
    assert emotion["majority"] == 0.6
    assert (gesture["right"], gesture["measured"], gesture["majority"]) == (None, None, None)
