"""A stage: one camera that all viewers share, exchanged from the page."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from engines.errors import TellsError
from realtime.errors import SourceError
from realtime.records import Estimate
from realtime.slot import LatestSlot, SlotClosed
from realtime.sources import NETWORK, AbsentSource, Source
from realtime.truth import TrueMoment, Truth
from realtime.ui.pictures import Media, Phase, PictureFeed, Session, TellTruth

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageState:
    """What the page says about the shared camera."""

    phase: Phase = "stopped"
    source: str = ""
    """What is shown, for people: never with a password."""
    message: str = ""


@dataclass(frozen=True)
class Command:
    """What the stage shall show: a URI with its name for people and its truth, or nothing."""

    uri: str | None
    name: str = ""
    truth: Truth | None = None


class Stage:
    """Opens and closes the shared camera on a thread of its own, because that can take seconds.

    Commands wait in a slot for one: whoever clicks start three times gets the last one.
    """

    def __init__(self, session: Session, media: Media) -> None:
        self._session = session
        self._media = media
        self._camera: str | None = None
        self._commands: LatestSlot[tuple[int, Command]] = LatestSlot()
        self._lock = threading.Lock()
        self._num_commands = 0
        self.feed: PictureFeed | None = None
        self.state = StageState()
        self.on_change: Callable[[], None] = lambda: None
        """Called after every change of `state`, from any thread."""
        self._thread = threading.Thread(target=self._run, name="page-stage", daemon=True)
        self._thread.start()

    @property
    def shown(self) -> PictureFeed | None:
        """The pictures that viewers shall see; None from the moment that a command was given."""
        return self.feed if self.state.phase in ("running", "ended") else None

    def show(self, command: Command) -> None:
        """Exchange what is shown, soon.

        Raises:
            SourceError: it is being recorded, and the recording would end.
        """
        if self._camera in self._session.recorded:
            raise SourceError("this source is being recorded; end Tells to show another one")
        number = self._count()
        phase: Phase = "stopped" if command.uri is None else "opening"
        self._become(StageState(phase, command.name), number)
        self._commands.put((number, command))

    def show_now(self, command: Command, source: Source) -> None:
        """Show a source that has been opened for `command`; before the first `show` only.

        Raises:
            TellsError: the session does not take it.
        """
        assert self._num_commands == 0
        self._watch(command, source, 0)

    def close(self) -> None:
        """End the camera and the thread; a source that is still being opened is abandoned."""
        self._count()
        self._commands.close()
        self._thread.join(1.0)

    def _run(self) -> None:
        try:
            while (asked := self._commands.get()) is not None:
                number, command = asked
                self._drop()
                if command.uri is not None:
                    self._try_open(command, command.uri, number)
        except SlotClosed:
            self._drop()

    def _try_open(self, command: Command, uri: str, number: int) -> None:
        try:
            self._open(command, uri, number)
        except TellsError as error:
            self._become(StageState("failed", command.name, str(error)), number)
        except Exception:  # Thread boundary: the page stays up and says so.
            logger.exception("the source could not be started")
            state = StageState("failed", command.name, "Could not be started; see the log.")
            self._become(state, number)

    def _open(self, command: Command, uri: str, number: int) -> None:
        source = self._media.open_source(uri)
        if number != self._num_commands:  # Somebody changed their mind while it was opening.
            source.close()
        else:
            self._watch(command, source, number)

    def _watch(self, command: Command, source: Source, number: int) -> None:
        assert command.uri is not None
        open_source = partial(self._media.open_source, command.uri)
        self._camera = camera = self._session.add_camera(source, reopen=open_source)
        reader = self._session.reader(camera)
        tell_truth = _teller(command.truth or Truth(()), source)
        on_end = partial(self._ended, number)
        # A camera cannot wait, nor a server for long.
        can_wait = not source.is_live and command.uri.partition(":")[0].lower() not in NETWORK
        on_look = partial(self._pause_unwatched, camera) if can_wait else lambda _: None
        self.feed = feed = PictureFeed(reader, self._media.draw, on_end, tell_truth, on_look)
        why = source.reason if isinstance(source, AbsentSource) else ""
        # Said before the feed starts, which may end at once.
        if self._become(StageState("running", command.name or camera, why), number):
            feed.start()
        else:  # Somebody changed their mind while it was added: the next command drops the camera.
            self.feed = None

    def _pause_unwatched(self, camera: str, is_watched: bool) -> None:
        """A clip that nobody sees takes time from the viewers' own cameras."""
        is_needed = is_watched or camera in self._session.recorded
        self._session.pause_camera(camera, is_paused=not is_needed)

    def _drop(self) -> None:
        feed, camera = self.feed, self._camera
        self.feed = self._camera = None
        if feed is not None:
            feed.close()
        if camera is not None:
            self._session.remove_camera(camera)

    def _ended(self, number: int, _: PictureFeed, phase: Phase, message: str) -> None:
        self._become(StageState(phase, self.state.source, message), number)

    def _count(self) -> int:
        """The number of a new command: from now on no older one changes the state."""
        with self._lock:
            self._num_commands += 1
            return self._num_commands

    def _become(self, state: StageState, number: int) -> bool:
        """Change the state on behalf of a command, unless a newer one was given."""
        with self._lock:
            if number != self._num_commands:
                return False
            self.state = state
        self.on_change()
        return True


def _teller(truth: Truth, source: Source) -> TellTruth:
    """Asks each time how long the clip's round is: that is known from its first seam on."""

    def tell(estimates: Sequence[Estimate]) -> Sequence[TrueMoment]:
        return truth.beside(estimates, round_s=source.round_s)

    return tell
