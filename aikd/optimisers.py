"""PyTorch's own SGD and Adam, without the second and a half that the first step of either costs.

PyTorch imports its compiler at an optimiser's first call, only to tell it which methods not to compile. With
hundreds of short runs that import is most of a process's start, and nothing here compiles an optimiser.
"""

import inspect

import torch

# Marks the methods themselves as what remains after compilation is ruled out, so that the compiler is not asked.
# Where a later PyTorch keeps its mark elsewhere this does nothing but cost the import again.
for _method in vars(torch.optim.Optimizer).values():
    if inspect.isfunction(_plain := getattr(_method, "__wrapped__", None)):
        setattr(_plain, "__dynamo_disable", _plain)


class SGD(torch.optim.SGD):
    """`torch.optim.SGD`, step for step."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all parameters."""
        inspect.unwrap(torch.optim.SGD.step)(self)

    def start_at_rest(self) -> None:
        """Give all parameters a momentum of zero, for which the first step takes none at all.

        Loss scaling may skip the first step. The fused kernel then keeps the memory that it has made for momentum,
        with whatever lies there, and the second step would go on from that.
        """
        for group in self.param_groups:
            for parameter in group["params"] if group["momentum"] else ():
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`, step for step."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all parameters."""
        inspect.unwrap(torch.optim.Adam.step)(self)
