"""How a stage goes, for people: a bar on the terminal and curves for TensorBoard.

The events are written at once and in this thread, not as TensorBoard's own writer does it: a disk
that is full is then one error where it happens, and not the end of a thread that nobody asks.
"""

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from tqdm import tqdm

from engines.closing import Closing
from train.run_folder import cannot_be_written

_EVERY = 20
"""Steps between two points of the loss."""


class Curves(Closing):
    """Of one stage; other processes than the first show and write nothing."""

    def __init__(self, folder: Path, stage: str, steps: range, *, is_shown: bool) -> None:
        """Begin, or go on, at the first of `steps`.

        Raises:
            DataError: the disk is full.
        """
        self._folder = folder
        self._shown: dict[str, float] = {}
        self._file: Any = None
        self._writer: Any = None
        self._bar = tqdm(
            total=steps.stop, initial=steps.start, desc=stage, unit="step", mininterval=1.0,
            disable=not is_shown,
        )  # fmt: skip
        if is_shown:
            with cannot_be_written(folder):
                folder.mkdir(parents=True, exist_ok=True)
                name = f"events.out.tfevents.{int(time.time())}.{os.getpid()}.{steps.start}"
                self._file = (folder / name).open("wb")
                self._writer = RecordWriter(self._file)
            self._write(Event(file_version="brain.Event:2"))
            if steps.start:  # what was drawn beyond the point of resumption is void
                restart = Event(step=steps.start + 1)
                restart.session_log.status = 1
                self._write(restart)

    def close(self) -> None:
        """End the bar and the file; a second call does nothing."""
        self._bar.close()
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be written has been said
                self._file.close()

    def loss(self, step: int, loss: float) -> None:
        """Show the loss of a step; the curves count the steps that are done.

        Raises:
            DataError: the disk is full.
        """
        self._bar.update()
        if step % _EVERY == 0:
            self._shown["loss"] = loss
            self._bar.set_postfix(self._shown, refresh=False)
            self._write_scalars(step + 1, {"loss": loss})

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show the figures of an evaluation after so many steps.

        Raises:
            DataError: the disk is full.
        """
        if "score" in metrics:
            self._shown["score"] = metrics["score"]
        self._write_scalars(step, metrics)

    def _write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        if scalars:
            values = [Summary.Value(tag=k, simple_value=v) for k, v in scalars.items()]
            self._write(Event(step=step, summary=Summary(value=values)))

    def _write(self, event: Any) -> None:
        if self._writer is None:
            return
        event.wall_time = time.time()
        with cannot_be_written(self._folder):
            self._writer.write(event.SerializeToString())
            self._writer.flush()
