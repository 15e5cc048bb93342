"""Evaluation: reconstruction and animation of test videos, metrics with named detectors and embedders, the rendered benchmark."""
