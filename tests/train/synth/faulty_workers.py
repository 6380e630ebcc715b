"""Workers of a synth job that do not do their work; they run in processes of their own."""

import os
import time
from multiprocessing.connection import Connection

from train.synth.take import SynthOptions


def die(options: SynthOptions, pipe: Connection) -> None:
    """Take an order and end without a word."""
    del options
    pipe.recv()
    os._exit(1)


def hang(options: SynthOptions, pipe: Connection) -> None:
    """Take an order and never answer."""
    del options
    pipe.recv()
    time.sleep(600)
