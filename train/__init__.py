"""Data sets in, bundles out: models, recipes and export. The only package that imports torch."""

import engines  # noqa: F401 -- before ONNX Runtime: it says that nothing is to be reported
