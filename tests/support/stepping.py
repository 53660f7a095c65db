"""Steps of an optimizer on functions of three parameters, with the closure that training gives it."""

from __future__ import annotations

import torch

from landscape.optimizers import make_optimizer

A = torch.diag(torch.tensor([1.0, 4.0, 10.0], dtype=torch.float64))
START = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)


class LossOf:
    """A closure over a function of one parameter."""

    def __init__(self, parameter, function, clients=()):
        self.parameter, self.function, self.clients, self.calls = parameter, function, clients, 0

    def __call__(self, *, create_graph=False):
        self.calls += 1
        self.parameter.grad = None
        loss = self.function(self.parameter)
        loss.backward(create_graph=create_graph)
        return loss.detach()

    def with_graph(self):
        return self(create_graph=True)

    @torch.no_grad()
    def value(self):
        self.calls += 1
        return float(self.function(self.parameter))

    def of_client(self, index):
        return LossOf(self.parameter, self.clients[index])

    def by_example(self):
        """Those of the clients, or the function as the only example."""
        each = [LossOf(self.parameter, function) for function in self.clients or [self.function]]
        losses, gradients = [], []
        with torch.enable_grad():
            for closure in each:
                losses.append(closure())
                gradients.append(self.parameter.grad.clone())
        return torch.stack(losses), [torch.stack(gradients)]


def quadratic(theta):
    return 0.5 * theta @ A @ theta


def steps(name, count, function=quadratic, *, lr, start=START, **options):
    """Where the parameter stands after each step, the losses returned, and the optimizer."""
    parameter = torch.nn.Parameter(start.clone())
    optimizer = make_optimizer(name, [parameter], lr=lr, **options)
    closure = LossOf(parameter, function)
    places, losses = [], []
    for _ in range(count):
        losses.append(float(optimizer.step(closure)))
        places.append(parameter.detach().clone())
    return places, losses, optimizer
