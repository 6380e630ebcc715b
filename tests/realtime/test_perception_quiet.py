"""MediaPipe's chatter is swallowed for several threads at once."""

import os
import threading

import pytest

from realtime.perception.quiet import quiet_mediapipe

CHATTER = b"W0000 00:00:1795742072.16876 123 inference_feedback_manager.cc:114] feedback\n"


def test_threads_are_inside_together_and_what_else_was_said_comes_out_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    both = threading.Barrier(2, timeout=5)

    def see(name: str) -> None:
        with quiet_mediapipe():
            both.wait()  # breaks if one waits for the other to leave
            os.write(2, CHATTER)
            os.write(2, f"said by {name}\n".encode())
            both.wait()

    threads = [threading.Thread(target=see, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    os.write(2, b"afterwards\n")
    lines = capfd.readouterr().err.splitlines()
    assert sorted(lines[:2]) == ["said by one", "said by two"]
    assert lines[2:] == ["afterwards"]


def test_chatter_behind_a_progress_bar_is_swallowed_and_the_bar_stays(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with quiet_mediapipe():
        os.write(2, b"\ranalyze: 10%|#  | 5/48" + CHATTER)
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.")
        os.write(2, b"\ranalyze: 20%|## | 9/48" + CHATTER + b"a warning\n")
    err = capfd.readouterr().err
    assert err == "\ranalyze: 10%|#  | 5/48\ranalyze: 20%|## | 9/48a warning\n"


def test_calls_that_overlap_without_end_do_not_hold_back_the_rest_for_ever(
    capfd: pytest.CaptureFixture[str],
) -> None:
    is_over = threading.Event()

    def see_again_and_again() -> None:
        while not is_over.wait(0):
            with quiet_mediapipe():
                is_over.wait(0.02)

    threads = [threading.Thread(target=see_again_and_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    is_over.wait(0.1)
    os.write(2, b"a warning\n")
    said = ""
    for _ in range(100):
        is_over.wait(0.02)
        said += capfd.readouterr().err
        if "a warning" in said:
            break
    is_over.set()
    for thread in threads:
        thread.join(5)
    assert "a warning" in said
