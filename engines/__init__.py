"""Windows in, probabilities out.

A `Window` is raw evidence about one person over a few seconds. An `Engine` is an opened bundle:
it alone knows how a Window becomes tensors (`preprocess`), runs the graph (`runtimes`) and turns
logits into calibrated `Scores` (`postprocess`). Nothing here imports torch.
"""

import os

# ONNX Runtime 1.32 keeps a device id in the home folder and a session id in the temporary one, to
# report to its maker, unless this is set before it is first imported, wherever that is.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
