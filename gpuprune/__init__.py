"""Measure whether pruning a neural network's layer pays on the hardware at hand."""

__version__ = "0.1.0"
