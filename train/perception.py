"""What a recipe asks of the runtime's perception."""

import json
from pathlib import Path

from engines.manifest import ModelFile, PerceptionSpec
from train.recipes import Recipe

_MODELS = Path(__file__).parents[1] / "assets" / "models.json"


def perception_of(recipe: Recipe) -> PerceptionSpec:
    """The manifest's `perception` of a recipe's bundles."""
    return PerceptionSpec(
        layout=recipe.layout,
        pose_model=_model("pose"),
        face_model=_model("face"),
        crop=recipe.crop,
        storage=recipe.storage,
        face_size=recipe.face_size,
    )


def _model(what: str) -> ModelFile:
    entry = json.loads(_MODELS.read_text(encoding="utf-8"))[what]
    return ModelFile(name=entry["name"], sha256=entry["sha256"])
