"""The methods, one file each. A method is an equation; the training loop knows nothing of any of them."""

from aikd.methods.base import Batch, Method, Network, Setup, Step, Targets, load_method

__all__ = ["Batch", "Method", "Network", "Setup", "Step", "Targets", "load_method"]
