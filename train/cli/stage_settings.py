"""How each stage of a fit is trained: the defaults, as `--stages` and `--set` change them."""

import typing
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from engines.errors import TellsError

if TYPE_CHECKING:
    from train.recipes import Recipe
    from train.stages import StageConfig


def stage_settings(
    recipe: "Recipe", asked: Sequence[str] | None, changes: Sequence[str]
) -> dict[str, "StageConfig"]:
    """Stage -> how it is trained, in the order of the stages.

    Args:
        recipe: what is trained.
        asked: its stages; None for all.
        changes: STAGE.KEY=VALUE; the last of a key counts.

    Raises:
        TellsError: a stage, a key or a value that there is not.
    """
    from train.stages import default_stage, stages_of

    possible = stages_of(recipe)
    chosen = asked or possible
    if foreign := [stage for stage in chosen if stage not in possible]:
        raise TellsError(f"--stages: the recipe {recipe.name} has no stage {', '.join(foreign)}")
    configs = {stage: default_stage(recipe, stage) for stage in possible if stage in chosen}
    for change in changes:
        name, sign, value = change.partition("=")
        stage, dot, key = name.partition(".")
        if not (sign and dot):
            raise TellsError(f"--set: expected STAGE.KEY=VALUE, got {change!r}")
        if stage not in configs:
            raise TellsError(
                f"--set {change}: expected one of the stages {', '.join(configs)}, got {stage!r}"
            )
        configs[stage] = _changed(configs[stage], key, value, change)
    return configs


def _changed(config: "StageConfig", key: str, value: str, change: str) -> "StageConfig":
    kinds = typing.get_type_hints(type(config))
    keys = [field.name for field in fields(config)]
    if key not in keys:
        raise TellsError(f"--set {change}: expected one of {', '.join(keys)}, got {key!r}")
    try:
        new = kinds[key](value)
    except ValueError:
        kind = "a whole number" if kinds[key] is int else "a number"
        raise TellsError(f"--set {change}: expected {kind}, got {value!r}") from None
    try:
        return replace(config, **{key: new})
    except ValueError as error:
        raise TellsError(f"--set {change}: {error}") from None
