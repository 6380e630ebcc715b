"""Which signals end a run between two frames."""

import os
import signal

import pytest

from realtime.interrupt import ended_by_signals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are others elsewhere")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_sets_the_event_and_its_handler_is_restored(name: str) -> None:
    number = getattr(signal, name)
    before = signal.signal(number, signal.default_int_handler)
    try:
        with ended_by_signals() as is_ended:
            assert not is_ended.is_set()
            signal.raise_signal(number)
            assert is_ended.is_set()
        if name != "SIGHUP":
            assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_a_terminal_that_hangs_up_twice_does_not_disturb_the_finishing_of_files() -> None:
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        with ended_by_signals():
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)  # would raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGHUP, before)


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals() as is_ended:
            signal.raise_signal(signal.SIGHUP)
            assert not is_ended.is_set()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
