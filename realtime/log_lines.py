"""Lines of the log on the terminal, above the progress bar or line of status that is there."""

import logging
from typing import TextIO

from tqdm import tqdm


class LogLines(logging.StreamHandler[TextIO]):
    """Writes to stderr, each record on a line of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; what stands on the last line is drawn anew below it."""
        try:
            if self.stream:  # a program without stderr has none
                tqdm.write(self.format(record), file=self.stream)
        except Exception:  # as every handler of `logging` does
            self.handleError(record)
