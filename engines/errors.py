"""Errors that a user can cause or cure: each message is one line that says what to do.

TellsError                 caught by every command: one line on stderr, exit code 2
+-- BundleError            a bundle folder that cannot be used
|   +-- ManifestError      manifest.json is not what its schema says
|   +-- DigestError        a file does not have the sha256 that the manifest names
|   +-- GraphMismatch      the graph's inputs or outputs differ from the manifest's
|   +-- ParityError        a runtime does not reproduce the golden vectors
+-- WindowError            evidence that cannot form a window, or that a bundle cannot read
+-- RuntimeUnavailable     the device or its library is not there
|   +-- LibraryMissing     a library is not installed, or does not load
|   +-- NoGpu              there is no GPU of that number, or no driver
|   +-- DriverBroken       there is a driver, and it does not work
|   +-- DriverTooOld       the driver does not serve the libraries
|   +-- PlanMissing        nothing was compiled for this bundle, GPU and driver
|   +-- PlanTampered       a cached plan is not what this user wrote
+-- CompileError           TensorRT does not make a plan of a graph
+-- GpuError               something that happens to a GPU while it computes
|   +-- GpuOutOfMemory     it has not enough memory
|   +-- GpuLost            it is gone, or in a state that only a new process cures
+-- (realtime.errors)      sources, perception models, outputs, configuration
"""


class TellsError(Exception):
    """Anything that the user can cause or cure; its text is one complete line."""


class BundleError(TellsError):
    """A bundle folder that cannot be used."""


class ManifestError(BundleError):
    """`manifest.json` has an unknown, missing, mistyped or impossible entry."""


class DigestError(BundleError):
    """A bundle's file does not have the sha256 that its manifest names."""


class GraphMismatch(BundleError):
    """The graph's inputs or outputs differ from what the manifest promises."""


class ParityError(BundleError):
    """A runtime does not reproduce the bundle's golden vectors."""


class WindowError(TellsError):
    """Evidence that cannot form a window, or a window that a bundle cannot read."""


class RuntimeUnavailable(TellsError):
    """The asked-for device, or the library that drives it, is not there."""

    short = "not available"
    """In a few words, for the status line that says why another device is used."""


class LibraryMissing(RuntimeUnavailable):
    """A library is not installed, or does not load."""

    short = "a library is missing"


class NoGpu(RuntimeUnavailable):
    """There is no NVIDIA GPU of that number, or no driver for it."""

    short = "no GPU"


class DriverBroken(RuntimeUnavailable):
    """There is an NVIDIA driver, and it does not work."""

    short = "driver not in order"


class DriverTooOld(RuntimeUnavailable):
    """The NVIDIA driver is older than the installed libraries need."""

    short = "driver too old"


class PlanMissing(RuntimeUnavailable):
    """No plan was compiled for this bundle on this GPU, with this driver and this TensorRT."""

    short = "not compiled"


class PlanTampered(RuntimeUnavailable):
    """A cached plan, or the key that seals it, is not what this user wrote."""

    short = "the plan was changed"


class CompileError(TellsError):
    """TensorRT does not make a plan of a graph."""


class GpuError(TellsError):
    """Something that happens to a GPU while it computes."""

    short = "GPU error"


class GpuOutOfMemory(GpuError):
    """The GPU has not enough free memory."""

    short = "GPU out of memory"


class GpuLost(GpuError):
    """The GPU is gone, or in a state that only a new process cures."""

    short = "GPU lost"


def first_line(error: Exception) -> str:
    """The first line of a library's message, at most 160 characters."""
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
