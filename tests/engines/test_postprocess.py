from dataclasses import replace

import numpy as np
import pytest

from engines.bench import stand_in_window
from engines.errors import BundleError
from engines.postprocess import postprocess, softmax
from engines.window import Window
from tests.engines.tiny_bundle import tiny_manifest


def logits(b: int = 2) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    rng = np.random.default_rng(0)
    return {
        "gesture_logits": rng.normal(size=(b, 32)).astype(np.float32),
        "emotion_logits": rng.normal(size=(b, 2)).astype(np.float32),
    }


def body() -> Window:
    return stand_in_window(tiny_manifest())


def faceless() -> Window:
    """A whole body whose face is turned away."""
    window = body()
    return replace(window, has_face=np.zeros(len(window), np.bool_))


def test_every_window_gets_every_task_with_its_coverage() -> None:
    scores = postprocess(logits(), tiny_manifest(), [faceless(), body()])
    assert [set(s) for s in scores] == [{"micro_gesture", "emotion"}] * 2
    assert [s["micro_gesture"].coverage for s in scores] == [1.0, 1.0]
    assert [s["emotion"].coverage for s in scores] == [0.0, 1.0]
    for s in scores:
        for task, k in (("micro_gesture", 32), ("emotion", 2)):
            assert s[task].task == task
            assert s[task].probs.dtype == np.float32
            assert s[task].probs.shape == (k,)
            assert s[task].probs.sum() == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        scores[0]["emotion"].probs[0] = 0


def test_what_is_not_wanted_is_not_read() -> None:
    outputs = logits()
    outputs["emotion_logits"][:] = np.nan
    scores = postprocess(outputs, tiny_manifest(), [body(), body()], ["micro_gesture"])
    assert [set(s) for s in scores] == [{"micro_gesture"}] * 2


def test_temperature_flattens_without_changing_the_order() -> None:
    cold = postprocess(logits(1), tiny_manifest(), [body()])[0]["micro_gesture"].probs
    manifest = tiny_manifest(outputs=[{"temperature": 3.0}])
    warm = postprocess(logits(1), manifest, [body()])[0]["micro_gesture"].probs
    assert warm.max() < cold.max()
    np.testing.assert_array_equal(np.argsort(warm), np.argsort(cold))
    np.testing.assert_allclose(np.log(warm[0] / warm[1]) * 3, np.log(cold[0] / cold[1]), rtol=1e-4)


def test_softmax_survives_large_logits() -> None:
    probs = softmax(np.array([[1e4, 0], [-1e4, -1e4]], np.float32), 0.5)
    np.testing.assert_allclose(probs, np.array([[1.0, 0.0], [0.5, 0.5]]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_no_number_is_refused(value: float) -> None:
    outputs = logits()
    outputs["emotion_logits"][1, 0] = value
    with pytest.raises(BundleError, match="emotion logit that is no finite number"):
        postprocess(outputs, tiny_manifest(), [body(), body()])
