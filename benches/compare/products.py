"""Products with the Hessian and the Gauss-Newton matrix of the mean cross-entropy: every way PyTorch and its libraries have.

Each function takes a `Problem` and returns a function without arguments that computes what is timed; what it does before it
returns is not timed. `single` computes everything from the inputs on; `repeated` may keep what depends on the point alone;
`block` multiplies all directions and may do the same. Results are lists of tensors, one a parameter (of a block: stacked).
"""

from dataclasses import dataclass

import torch
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jvp, linearize, vmap
from torch.nn.functional import cross_entropy


@dataclass
class Problem:
    """A network, a batch, and directions with one tensor a parameter, stacked along the first axis."""

    model: torch.nn.Module
    x: torch.Tensor
    y: torch.Tensor
    directions: list

    @property
    def params(self):
        return list(self.model.parameters())

    @property
    def direction(self):
        return [directions[0] for directions in self.directions]

    def named(self, tensors):
        return dict(zip((name for name, _ in self.model.named_parameters()), tensors))

    def outputs(self, named):
        return functional_call(self.model, named, (self.x,))

    def loss(self, named):
        return cross_entropy(self.outputs(named), self.y)

    def bend(self, logits, moved):
        """The loss's Hessian in the logits, times a tangent of the logits: diag(p) - p p^T, divided by the samples."""
        p = torch.softmax(logits, -1)
        return p * (moved - (p * moved).sum(-1, keepdim=True)) / len(logits)


def gradient(problem):
    return torch.autograd.grad(cross_entropy(problem.model(problem.x), problem.y), problem.params, create_graph=True)


# The Hessian, one direction.


def hvp_double_backward(problem):
    return lambda: torch.autograd.grad(gradient(problem), problem.params, problem.direction)


def hvp_forward_over_reverse(problem):
    at, along = problem.named([param.detach() for param in problem.params]), problem.named(problem.direction)
    return lambda: list(jvp(grad(problem.loss), (at,), (along,))[1].values())


def hvp_curvlinops(problem):
    from curvlinops import HessianLinearOperator

    operator = HessianLinearOperator(
        problem.model, torch.nn.CrossEntropyLoss(), problem.params, [(problem.x, problem.y)], check_deterministic=False
    )
    return lambda: operator @ problem.direction


def hvp_eigenthings(problem):
    from hessian_eigenthings.loss_fns import supervised_loss
    from hessian_eigenthings.operators import HessianOperator

    operator = HessianOperator(problem.model, [(problem.x, problem.y)], supervised_loss(torch.nn.CrossEntropyLoss()))
    return flat(problem, operator)


def hvp_pyhessian(problem):
    def run():
        return pyhessian(problem)()

    run.release = problem.model.zero_grad
    return run


# The Hessian, one direction after another at one point.


def hvp_retained(problem):
    kept = gradient(problem)
    return lambda: torch.autograd.grad(kept, problem.params, problem.direction, retain_graph=True)


def hvp_linearized(problem):
    at, along = problem.named([param.detach() for param in problem.params]), problem.named(problem.direction)
    product = linearize(grad(problem.loss), at)[1]
    return lambda: list(product(along).values())


def pyhessian(problem):
    from pyhessian import hessian
    from pyhessian.utils import hessian_vector_product

    # It would switch to running statistics, which is another function.
    problem.model.eval = lambda: problem.model
    problem.model.zero_grad()
    kept = hessian(problem.model, torch.nn.CrossEntropyLoss(), data=(problem.x, problem.y), cuda=False)

    def run():
        return hessian_vector_product(kept.gradsH, kept.params, problem.direction)

    # Gradients that hold their own graph are never freed otherwise.
    run.release = problem.model.zero_grad
    return run


# The Hessian, directions together.


def hvp_block_retained(problem):
    kept = gradient(problem)
    return lambda: torch.autograd.grad(kept, problem.params, problem.directions, retain_graph=True, is_grads_batched=True)


def hvp_block_linearized(problem):
    at, along = problem.named([param.detach() for param in problem.params]), problem.named(problem.directions)
    product = vmap(linearize(grad(problem.loss), at)[1])
    return lambda: list(product(along).values())


def hvp_block_one_by_one(problem):
    kept = gradient(problem)

    def run():
        products = [
            torch.autograd.grad(kept, problem.params, [all[number] for all in problem.directions], retain_graph=True)
            for number in range(len(problem.directions[0]))
        ]
        return [torch.stack(parts) for parts in zip(*products)]

    return run


def hvp_block_curvlinops(problem):
    from curvlinops import HessianLinearOperator

    return block_curvlinops(problem, HessianLinearOperator)


# The Gauss-Newton matrix.


def ggnvp_dual(problem):
    """One pass forward with dual numbers, one backward."""

    def run():
        params = problem.params
        with forward_ad.dual_level():
            duals = [forward_ad.make_dual(param, along) for param, along in zip(params, problem.direction)]
            logits, moved = forward_ad.unpack_dual(problem.outputs(problem.named(duals)))
            bent = problem.bend(logits.detach(), moved.detach())
            return torch.autograd.grad(logits, params, bent)

    return run


def ggnvp_double_backward(problem):
    """The forward derivative as the derivative of the backward one in its cotangent."""

    def run():
        logits = problem.model(problem.x)
        probe = torch.zeros_like(logits, requires_grad=True)
        backward = torch.autograd.grad(logits, problem.params, probe, create_graph=True)
        moved = torch.autograd.grad(backward, probe, problem.direction, retain_graph=True)[0]
        return torch.autograd.grad(logits, problem.params, problem.bend(logits.detach(), moved))

    return run


def ggnvp_retained(problem):
    logits = problem.model(problem.x)
    probe = torch.zeros_like(logits, requires_grad=True)
    backward = torch.autograd.grad(logits, problem.params, probe, create_graph=True)

    def run():
        moved = torch.autograd.grad(backward, probe, problem.direction, retain_graph=True)[0]
        return torch.autograd.grad(logits, problem.params, problem.bend(logits.detach(), moved), retain_graph=True)

    return run


def ggnvp_linearized(problem):
    at, along = problem.named([param.detach() for param in problem.params]), problem.named(problem.direction)
    logits = problem.model(problem.x)
    push = linearize(problem.outputs, at)[1]
    return lambda: torch.autograd.grad(
        logits, problem.params, problem.bend(logits.detach(), push(along)), retain_graph=True
    )


def ggnvp_curvlinops(problem):
    from curvlinops import GGNLinearOperator

    operator = GGNLinearOperator(
        problem.model, torch.nn.CrossEntropyLoss(), problem.params, [(problem.x, problem.y)], check_deterministic=False
    )
    return lambda: operator @ problem.direction


def ggnvp_eigenthings(problem):
    from hessian_eigenthings.loss_fns import supervised_forward, supervised_loss_of_output
    from hessian_eigenthings.operators import GGNOperator

    loss = supervised_loss_of_output(torch.nn.CrossEntropyLoss())
    return flat(problem, GGNOperator(problem.model, [(problem.x, problem.y)], supervised_forward, loss))


def ggnvp_block_retained(problem):
    logits = problem.model(problem.x)
    probe = torch.zeros_like(logits, requires_grad=True)
    backward = torch.autograd.grad(logits, problem.params, probe, create_graph=True)

    def run():
        batched = dict(retain_graph=True, is_grads_batched=True)
        moved = torch.autograd.grad(backward, probe, problem.directions, **batched)[0]
        return torch.autograd.grad(logits, problem.params, problem.bend(logits.detach(), moved), **batched)

    return run


def ggnvp_block_curvlinops(problem):
    from curvlinops import GGNLinearOperator

    return block_curvlinops(problem, GGNLinearOperator)


def block_curvlinops(problem, operator):
    """Its blocks have the directions along the last axis."""
    loss, data = torch.nn.CrossEntropyLoss(), [(problem.x, problem.y)]
    operator = operator(problem.model, loss, problem.params, data, check_deterministic=False)
    columns = [directions.movedim(0, -1).contiguous() for directions in problem.directions]
    return lambda: [product.movedim(-1, 0) for product in operator @ columns]


def flat(problem, operator):
    """Products of an operator on flat vectors."""
    direction = torch.cat([direction.reshape(-1) for direction in problem.direction])
    sizes, shapes = [param.numel() for param in problem.params], [param.shape for param in problem.params]
    return lambda: [part.reshape(shape) for part, shape in zip(operator.matvec(direction).split(sizes), shapes)]


SINGLE = {
    "hvp": {
        "PyTorch, double backward": hvp_double_backward,
        "PyTorch, forward over reverse": hvp_forward_over_reverse,
        "PyHessian": hvp_pyhessian,
        "curvlinops": hvp_curvlinops,
        "hessian-eigenthings": hvp_eigenthings,
    },
    "ggnvp": {
        "PyTorch, dual numbers": ggnvp_dual,
        "PyTorch, double backward": ggnvp_double_backward,
        "curvlinops": ggnvp_curvlinops,
        "hessian-eigenthings": ggnvp_eigenthings,
    },
}

# Libraries that keep nothing take as long as for a single product.
REPEATED = {
    "hvp": {
        "PyTorch, retained graph": hvp_retained,
        "PyTorch, linearized": hvp_linearized,
        "PyHessian": pyhessian,
        "curvlinops": hvp_curvlinops,
        "hessian-eigenthings": hvp_eigenthings,
    },
    "ggnvp": {
        "PyTorch, retained graph": ggnvp_retained,
        "PyTorch, linearized": ggnvp_linearized,
        "curvlinops": ggnvp_curvlinops,
        "hessian-eigenthings": ggnvp_eigenthings,
    },
}

BLOCK = {
    "hvp": {
        "PyTorch, retained graph, batched": hvp_block_retained,
        "PyTorch, linearized, vmap": hvp_block_linearized,
        "PyTorch, retained graph, one by one": hvp_block_one_by_one,
        "curvlinops": hvp_block_curvlinops,
    },
    "ggnvp": {
        "PyTorch, retained graph, batched": ggnvp_block_retained,
        "curvlinops": ggnvp_block_curvlinops,
    },
}
