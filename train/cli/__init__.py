"""The commands of `python -m train`, one module each: `add` declares its arguments, `run` runs it.

Only `run` imports torch and what else takes seconds.
"""

import argparse
from typing import TypeAlias

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
