"""Rendered people who perform scripted gestures: training data that anyone can make."""
