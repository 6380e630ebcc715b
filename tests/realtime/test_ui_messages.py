"""What the page is told of a bundle."""

from dataclasses import replace
from pathlib import Path

from engines.bundle import load_bundle
from engines.manifest import TaskMetrics
from realtime.records import Estimate
from realtime.ui.messages import describe_session, describe_snapshot
from tests.realtime.scene import snapshot

DEMO = Path(__file__).parents[2] / "assets" / "demo"


def test_a_task_says_how_often_it_was_right_and_on_what() -> None:
    manifest = load_bundle(DEMO).manifest
    measured = TaskMetrics(
        task="emotion", split="some people, test", n=19, top1=0.73684, macro_f1=None, ece=None,
        majority=0.6,
    )  # fmt: skip
    told = describe_session(
        [replace(manifest, metrics=(measured,))], runtime="a runtime", emotion=True
    )
    gesture, emotion = told["tasks"]
    assert (emotion["right"], emotion["majority"]) == ("14 of 19", 0.6)
    assert (emotion["measured_on"], emotion["is_rendered"]) == ("some people", False)
    assert (gesture["right"], gesture["majority"]) == (None, None)
    assert (gesture["measured_on"], gesture["is_rendered"]) == (None, False)


def test_how_long_a_label_holds_is_told_of_the_moment_that_it_is_about() -> None:
    held = Estimate("gesture", "Touching jaw", 0.8, 7.5, None, (), at=9.0)
    waiting = Estimate("emotion", None, 0.0, 9.5, "waiting", ())
    shown = replace(snapshot(10.0), estimates=(held, waiting))
    first, second = describe_snapshot(shown, 0.0, made=0.0)["estimates"]
    assert (first["for_s"], first["ago_s"]) == (1.5, 1.0)
    assert (second["for_s"], second["ago_s"]) == (0.5, None)
