"""The operator's settings: a TOML file and flags, on top of the defaults below.

They change no tensor: what belongs to a model (sampling, thresholds, temperature) stands in its
manifest.
"""

import dataclasses
import threading
import tomllib
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from engines.manifest import describe
from realtime.errors import ConfigError

_Positive = Annotated[float, Field(gt=0)]
_NotNegative = Annotated[float, Field(ge=0)]
_Name = Annotated[str, Field(pattern=r"^\w[\w .()-]{0,59}$")]
_SOURCES = (
    "[sources] must name addresses, a line each, as door = 'rtsp://user:password@host/path'; "
    "names are letters, digits, spaces and . _ ( ) -, 60 at most"
)


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Config:
    """Settings of one run. Times are in seconds.

    Raises:
        ConfigError: through `load_config`, for an unknown key or an impossible value.
    """

    hop_s: _Positive = 0.25
    """A new prediction is due this long after the previous one."""
    tau_s: _NotNegative = 0.4
    """Time constant of the moving average over gesture probabilities."""
    min_s: _NotNegative = 0.3
    """Shorter gestures are discarded."""
    gap_s: _NotNegative = 0.4
    """Two intervals of one gesture that are closer than this are one."""
    split_s: _NotNegative = 0.75
    """Another gesture begins where it is clearly likelier than the present one for this long."""
    state_tau_s: _NotNegative = 2.0
    """Time constant of the moving average over emotion probabilities: emotion is a slow state."""
    emotion: bool = True
    """Infer emotion. False: it is neither computed into estimates nor shown nor written."""
    source_timeout_s: Annotated[float, Field(gt=0, le=2000)] = 10.0
    """A source that cannot be opened, or says nothing, for this long is lost.
    FFmpeg counts it in microseconds, 2^31 at most."""
    retry_s: Annotated[float, Field(gt=0, le=threading.TIMEOUT_MAX)] = 2.0
    """A lost live source is tried again after this long, later ever less often up to 30 s."""
    sources: dict[_Name, str] = field(default_factory=dict, repr=False)
    """Name -> URI of what `live` watches where the command line names nothing; in the file alone,
    so that no password stands in the list of processes."""

    @property
    def names(self) -> dict[str, str]:
        """URI -> what it is called."""
        return {uri: name for name, uri in self.sources.items()}


def load_config(path: Path | None = None, **flags: Any) -> Config:
    """The defaults, overridden by the TOML file's keys, overridden by the flags that are not None.

    Raises:
        ConfigError: unreadable file, not TOML, an unknown key, a mistyped or impossible value.
    """
    values: dict[str, Any] = {}
    origin = "configuration"
    if path is not None:
        origin = str(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be read ({error.strerror}); name a TOML file"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: is not a TOML file: {error}") from None
    values |= {key: value for key, value in flags.items() if value is not None}
    try:
        config = Config(**values)
    except ValidationError as error:
        known = ", ".join(f.name for f in dataclasses.fields(Config))
        hint = (
            f"; known keys: {known}"
            if error.errors()[0]["type"] == "unexpected_keyword_argument"
            else ""
        )
        if error.errors()[0]["loc"][:1] == ("sources",):
            raise ConfigError(f"{origin}: {_SOURCES}") from None  # what came may be a password
        raise ConfigError(f"{origin}: {describe(error)}{hint}") from None
    for name, uri in config.sources.items():
        if config.names[uri] != name:
            raise ConfigError(
                f"{origin}: [sources] gives one address two names, {name} and {config.names[uri]}"
            )
    return config
