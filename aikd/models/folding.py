"""BatchNorm folded into the convolutions before it: a frozen network computes less and says the same."""

import copy
from typing import Any

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def folded(network: nn.Module) -> nn.Module:
    """A copy in eval mode in which a BatchNorm behind a convolution has become part of it.

    In eval mode BatchNorm scales and shifts each channel by constants, which the convolution can do itself where
    nothing else reads its output. BatchNorms that follow a sum or a concatenation stay. Images [B, channels, H, W]
    get the logits [B, C] of the network in eval mode, within rounding.
    """
    copied = copy.deepcopy(network).eval()
    for conv_name, norm_name in foldable(copied):
        conv: Any = copied.get_submodule(conv_name)
        norm: Any = copied.get_submodule(norm_name)
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        copied.set_submodule(norm_name, nn.Identity())
    return copied


def foldable(network: nn.Module) -> list[tuple[str, str]]:
    """Names of the convolutions whose output only a BatchNorm reads, and of that BatchNorm."""
    modules = dict(network.named_modules())

    def runs(node: Any, kind: type[nn.Module]) -> bool:
        return node.op == "call_module" and isinstance(modules[node.target], kind)

    nodes = fx.Tracer().trace(network).nodes
    inputs = [(node.args[0], node) for node in nodes if runs(node, nn.BatchNorm2d)]
    return [
        (str(conv.target), str(norm.target))
        for conv, norm in inputs
        if runs(conv, nn.Conv2d) and len(conv.users) == 1
    ]
