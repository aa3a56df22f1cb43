"""Rules that turn gradients into steps: PyTorch's own, and what it has not, in plain operations."""

import math

import torch

CASES = [
    {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.05},
    {"name": "sgd", "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05},
    {"name": "sgd", "momentum": 0.9, "weight_decay": 0.05, "decays": "weights"},
    {"name": "sgd", "momentum": 0.9, "weight_decay": 0.05, "clip": 0.6},
    {"name": "sgd", "momentum": 0.9, "weight_decay": 0.05, "groups": "*.bias: rate=2 decay=0; fc2.*: rate=0.5"},
    {"name": "adam"},
    {"name": "adam", "weight_decay": 0.05, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3},
    {"name": "adamw", "weight_decay": 0.1},
    {"name": "adamax", "weight_decay": 0.05},
    {"name": "rmsprop"},
    {"name": "rmsprop", "weight_decay": 0.05, "momentum": 0.7},
    {"name": "rmsprop", "weight_decay": 0.05, "momentum": 0.7, "centered": True, "smoothing": 0.9},
    {"name": "rmsprop", "centered": True},
    {"name": "adamp", "weight_decay": 0.1},
    {"name": "adamp", "weight_decay": 0.1, "nesterov": True, "delta": 10.0},
    {"name": "adamp", "weight_decay": 0.1, "delta": 1e-6},
]


def parameter_groups(network, rule):
    """One group a parameter, with its rate and decay, as `optimizer.groups` and `optimizer.decays` say."""
    wanted = []
    for group in filter(None, rule.get("groups", "").split(";")):
        pattern, settings = group.split(":")
        wanted.append((pattern.strip(), dict(setting.split("=") for setting in settings.split())))

    def matches(pattern, path):
        start, _, end = pattern.partition("*")
        return path.startswith(start) and path.endswith(end) if "*" in pattern else path == pattern

    groups = []
    for path, parameter in network.named_parameters():
        rate, decay = rule["learning_rate"], rule.get("weight_decay", 0.0)
        found = next((settings for pattern, settings in wanted if matches(pattern, path)), None)
        if found is not None:
            rate *= float(found.get("rate", 1.0))
            decay = float(found.get("decay", decay))
        elif rule.get("decays") == "weights" and parameter.ndim < 2:
            decay = 0.0
        groups.append({"params": [parameter], "lr": rate, "weight_decay": decay})
    return groups


def make(network, rule):
    groups, name = parameter_groups(network, rule), rule["name"]
    if name == "sgd":
        kept = {key: rule[key] for key in ("momentum", "dampening", "nesterov") if key in rule}
        return torch.optim.SGD(groups, **kept)
    if name == "rmsprop":
        kept = {key: rule[key] for key in ("momentum", "centered") if key in rule}
        return torch.optim.RMSprop(groups, alpha=rule.get("smoothing", 0.99), eps=rule.get("epsilon", 1e-8), **kept)
    kept = {"betas": (rule.get("beta1", 0.9), rule.get("beta2", 0.999)), "eps": rule.get("epsilon", 1e-8)}
    if name == "adamp":
        return AdamP(groups, delta=rule.get("delta", 0.1), nesterov=rule.get("nesterov", False), **kept)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adamax": torch.optim.Adamax}[name](groups, **kept)


def clip(network, longest):
    """Shortens the gradient to a length; PyTorch's own function adds 1e-6 to it first."""
    length = math.sqrt(sum(float((p.grad**2).sum()) for p in network.parameters()))
    if length > longest:
        for parameter in network.parameters():
            parameter.grad.mul_(longest / length)


class AdamP(torch.optim.Optimizer):
    """Heo et al. 2021, arXiv 2006.08217, algorithm 2; rows of weights are units."""

    def __init__(self, groups, betas, eps, delta, nesterov, decay_ratio=0.1):
        super().__init__(groups, {})
        self.betas, self.eps, self.delta, self.nesterov, self.decay_ratio = betas, eps, delta, nesterov, decay_ratio

    @torch.no_grad()
    def step(self):
        b1, b2 = self.betas
        for group in self.param_groups:
            for w in group["params"]:
                g, state = w.grad, self.state[w]
                if not state:
                    state.update(step=0, m=torch.zeros_like(w), v=torch.zeros_like(w))
                state["step"] += 1
                state["m"] = m = b1 * state["m"] + (1 - b1) * g
                state["v"] = v = b2 * state["v"] + (1 - b2) * g * g
                root = v.sqrt() / math.sqrt(1 - b2 ** state["step"]) + self.eps
                p = ((b1 * m + (1 - b1) * g) if self.nesterov else m) / root
                ratio = 1.0
                if w.ndim > 1:
                    p, ratio = self.projected(w, g, p)
                w.mul_(1 - group["lr"] * group["weight_decay"] * ratio)
                w.sub_(group["lr"] / (1 - b1 ** state["step"]) * p)

    def projected(self, w, g, p):
        for rows in (w.shape[0], 1):
            view = lambda x: x.reshape(rows, -1)
            norm = lambda x: view(x).norm(dim=1, keepdim=True) + self.eps
            cosines = ((view(w) * view(g)).sum(1, keepdim=True) / norm(w) / norm(g)).abs()
            if cosines.max() < self.delta / math.sqrt(view(w).shape[1]):
                u = view(w) / norm(w)
                return (view(p) - u * (u * view(p)).sum(1, keepdim=True)).reshape(w.shape), self.decay_ratio
        return p, 1.0
