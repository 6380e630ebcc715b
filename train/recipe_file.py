"""Recipes of one's own: JSON files with the fields of the built-in ones (`train recipe`).

Strict, as a manifest is: unknown, missing and mistyped keys are errors, and so is a network that
does not take the inputs, or give the outputs, that the recipe names. (TOML has no `null`, which
recipes need.) A checkpoint holds its recipe, so what is done with it need not be told again.
"""

import json
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from engines.manifest import Manifest, describe
from train.annotations import DataError
from train.checkpoint import checkpoint_recipe, differing_keys
from train.dataset import manifest_of
from train.models.heads import build_net
from train.recipes import RECIPES, Recipe, dump_recipe

_SOME = 3


def recipe_named(text: str) -> Recipe:
    """A built-in recipe by its name, or one of a file.

    Raises:
        DataError: the file cannot be read, or is no recipe.
    """
    return RECIPES[text]() if text in RECIPES else load_recipe(Path(text))


def recipe_for(asked: str | None, checkpoint: Path) -> Recipe:
    """The recipe that is asked for; by default the checkpoint's own.

    Raises:
        DataError: of the file, as `recipe_named`; or the checkpoint's recipe is of another version.
        CheckpointError: there is no checkpoint.
    """
    if asked is not None:
        return recipe_named(asked)
    text = checkpoint_recipe(checkpoint)
    name = json.loads(text).get("name")
    return RECIPES[name]() if name in RECIPES else parse_recipe(text, f"{checkpoint}: its recipe")


def load_recipe(path: Path) -> Recipe:
    """A recipe from a file.

    Raises:
        DataError: it cannot be read, is no recipe, or has the name of a built-in one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise DataError(f"{path}: cannot be read ({why}); give the JSON file of a recipe") from None
    recipe = parse_recipe(text, str(path))
    if recipe.name in RECIPES and recipe != RECIPES[recipe.name]():
        raise DataError(f"{path}: name: {recipe.name} is a built-in recipe; give yours another")
    return recipe


def parse_recipe(text: str, origin: str) -> Recipe:
    """What `dump_recipe` has written, changed or not.

    Raises:
        DataError: it is not JSON, has other fields, or its parts do not agree.
    """
    try:
        recipe = TypeAdapter(Recipe).validate_json(text)
        differing = differing_keys(text, dump_recipe(recipe))
        manifest = manifest_of(recipe)
    except ValidationError as error:
        raise DataError(f"{origin}: {describe(error)}") from None
    except ValueError as error:
        raise DataError(f"{origin}: {error}") from None
    if differing:
        keys = ", ".join(differing[:_SOME])
        raise DataError(
            f"{origin}: unknown, missing or mistyped: {keys}; "
            "`python -m train recipe NAME` shows all keys"
        )
    _check_net(recipe, manifest, origin)
    return recipe


def _check_net(recipe: Recipe, manifest: Manifest, origin: str) -> None:
    """Of shapes alone, without weights."""
    dtypes = manifest.feed_dtypes
    try:
        with torch.device("meta"), torch.no_grad():
            feeds = {
                name: torch.zeros(2, *shape, dtype=getattr(torch, dtypes[name]))
                for name, shape in manifest.feeds.items()
            }
            outputs = build_net(recipe.net).eval()(**feeds)
    except Exception as error:  # of torch and Python, of whatever does not fit
        why = str(error).strip().splitlines()[0]
        raise DataError(f"{origin}: its net does not take its inputs ({why})") from None
    told = [tuple(logits.shape[1:]) for logits in outputs]
    expected = [(len(output.class_names),) for output in recipe.outputs]
    if told != expected:
        raise DataError(f"{origin}: its net tells {told} classes, its outputs name {expected}")
