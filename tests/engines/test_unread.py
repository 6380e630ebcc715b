"""Unread: streams outlive their reader."""

import errno
import io
import os
import sys

import pytest

from engines.unread import Unread, open_streams


@pytest.mark.skipif(os.name != "posix", reason="closed pipes are reported otherwise elsewhere")
def test_what_nobody_reads_is_lost_and_nothing_else() -> None:
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8", buffering=1) as pipe:
        stream = Unread(pipe)
        stream.write("heard\n")
        assert os.read(reading, 100) == b"heard\n"
        os.close(reading)
        for _ in range(3):
            stream.write("unheard\n")
            stream.flush()
        assert stream.fileno() == pipe.fileno()
    assert pipe.closed  # and its last flush did not fail


@pytest.mark.skipif(os.name != "posix", reason="there are no such terminals elsewhere")
def test_a_terminal_that_was_closed_ends_nothing() -> None:
    ours, theirs = os.openpty()
    with open(theirs, "w", encoding="utf-8", buffering=1) as terminal:
        os.close(ours)
        stream = Unread(terminal)
        stream.write("unseen\n")
        stream.flush()


class Full(io.StringIO):
    """A stream whose disk is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_not_mistaken_for_a_reader_that_has_gone() -> None:
    with pytest.raises(OSError, match="No space left"):
        Unread(Full()).write("too much\n")


def test_it_is_put_in_place_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    open_streams()
    first = sys.stderr
    open_streams()
    assert sys.stderr is first
    monkeypatch.setattr(sys, "stderr", None)
    open_streams()
    assert sys.stderr is None
