"""Windows in, probabilities out.

A `Window` is raw evidence about one person over a few seconds. An `Engine` is an opened bundle:
it alone knows how a Window becomes tensors (`preprocess`), runs the graph (`runtimes`) and turns
logits into calibrated `Scores` (`postprocess`). Nothing here imports torch.
"""
