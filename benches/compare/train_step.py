"""The same training steps in PyTorch and in Evenkeel, alternating in one run; prints medians and ratios.

    python benches/compare/train_step.py EVENKEEL_BINARY CIFAR10_DIR MNIST_DIR

Evenkeel's step is the median distance of the `seconds` that its metrics record, without measurements; it includes taking
the batch from the data set and writing the metrics, which PyTorch's side does not.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time

import torch


STEPS = 16
ROUNDS = 3


def pytorch_step(model, shape, batch, channels_last):
    """Median seconds of a step with momentum."""
    model = model.to(memory_format=torch.channels_last) if channels_last else model
    x = torch.randn(batch, *shape)
    x = x.to(memory_format=torch.channels_last) if channels_last else x
    y = torch.randint(0, 10, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def evenkeel_step(binary, data, model, norm, batch):
    """Median seconds of a step."""
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"
        subprocess.run(
            [binary, "train", "-q", "--data", data, "--model", model, "--norm", norm, "--batch-size", str(batch), "--epochs", "1",
             "--lr", "0.01", "--out", run, "--set", f"data.limit={batch * STEPS}", "--set", "data.test_limit=64", "--set", "measure.every=0",
             "--set", "measure.start_and_end=false"],
            check=True, stdout=subprocess.DEVNULL)
        seconds = [json.loads(line)["values"]["seconds"] for line in open(f"{run}/metrics")]
    steps = [later - earlier for earlier, later in zip(seconds, seconds[1:-1])]
    return statistics.median(steps[2:])


class Mlp(torch.nn.Sequential):
    def __init__(self, norm):
        layers = []
        for inputs, outputs in [(784, 512), (512, 512)]:
            layers += [torch.nn.Linear(inputs, outputs)] + ([torch.nn.BatchNorm1d(outputs)] if norm else []) + [torch.nn.ReLU()]
        super().__init__(torch.nn.Flatten(), *layers, torch.nn.Linear(512, 10))


class Block(torch.nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        conv = torch.nn.Conv2d
        self.conv1, self.norm1 = conv(inputs, outputs, 3, stride, 1, bias=False), torch.nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = conv(outputs, outputs, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(outputs)
        self.short = torch.nn.Identity() if inputs == outputs else torch.nn.Sequential(
            conv(inputs, outputs, 1, stride, bias=False), torch.nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(y + self.short(x))


def resnet20():
    layers = [torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(16), torch.nn.ReLU()]
    inputs = 16
    for stage, width in enumerate([16, 32, 64]):
        for block in range(3):
            layers.append(Block(inputs, width, 2 if stage and not block else 1))
            inputs = width
    return torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, 10))


def vgg11():
    layers, inputs = [], 3
    for width, pool in [(64, 1), (128, 1), (256, 0), (256, 1), (512, 0), (512, 1), (512, 0), (512, 1)]:
        layers += [torch.nn.Conv2d(inputs, width, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(width), torch.nn.ReLU()]
        layers += [torch.nn.MaxPool2d(2)] if pool else []
        inputs = width
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(512, 10))


def main():
    binary, cifar, mnist = sys.argv[1:4]
    cases = [
        ("MLP 784-512-512-10", f"mnist:{mnist}", "mlp", "none", lambda: Mlp(False), (1, 28, 28)),
        ("the same with batch norm", f"mnist:{mnist}", "mlp", "batch", lambda: Mlp(True), (1, 28, 28)),
        ("ResNet-20, CIFAR shapes", f"cifar10:{cifar}", "resnet20", "batch", resnet20, (3, 32, 32)),
        ("VGG-11, CIFAR shapes", f"cifar10:{cifar}", "vgg11", "batch", vgg11, (3, 32, 32)),
    ]
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, batch 128, f32, medians of {ROUNDS} rounds")
    for name, data, model, norm, build, shape in cases:
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(evenkeel_step(binary, data, model, norm, 128))
            layouts = [False, True] if shape[0] == 3 else [False]
            theirs.append(min(pytorch_step(build(), shape, 128, layout) for layout in layouts))
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"{name:28}  evenkeel {a * 1e3:8.2f} ms  PyTorch's best {b * 1e3:8.2f} ms  ratio {a / b:.2f}")


if __name__ == "__main__":
    main()
