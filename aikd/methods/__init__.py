"""The methods, one file each. A method is an equation; the training loop knows nothing of any of them."""

from aikd.methods.base import Batch, Method, Network, Setup, Step, Targets, load_method
from aikd.methods.own import check_first_step

__all__ = ["Batch", "Method", "Network", "Setup", "Step", "Targets", "check_first_step", "load_method"]
