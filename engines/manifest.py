"""The manifest: the contract between `train` and the runtime, as strict JSON.

Every number that the runtime needs is here and nowhere else; it never guesses a default. Unknown,
missing and mistyped keys are errors.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from engines.errors import ManifestError
from engines.skeleton import LAYOUTS
from engines.tensor_specs import (
    HANDS,
    STRICT,
    Count,
    FaceInput,
    HandInput,
    InputSpec,
    OutputSpec,
    PoseInput,
    Positive,
    RgbInput,
    Sampling,
    Share,
    Thresholds,
)

__all__ = [
    "RENDERED_PEOPLE",
    "CropRule",
    "FaceInput",
    "Golden",
    "Graph",
    "InputSpec",
    "Manifest",
    "ModelFile",
    "Notes",
    "OutputSpec",
    "PerceptionSpec",
    "PoseInput",
    "RgbInput",
    "Sampling",
    "Source",
    "TaskMetrics",
    "Thresholds",
    "WindowSpec",
    "describe",
    "dump_manifest",
    "parse_manifest",
]

RENDERED_PEOPLE = "rendered people"
"""How a name of data, and a split of `TaskMetrics`, begins if they show nobody real."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Source:
    """Where the weights come from."""

    revision: str
    """Git revision of the code that wrote the bundle."""
    recipe: str
    data: str
    """Data set(s) and split that the weights were fitted on; `untrained` where they are random."""

    @property
    def is_untrained(self) -> bool:
        """True where the weights are random: whatever shows the outputs must say so."""
        return self.data == "untrained"


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Graph:
    """One ONNX file of the bundle."""

    file: Annotated[str, Field(pattern=r"^[\w.-]+\.onnx$")]
    sha256: Sha256
    precision: Literal["fp32", "fp16", "bf16", "int8"]
    opset: Count
    max_error: Annotated[float, Field(ge=0)] | None = None
    """Of a low precision, measured when it was exported: largest |difference| to torch's fp32 over
    the golden windows, in standard deviations of the output. Not there: not measured."""


@dataclass(frozen=True, config=STRICT, kw_only=True)
class WindowSpec:
    """Which stretch of evidence the engine wants."""

    span_s: Positive
    """The window reaches this far back from its newest sample; no shorter than any input's span."""
    anchor: Share
    """Where in the window the label applies: 0 = its start, 0.5 = its middle, 1 = its end."""
    min_coverage: Share
    """Below this share of samples with the person seen, the decision layer abstains."""
    max_gap_s: Positive
    """A longer pause between two neighbouring samples forbids the window."""


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ModelFile:
    """A perception model that the bundle was trained with."""

    name: str
    sha256: Sha256


@dataclass(frozen=True, config=STRICT, kw_only=True)
class CropRule:
    """The subject's region: a square about the shoulders that follows the person steadily.

    Centre = mid-point of the shoulders + `shift` shoulder widths downwards; side = `scale` shoulder
    widths, where a shoulder width is the shoulders' distance in space, so that turning does not
    zoom. It rests while the wanted square stays within `slack` of its side, else it glides after
    it with time constant `tau_s`. It is no larger than the frame's longer side, and moved inwards.
    """

    scale: Positive
    shift: float
    slack: Share
    tau_s: Positive


@dataclass(frozen=True, config=STRICT, kw_only=True)
class PerceptionSpec:
    """How evidence was perceived: another pose model is another input distribution, and refused."""

    layout: str
    """Skeleton layout of the Window."""
    pose_model: ModelFile
    face_model: ModelFile
    crop: CropRule
    storage: tuple[Count, Count]
    """(h, w) px of Window.rgb."""
    face_size: Count
    """Side in px of Window.faces."""

    @model_validator(mode="after")
    def _check(self) -> "PerceptionSpec":
        if self.layout not in LAYOUTS:
            raise ValueError(f"perception.layout must be one of {sorted(LAYOUTS)}")
        return self


@dataclass(frozen=True, config=STRICT, kw_only=True)
class TaskMetrics:
    """Measured quality of one task; None = not measured."""

    task: str
    split: str
    n: int
    top1: Share | None
    macro_f1: Share | None
    ece: Share | None
    majority: Share | None = None
    """`top1` of always answering the most frequent class of these data."""


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Golden:
    """`|runtime - torch| <= atol + rtol * |torch|`, in units of the output's standard deviation."""

    file: Annotated[str, Field(pattern=r"^[\w.-]+\.npz$")]
    sha256: Sha256
    atol: Positive
    rtol: Annotated[float, Field(ge=0)]
    low_precision_atol: Positive
    """The same for a runtime that computes in bf16, fp16 or int8."""


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Notes:
    """What a person must know before using the bundle."""

    intended_use: str
    limits: str
    data_licence: str


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Manifest:
    """All that the runtime knows of a bundle."""

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    version: Annotated[str, Field(pattern=r"^[\w.+-]+$")]
    created: str
    """ISO 8601, UTC."""
    source: Source
    graphs: Annotated[tuple[Graph, ...], Field(min_length=1)]
    window: WindowSpec
    perception: PerceptionSpec
    inputs: Annotated[tuple[InputSpec, ...], Field(min_length=1)]
    outputs: Annotated[tuple[OutputSpec, ...], Field(min_length=1)]
    metrics: tuple[TaskMetrics, ...]
    golden: Golden
    notes: Notes

    @model_validator(mode="after")
    def _check(self) -> "Manifest":
        for i in self.inputs:
            if i.sampling.span_s > self.window.span_s:
                raise ValueError(
                    f"input {i.name}: sampling.span_s {i.sampling.span_s} exceeds window.span_s "
                    f"{self.window.span_s}"
                )
            if isinstance(i, HandInput):
                LAYOUTS[self.perception.layout].indices([*HANDS[0], *HANDS[1]])
        for what, names in (
            ("input names", _feed_names(self.inputs)),
            ("file names", [*(g.file for g in self.graphs), self.golden.file]),
            ("output names", [o.name for o in self.outputs]),
            ("tasks", [o.task for o in self.outputs]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} must be unique, got {', '.join(names)}")
        unknown = {m.task for m in self.metrics} - set(self.tasks)
        if unknown:
            raise ValueError(f"metrics: no output serves the task {', '.join(sorted(unknown))}")
        if [g.precision for g in self.graphs].count("fp32") != 1:
            raise ValueError("graphs must hold exactly one fp32 reference")
        return self

    @property
    def id(self) -> str:
        """`name version`, for logs, pages and predictions."""
        return f"{self.name} {self.version}"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the bundle serves."""
        return tuple(o.task for o in self.outputs)

    @property
    def feeds(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape without the batch, of every array that the graph takes."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i in self.inputs:
            shapes[i.name] = tuple(i.shape)
            if not isinstance(i, RgbInput):
                shapes[i.mask] = i.mask_shape
        return shapes

    @property
    def feed_dtypes(self) -> dict[str, str]:
        """Name -> numpy's name of the dtype, in the order of `feeds`; masks are float32."""
        return dict.fromkeys(self.feeds, "float32") | {i.name: i.dtype for i in self.inputs}


def _feed_names(inputs: tuple[InputSpec, ...]) -> list[str]:
    names = [spec.name for spec in inputs]
    return names + [spec.mask for spec in inputs if not isinstance(spec, RgbInput)]


_ADAPTER = TypeAdapter(Manifest)


def parse_manifest(text: str | bytes, origin: str = "manifest.json") -> Manifest:
    """The manifest that a JSON text holds.

    Raises:
        ManifestError: not JSON, or an unknown, missing, mistyped or impossible entry; the message
            names the first one and counts the rest.
    """
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        raise ManifestError(f"{origin}: {describe(error)}") from None


def dump_manifest(manifest: Manifest) -> str:
    """Indented JSON that `parse_manifest` reads back to an equal manifest."""
    document = _ADAPTER.dump_python(manifest, mode="json")
    for graph in document["graphs"]:
        if graph["max_error"] is None:  # the key came later: who does not know it reads on
            del graph["max_error"]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def describe(error: ValidationError) -> str:
    """One line for people: where, what was expected, what came."""
    first: Any = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    texts = {"missing": "is missing", "unexpected_keyword_argument": "is not a known key"}
    what = texts.get(first["type"]) or f"{first['msg']}, got {_short(first['input'])}"
    if first["type"] == "value_error":  # one of ours, which names its entries
        what = first["msg"].removeprefix("Value error, ")
    more = error.error_count() - 1
    return f"{where}: {what}" + (f" (and {more} more)" if more else "")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
