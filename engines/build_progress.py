"""How far a build is: TensorRT's nested phases as one share that only grows."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class _Phase:
    parent: str | None
    num_steps: int
    num_done: int = 0


class BuildProgress:
    """Told by TensorRT's threads, from any of them; tells `report` each new share, 0..1.

    A step of a phase counts for as much as the steps beside it; a phase within a step is that
    step's part. Shares are therefore rough, but they never go back.
    """

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report = report
        self._phases: dict[str, _Phase] = {}
        self._share = 0.0
        self._lock = threading.Lock()
        self.is_cancelled = False
        """True after Ctrl-C: TensorRT is asked to stop, and the build's result is not used."""

    @contextmanager
    def cancelled_by_ctrl_c(self) -> Iterator[None]:
        """Inside, Ctrl-C sets `is_cancelled`, where the main thread builds; once more kills.

        A KeyboardInterrupt would be raised in whatever TensorRT calls just then, and swallowed
        there. Versions without progress do not ask whether to stop, so they build to the end.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def cancel(*_: object) -> None:
            self.is_cancelled = True
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        before = signal.signal(signal.SIGINT, cancel)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def start(self, name: str, parent: str | None, num_steps: int) -> None:
        """A phase begins, within a step of `parent` or as the outermost."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(num_steps, 1))

    def step(self, name: str, step: int) -> bool:
        """A step is done; False asks TensorRT to stop."""
        with self._lock:
            if phase := self._phases.get(name):
                phase.num_done = max(phase.num_done, min(step + 1, phase.num_steps))
            self._tell()
        return not self.is_cancelled

    def finish(self, name: str) -> None:
        """A phase is over, even where not all its steps were reported."""
        with self._lock:
            if (phase := self._phases.get(name)) and phase.parent is None:
                phase.num_done = phase.num_steps
                self._tell()
            self._phases.pop(name, None)

    def _tell(self) -> None:
        outer = [name for name, phase in self._phases.items() if phase.parent is None]
        share = max((self._share_of(name) for name in outer), default=self._share)
        if share > self._share:
            self._share = share
            self._report(share)

    def _share_of(self, name: str) -> float:
        phase = self._phases[name]
        inner = [self._share_of(n) for n, p in self._phases.items() if p.parent == name]
        part = sum(inner) / len(inner) if inner else 0.0
        return min((phase.num_done + min(part, 1.0)) / phase.num_steps, 1.0)


@contextmanager
def ticking(refresh: Callable[[], object], every_s: float = 1.0) -> Iterator[None]:
    """A bar is shown anew inside, also where nothing is reported: TensorRT 8.5 reports nothing."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(every_s):
            refresh()

    thread = threading.Thread(target=tick, name="ticking", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
