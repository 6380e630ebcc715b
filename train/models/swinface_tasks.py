"""What the public SwinFace was trained to tell of a face: 42 tasks in 11 branches.

Binary tasks: output 0 is no (Gender: female), 1 is yes (male).
"""

from dataclasses import dataclass

EXPRESSION = "Expression"
EXPRESSION_CLASSES = ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral")
"""Order of the expression logits (RAF-DB's labels minus 1)."""

_TASKS_BY_BRANCH = (
    "Gender",
    "Age, Young",
    "Expression, Smiling",
    "Attractive, Blurry, Chubby, Heavy Makeup, Oval Face, Pale Skin",
    "Bald, Bangs, Black Hair, Blond Hair, Brown Hair, Gray Hair, Receding Hairline, Straight Hair, "
    "Wavy Hair, Wearing Hat",
    "Arched Eyebrows, Bags Under Eyes, Bushy Eyebrows, Eyeglasses, Narrow Eyes",
    "Big Nose, Pointy Nose",
    "High Cheekbones, Rosy Cheeks, Wearing Earrings, Sideburns",
    "Five O'Clock Shadow, Big Lips, Mouth Slightly Open, Mustache, Wearing Lipstick, No Beard",
    "Double Chin, Goatee",
    "Wearing Necklace, Wearing Necktie",
)
_OUTPUTS = {"Age": 1, EXPRESSION: len(EXPRESSION_CLASSES)}  # the age in years; all others: no, yes


@dataclass(frozen=True)
class Task:
    """One output head of the public model."""

    name: str
    index: int
    """Position among the 42 heads of the public checkpoint."""
    branch: int
    outputs: int


NUM_BRANCHES = len(_TASKS_BY_BRANCH)
TASKS = tuple(
    Task(name, index, branch, _OUTPUTS.get(name, 2))
    for index, (branch, name) in enumerate(
        (branch, name)
        for branch, names in enumerate(_TASKS_BY_BRANCH)
        for name in names.split(", ")
    )
)
