"""The classes of the two tasks: the one place where they are named; bundles carry copies."""

MICRO_GESTURES = (
    "Turtle neck",
    "Bulging face, deep breath",
    "Touching hat",
    "Touching or scratching head",
    "Touching or scratching forehead",
    "Covering face",
    "Rubbing eyes",
    "Touching or scratching facial parts",
    "Touching ears",
    "Biting nails",
    "Touching jaw",
    "Touching or scratching neck",
    "Playing or adjusting hair",
    "Buckle button, pulling shirt collar, adjusting tie",
    "Touching or covering suprasternal notch",
    "Scratching back",
    "Folding arms",
    "Dustoffing clothes",
    "Putting arms behind body",
    "Moving torso",
    "Sitting straightly",
    "Scratching or touching arms",
    "Rubbing or holding hands",
    "Crossing fingers",
    "Minaret gesture",
    "Playing or manipulating objects",
    "Hold back arms",
    "Head up",
    "Pressing lips",
    "Arms akimbo",
    "Shaking shoulders",
    "Illustrative body language",
)
"""iMiGUE's classes in the order of network indices: label C is index C - 1, label 99 the last."""
ILLUSTRATIVE = MICRO_GESTURES.index("Illustrative body language")
"""Movements that go with speech: iMiGUE's own `non-micro-gesture`."""
EMOTIONS = ("negative", "positive")
"""iMiGUE: the player has lost, or won, the match that the interview is about."""
UNLABELLED = -100
"""In place of a class that nobody knows: what torch's losses ignore."""

SMG_GESTURES = (
    "Turtling neck and shoulder",
    "Rubbing eyes and forehead",
    "Folding arms",
    "Touching or covering suprasternal notch",
    "Moving legs",
    "Touching or scratching neck",
    "Folding arms behind body",
    "Rubbing hands and crossing fingers",
    "Arms akimbo",
    "Crossing legs",
    "Scratching some part of body",
    "Scratching or touching facial parts other than eyes",
    "Playing or adjusting hair",
    "Holding arms",
    "Pulling shirt collar",
    "Playing with jewelry, manipulating objects",
    "Illustrative hand gestures",
)
"""Of SMG; the last means, as iMiGUE's, nothing to report."""
