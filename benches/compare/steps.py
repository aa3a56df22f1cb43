"""Training steps and forward passes in PyTorch: eager in both memory formats, and compiled.

As in `products`, each function prepares what it needs and returns a function that does the timed work.
"""

import torch
from torch.nn.functional import cross_entropy


def compiled(model):
    """The model through TorchInductor; the first call compiles."""
    return torch.compile(model)


def train_step(model, x, y, transform=lambda model: model):
    """Loss, gradient, and SGD with momentum, fused where PyTorch can. The rate is as small as Evenkeel's."""
    model.train()
    forward = transform(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, fused=True)

    def run():
        optimizer.zero_grad()
        cross_entropy(forward(x), y).backward()
        optimizer.step()

    return run


def gradient(model, x, y, transform=lambda model: model):
    model.train()
    forward, params = transform(model), list(model.parameters())
    return lambda: torch.autograd.grad(cross_entropy(forward(x), y), params)


def forward(model, x, y, transform=lambda model: model):
    """Outputs as a trained network gives them: running statistics, and nothing kept for a gradient."""
    model.eval()
    outputs = transform(model)

    def run():
        with torch.inference_mode():
            outputs(x)

    return run


WAYS = {"step": train_step, "grad": gradient, "forward": forward}
