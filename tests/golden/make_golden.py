"""Writes the golden files beside this script. Everything is computed by PyTorch on the CPU in float64."""

import json
import math
import platform
from pathlib import Path

import numpy
import torch

import formula
import networks
import optimizers

HERE = Path(__file__).parent
VERSIONS = {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}


# How networks that read tokens are written; "gru" alone is a layer.
TEXTS = ("transformer", "gru:", "lstm:")


def case(model, image, batch, classes, norm="none", mode="running", activation="relu", loss="cross-entropy", **constants):
    name = [model, f"norm {norm}"] + ([f"{mode} statistics"] if norm != "none" else [])
    name += [f"weights {constants['weights']}"] if "weights" in constants else []
    name += ([activation] if model.startswith("mlp") else []) + [loss] + [f"{batch} samples"]
    name += [f"{image[0]} tokens"] if model.startswith(TEXTS) else []
    return {
        "name": ", ".join(name),
        "model": model,
        "norm": norm,
        "mode": mode,
        "activation": activation,
        "loss": loss,
        "image": image,
        "batch": batch,
        "classes": classes,
        "epsilon": constants.get("epsilon", 1e-5),
        "momentum": constants.get("momentum", 0.1),
        "weights": constants.get("weights", "none"),
    }


NORMS = [("none", "running"), ("batch", "batch"), ("batch", "running")]
LOSSES = ["cross-entropy", "squared"]
# Not the defaults, so that a constant in the place of the setting is found out.
CONSTANTS = {"epsilon": 1e-3, "momentum": 0.3}

# Layers over [N, T, C].
SEQUENCES = [layer for layer in networks.LAYERS if layer != "convolutions"]
# Norms beside batch norm: those of a sample, and those that keep statistics.
OF_A_SAMPLE = ["layer", "rms", "group", "group:1", "group:2"]
OVER_BATCH = [(norm, mode) for norm in ("mean-only", "l1", "l2", "linf", "improved-group:2") for mode in ("batch", "running")]
WEIGHTS = ["normalized", "standardized"]

FILES = {
    "mlp": [
        case("mlp:9-7", [2, 3, 2], 11, 5, norm, mode, activation, loss, **CONSTANTS)
        for activation in networks.ACTIVATIONS
        for norm, mode in NORMS
        for loss in LOSSES
    ]
    # More samples than are taken at once where they do not depend on each other.
    + [case("mlp:9-7", [2, 3, 2], 130, 5, norm, mode, "gelu", **CONSTANTS) for norm, mode in NORMS]
    + [case("mlp", [8, 8, 1], 16, 10, "batch", "batch")],
    "deep_linear": [
        case(model, [2, 3, 2], 11, 5, norm, mode, loss=loss)
        for model in ("deep-linear:9-7-8", "deep-linear")
        for norm, mode in NORMS
        for loss in LOSSES
    ],
    # Images that are not square, and sizes that pools and strides do not divide.
    "vgg11": [case("vgg11", [32, 40, 3], 3, 10, norm, mode) for norm, mode in NORMS]
    + [case("vgg11", [32, 32, 3], 2, 10, "batch", "batch", loss="squared")],
    "resnet20": [case("resnet20", [9, 14, 3], 4, 10, norm, mode, loss=loss) for norm, mode in NORMS for loss in LOSSES]
    + [case("resnet20", [32, 32, 3], 2, 10, "batch", "batch")],
    # Layers that no network of the zoo has alone, between an input [T, C] and a head.
    "layers": [case(layer, [4, 9], 5, 3, loss=loss, epsilon=1e-3) for layer in SEQUENCES for loss in LOSSES]
    + [case(layer, [1, 9], 2, 3) for layer in SEQUENCES],
    # Tokens; samples as long as the context and shorter ones, one head and several, more samples than are taken at once.
    "transformer": [
        case("transformer:2-6-3-5", [tokens], 4, 7, "layer", loss=loss, epsilon=1e-3) for tokens in (5, 3) for loss in LOSSES
    ]
    + [case("transformer:1-4-1-3", [3], 130, 5, "layer"), case("transformer", [16], 2, 65, "layer")]
    + [case("transformer:1-6-3-5", [4], 3, 7, norm, epsilon=1e-3) for norm in ("none", "rms", "group:2")],
    # One of each kind that is not above.
    "zoo": [case("plain-conv:3-4-3", [5, 4, 2], 3, 5, norm, mode, "tanh", **CONSTANTS) for norm, mode in NORMS]
    + [case("preresnet20", [9, 14, 3], 4, 10, norm, mode) for norm, mode in NORMS]
    + [case(model, [3, 4, 2], 5, 0, activation="tanh", loss=loss) for model in ("autoencoder:7-6-3", "vae:7-2") for loss in ("squared", "bernoulli")]
    + [case("encoder:2-6-3-2", [4, 6, 2], 5, 4, norm, epsilon=1e-3) for norm in ("layer", "none")]
    + [case(model, [4, 3, 2], 5, 4) for model in ("row-gru:5", "row-lstm:5-4")]
    + [case(model, [5], 3, 7, loss=loss) for model in ("gru:3-5", "lstm:3-5-4") for loss in LOSSES],
    # Every other norm in a network of matrices and in one of convolutions; weights that are made of others.
    "norms": [case("mlp:8-6", [2, 3, 2], 7, 5, norm, "running", "tanh", **CONSTANTS) for norm in OF_A_SAMPLE]
    + [case("mlp:8-6", [2, 3, 2], 7, 5, norm, mode, "tanh", **CONSTANTS) for norm, mode in OVER_BATCH]
    + [case("convolutions", [5, 4, 3], 3, 5, norm, "running", **CONSTANTS) for norm in OF_A_SAMPLE + ["instance"]]
    + [case("convolutions", [5, 4, 3], 3, 5, norm, mode, **CONSTANTS) for norm, mode in OVER_BATCH]
    + [
        case(model, image, 5, 5, norm, "batch", "tanh", weights=weights, **CONSTANTS)
        for weights in WEIGHTS
        for model, image in (("mlp:8-6", [2, 3, 2]), ("convolutions", [5, 4, 3]))
        for norm in ("none", "batch", "mean-only")
    ]
    + [case(layer, [4, 9], 5, 3, epsilon=1e-3, weights=weights) for weights in WEIGHTS for layer in ("gru", "lstm")],
}


def network_of(case):
    network = networks.build(
        case["model"],
        case["norm"],
        case["activation"],
        tuple(case["image"]),
        case["classes"],
        case["epsilon"],
        case["momentum"],
        case["weights"],
    )
    values = {}
    for path, parameter in network.named_parameters():
        values[path] = formula.parameter(path, tuple(networks.from_torch(parameter).shape))
    for path, buffer in networks.buffers(network).items():
        values[path] = formula.buffer(path, tuple(buffer.shape))
    networks.load(network, values)
    return network


def samples_of(case, suffix=""):
    if case["model"].startswith(TEXTS):
        shape = (case["batch"], *case["image"])
        tokens = lambda name: formula.labels(name, math.prod(shape), case["classes"]).reshape(shape)
        return tokens(f"input/x{suffix}"), tokens(f"input/y{suffix}")
    x = formula.standard(f"input/x{suffix}", (case["batch"], *case["image"]))
    return x, formula.labels(f"input/y{suffix}", case["batch"], case["classes"])


def digests(tensors):
    return {path: formula.digest(path, tensor) for path, tensor in tensors.items()}


def measured(case):
    """A case with its results."""
    network = network_of(case)
    x, y = samples_of(case)
    direction = {
        path: formula.standard(f"vector/{path}", tuple(networks.from_torch(parameter).shape))
        for path, parameter in network.named_parameters()
    }
    found = networks.derivatives(network, case["loss"], case["mode"], x, y, direction)
    result = {"loss": float(found["loss"]), "logits": found["logits"].flatten().tolist()}
    for which in ("gradient", "hessian", "gauss_newton"):
        result[which] = digests(found[which])
    if networks.buffers(network) and case["mode"] == "batch":
        network.train()
        with torch.no_grad():
            network(x)
        result["running"] = digests(networks.buffers(network))
    assert all(map(math.isfinite, result["logits"])), case["name"]
    return {**case, "result": result}


def trained(momentum, weight_decay, learning_rate=0.05, steps=5):
    """Steps of gradient descent at a constant rate, each on a batch of its own."""
    run = case("mlp:9-7", [2, 3, 2], 11, 5, "batch", "batch", "tanh", **CONSTANTS)
    network = network_of(run)
    network.train()
    sgd = torch.optim.SGD(network.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay)
    losses, norms = [], []
    for step in range(steps):
        x, y = samples_of(run, f"/{step}")
        sgd.zero_grad()
        loss = networks.mean_loss(run["loss"], network(x), y)
        loss.backward()
        losses.append(loss.item())
        norms.append(math.sqrt(sum(float((p.grad**2).sum()) for p in network.parameters())))
        sgd.step()
    kept = dict(network.named_parameters())
    velocities = {path: sgd.state[p]["momentum_buffer"] for path, p in kept.items()} if momentum else {}
    named = lambda tensors: {path: networks.from_torch(tensor.detach()) for path, tensor in tensors.items()}
    name = f"{run['name']}, momentum {momentum}, weight decay {weight_decay}"
    result = {
        "losses": losses,
        "gradient_norms": norms,
        "parameters": digests(named(kept)),
        "velocities": digests(named(velocities)),
        "running": digests(networks.buffers(network)),
    }
    rule = {"momentum": momentum, "weight_decay": weight_decay, "learning_rate": learning_rate}
    return {**run, "name": name, "sgd": rule, "result": result}


def stepped(rule, norm, steps=20):
    """Steps by a rule, each on a batch of its own."""
    run = case("mlp:9-7", [2, 3, 2], 11, 5, norm, "batch", "tanh", **CONSTANTS)
    rule = {"learning_rate": 0.05 if rule["name"] == "sgd" else 0.01, **rule}
    if norm == "batch" and rule["name"] != "sgd":
        # The gradient of a bias before batch norm is rounding and nothing else, which 1e-8 would make steps of.
        rule.setdefault("epsilon", 1e-5)
    network = network_of(run)
    network.train()
    optimizer = optimizers.make(network, rule)
    losses = []
    for step in range(steps):
        x, y = samples_of(run, f"/{step}")
        optimizer.zero_grad()
        loss = networks.mean_loss(run["loss"], network(x), y)
        loss.backward()
        losses.append(loss.item())
        if "clip" in rule:
            optimizers.clip(network, rule["clip"])
        optimizer.step()
    named = {path: networks.from_torch(tensor.detach()) for path, tensor in network.named_parameters()}
    name = f"{run['name']}, " + ", ".join(f"{key} {value}" for key, value in rule.items())
    words = lambda value: str(value).lower() if isinstance(value, bool) else str(value)
    settings = [f"optimizer.{key}={words(value)}" for key, value in rule.items()]
    return {**run, "name": name, "set": settings, "result": {"losses": losses, "parameters": digests(named)}}


def write(name, cases):
    """One case a line: a change of one shows as one line."""
    lines = ",\n".join(json.dumps(case) for case in cases)
    path = HERE / f"{name}.json"
    path.write_text(f'{{"made_with": {json.dumps(VERSIONS)}, "cases": [\n{lines}\n]}}\n')
    print(f"{path.name:<18} {len(cases):>3} cases  {path.stat().st_size / 1024:>6.1f} KiB")


def main():
    # One thread: sums are taken in one order, and the files come out the same again.
    torch.set_num_threads(1)
    for name, cases in FILES.items():
        write(name, [measured(case) for case in cases])
    write("optimizers", [stepped(rule, norm) for rule in optimizers.CASES for norm in ("batch", "none")])
    write("training", [trained(*rule) for rule in ((0.9, 5e-2), (0.9, 0.0), (0.0, 5e-2), (0.0, 0.0))])


if __name__ == "__main__":
    main()
