"""What is compared: networks, batches and programs, in the order of the table."""

from dataclasses import dataclass, field

import torch

import networks
import products
import steps

BLOCK = 8


@dataclass
class Case:
    """A program over a network and a batch, on both sides."""

    name: str
    what: str
    model: str
    build: object
    shape: tuple
    batch: int = 128
    norm: str = "none"
    classes: int = 10
    flags: tuple = ()
    tokens: bool = False
    kind: str = field(default="single")

    def command(self):
        """Flags of `evenkeel bench`. Its shapes are channels-last."""
        extents = self.shape if len(self.shape) < 3 else self.shape[1:] + self.shape[:1]
        flags = ["--model", self.model, "--norm", self.norm, "--batch-size", self.batch, "--what", self.what]
        return [str(flag) for flag in [*flags, "--input", "x".join(map(str, extents)), *self.flags]]

    def data(self):
        random = torch.Generator().manual_seed(0)
        if self.tokens:
            x = torch.randint(0, self.classes, (self.batch, *self.shape), generator=random)
            return x, torch.randint(0, self.classes, (self.batch * self.shape[0],), generator=random)
        x = torch.randn(self.batch, *self.shape, generator=random)
        return x, torch.randint(0, self.classes, (self.batch,), generator=random)

    def contenders(self):
        """PyTorch's ways by name: each a function that prepares and returns the work."""
        images = len(self.shape) == 3 and self.shape[0] == 3
        layouts = {", channels-last": torch.channels_last, ", contiguous": torch.contiguous_format} if images else {"": None}
        ways = {}
        for suffix, layout in layouts.items():
            for name, prepare in self.ways().items():
                ways[name + suffix] = lambda layout=layout, prepare=prepare: prepare(layout)
        return ways

    def ways(self):
        if self.what in steps.WAYS:
            way = steps.WAYS[self.what]
            return {
                "PyTorch, eager": lambda layout: way(*self.placed(layout, True)),
                "PyTorch, compiled": lambda layout: way(*self.placed(layout, True), steps.compiled),
            }
        table = {"single": products.SINGLE, "repeated": products.REPEATED, "block": products.BLOCK}[self.kind]
        return {
            name: lambda layout, way=way: way(self.problem(layout)) for name, way in table[self.what].items()
        }

    def placed(self, layout, tracked):
        """Network and batch in a memory format."""
        torch.manual_seed(0)
        model, (x, y) = self.build(tracked), self.data()
        if layout is not None:
            model, x = model.to(memory_format=layout), x.to(memory_format=layout)
        return model, x, y

    def problem(self, layout):
        model, x, y = self.placed(layout, False)
        torch.manual_seed(1)
        directions = [torch.randn(BLOCK, *param.shape) for param in model.parameters()]
        return products.Problem(model, x, y, directions)


def mlp(norm=False):
    return lambda tracked: networks.mlp(norm=norm, tracked=tracked)


def resnet(depth):
    return lambda tracked: networks.resnet(depth, tracked)


DIGITS, PHOTOGRAPHS = (1, 28, 28), (3, 32, 32)


def curvature(what, kind):
    """The same product of the two networks."""
    flags = {"single": (), "repeated": ("--repeated",), "block": ("--repeated", "--block", BLOCK)}[kind]
    name = {"single": what, "repeated": f"{what} repeated", "block": f"{what} of {BLOCK} directions"}[kind]
    return [
        Case(f"{name}, MLP 784-512-512-10", what, "mlp", mlp(), DIGITS, flags=flags, kind=kind),
        Case(
            f"{name}, ResNet-20", what, "resnet20", resnet(20), PHOTOGRAPHS, norm="batch",
            flags=("--norm-mode", "batch", *flags), kind=kind,
        ),
    ]


TABLE = [
    Case("step, MLP 784-512-512-10", "step", "mlp", mlp(), DIGITS),
    Case("step, MLP 784-512-512-10, batch norm", "step", "mlp", mlp(True), DIGITS, norm="batch"),
    Case(
        "step, MLP 64-64-10, batch 32", "step", "mlp:64", lambda tracked: networks.mlp((64,), 64), (1, 8, 8), batch=32,
    ),
    Case("step, ResNet-20", "step", "resnet20", resnet(20), PHOTOGRAPHS, norm="batch"),
    Case("forward, ResNet-20", "forward", "resnet20", resnet(20), PHOTOGRAPHS, norm="batch"),
    Case("step, VGG-11, batch norm", "step", "vgg11", lambda tracked: networks.vgg11(tracked), PHOTOGRAPHS, norm="batch"),
    Case(
        "step, transformer 4-128-4, 64 tokens, batch 32", "step", "transformer", lambda tracked: networks.Transformer(),
        (64,), batch=32, classes=65, tokens=True,
    ),
    *[case for what in ("hvp", "ggnvp") for kind in ("single", "repeated", "block") for case in curvature(what, kind)],
]

BATCHES = [
    Case(f"step, ResNet-20, batch {batch}", "step", "resnet20", resnet(20), PHOTOGRAPHS, batch=batch, norm="batch")
    for batch in (32, 64, 128, 256, 512, 1024)
]

DEPTHS = [
    Case(f"step, ResNet-{depth}", "step", f"resnet{depth}", resnet(depth), PHOTOGRAPHS, norm="batch")
    for depth in (20, 32, 56, 110)
]
