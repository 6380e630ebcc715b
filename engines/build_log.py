"""What TensorRT says while it builds and runs: it returns None where others raise."""

import threading
import weakref
from functools import cache
from typing import Any

NO_CUDA = "CUDA initialization failure"
_LONGEST = 240
_LOGGING = threading.RLock()  # a message may come while another is kept


class BuildLog:
    """The errors of TensorRT since this log was made."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def add(self, message: str) -> None:
        """Keep a message; the first one and the last nine are enough."""
        self.errors.append(" ".join(message.split())[:_LONGEST])
        if len(self.errors) > 10:
            del self.errors[1]

    @property
    def reason(self) -> str:
        """The first error, and the last one: a way that was merely skipped is an error as well."""
        if not self.errors:
            return "TensorRT gives no reason"
        first, last = self.errors[0], self.errors[-1]
        return first if first == last else f"{first} ... {last}"

    @property
    def is_of_memory(self) -> bool:
        """True if one of them says that memory did not suffice."""
        return any("memory" in error.lower() for error in self.errors)


def logger_into(log: BuildLog, module: Any) -> Any:
    """The process's only logger for a TensorRT, which from now on keeps errors in `log`, too.

    TensorRT heeds the first logger that it gets, and keeps a pointer to it until the process ends.
    """
    logger, logs = _logger_of(module)
    with _LOGGING:
        logs.add(log)
    return logger


@cache
def _logger_of(module: Any) -> tuple[Any, "weakref.WeakSet[BuildLog]"]:
    logs: weakref.WeakSet[BuildLog] = weakref.WeakSet()
    serious = (int(module.ILogger.INTERNAL_ERROR), int(module.ILogger.ERROR))

    def keep(_: Any, severity: Any, message: str) -> None:
        # 8.5 only warns of it, and then returns nothing.
        if int(severity) in serious or NO_CUDA in message:
            with _LOGGING:
                for log in logs:
                    log.add(message)

    return type("Logger", (module.ILogger,), {"log": keep})(), logs
