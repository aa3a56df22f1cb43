"""Checks oracle files, written by `evenkeel export RUN --oracle FILE --dtype f64`, against PyTorch in float64.

    python check_oracle.py FILE...

One line a file and quantity: the relative error ||a - b|| / ||b||, of a quantity over all parameters the largest of one
tensor. Exits 1 when one is above its limit, 2 when a file cannot be read.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

import networks

# Limits of loss, logits and gradient, and of the two products, by the type the file was computed in.
LIMITS = {"f64": (1e-9, 1e-8), "f32": (1e-3, 1e-2)}
# A tensor below this share of the whole vector is zero but for rounding, as the gradient of a bias under a batch norm is; it
# is compared with the whole.
ROUNDING = 1e-13
QUANTITIES = {"loss": 0, "logits": 0, "gradient": 0, "hessian": 1, "gauss_newton": 1}
NAMES = {"gradient": "grad", "hessian": "hvp", "gauss_newton": "ggnvp"}


class Unreadable(Exception):
    """The file is not an oracle file."""


def read(path):
    """The configuration and the tensors of a file."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("evenkeel")
            if text is None:
                raise Unreadable("the metadata has no key 'evenkeel'")
            return json.loads(text), {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, ValueError, SafetensorError) as error:
        raise Unreadable(str(error)) from error


def group(tensors, prefix):
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def error_of(got, wanted, whole=0.0):
    """The relative error of one tensor, which is part of a vector of norm `whole`."""
    got, wanted = got.double(), wanted.double()
    if got.shape != wanted.shape:
        raise Unreadable(f"a shape is {tuple(got.shape)}, not {tuple(wanted.shape)}")
    difference = float(torch.linalg.vector_norm(got - wanted))
    scale = float(torch.linalg.vector_norm(wanted))
    scale = scale if scale > ROUNDING * whole else whole
    return 0.0 if difference == 0.0 else difference / scale if scale > 0.0 else float("inf")


def errors(path):
    """The type of a file, its norm mode, and the error of each quantity with the tensor it is largest in."""
    config, tensors = read(path)
    about = config.get("oracle", {})
    dtype = about.get("dtype") or {torch.float32: "f32", torch.float64: "f64"}[tensors["output/logits"].dtype]
    norm = config.get("norm", "none")
    mode = config.get("norm_mode") or about.get("norm_mode") or ("running" if norm == "none" else None)
    if mode not in ("batch", "running"):
        raise Unreadable(f"norm mode {mode!r} is neither 'batch' nor 'running'")
    x, y = tensors["input/x"], tensors["input/y"].long()
    x = x.double() if x.is_floating_point() else x.long()
    constants = config.get("batch_norm", {})
    network = networks.build(
        config["model"],
        norm,
        config.get("activation", "relu"),
        tuple(x.shape[1:]),
        tensors["output/logits"].shape[-1],
        constants.get("epsilon", 1e-5),
        constants.get("momentum", 0.1),
        config.get("weight_norm", "none"),
    )
    try:
        networks.load(network, {**group(tensors, "param/"), **group(tensors, "buffer/")})
        found = networks.derivatives(network, "cross-entropy", mode, x, y, group(tensors, "vector/"))
    except ValueError as error:
        raise Unreadable(str(error)) from error

    results = {}
    for quantity in QUANTITIES:
        wanted = found[quantity]
        if quantity in ("loss", "logits"):
            results[quantity] = (error_of(tensors[f"output/{quantity}"], wanted), "")
            continue
        got = group(tensors, f"{NAMES[quantity]}/")
        if missing := sorted(got.keys() ^ wanted.keys()):
            raise Unreadable(f"{NAMES[quantity]}: only one side has {', '.join(missing)}")
        whole = float(torch.sqrt(sum((tensor**2).sum() for tensor in wanted.values())))
        each = [(error_of(got[name], wanted[name], whole), name) for name in wanted]
        # Not a number counts as the largest.
        results[quantity] = max(each, key=lambda pair: (pair[0] != pair[0], pair[0]))
    return dtype, mode, results


def main():
    parser = argparse.ArgumentParser(description="Checks oracle files of Evenkeel against PyTorch.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="what `evenkeel export --oracle FILE` wrote")
    files = parser.parse_args().files
    width = max(len(Path(file).name) for file in files)
    status = 0
    for file in files:
        try:
            dtype, mode, results = errors(file)
        except (Unreadable, KeyError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else error
            print(f"error: {file} cannot be checked\n  {what}", file=sys.stderr)
            status = 2
            continue
        for quantity, (error, place) in results.items():
            limit = LIMITS[dtype][QUANTITIES[quantity]]
            good = error <= limit
            status = status if good else max(status, 1)
            verdict = "agrees" if good else "DIFFERS"
            line = f"{Path(file).name:<{width}}  {dtype}  {mode:<7}  {quantity:<12}  {error:.1e}  <= {limit:.0e}"
            print(f"{line}  {verdict:<7}  {place}".rstrip())
    sys.exit(status)


if __name__ == "__main__":
    main()
