"""Numbers of the public reference models, and the filler that makes weights from key names."""
