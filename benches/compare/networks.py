"""The networks of Evenkeel's zoo in PyTorch, as its users write them.

With `tracked` false batch norm keeps no running statistics, which transformations of functions do not allow; it uses those of
the batch either way.
"""

import torch
from torch import nn
from torch.nn import functional


def mlp(widths=(512, 512), inputs=784, norm=False, tracked=True):
    layers = [nn.Flatten()]
    for width in widths:
        layers.append(nn.Linear(inputs, width))
        layers += [nn.BatchNorm1d(width, track_running_stats=tracked)] if norm else []
        layers.append(nn.ReLU())
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, 10))


class Block(nn.Module):
    """Two convolutions and a shortcut, which is a projection where the shape changes."""

    def __init__(self, inputs, outputs, stride, tracked):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs, track_running_stats=tracked)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs, track_running_stats=tracked)
        self.shortcut = nn.Identity()
        if inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs, track_running_stats=tracked))

    def forward(self, x):
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


def resnet(depth=20, tracked=True):
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16, track_running_stats=tracked), nn.ReLU()]
    inputs = 16
    for stage, width in enumerate([16, 32, 64]):
        for block in range((depth - 2) // 6):
            layers.append(Block(inputs, width, 2 if stage and not block else 1, tracked))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def vgg11(tracked=True):
    layers, inputs = [], 3
    for width, pool in [(64, 1), (128, 1), (256, 0), (256, 1), (512, 0), (512, 1), (512, 0), (512, 1)]:
        layers += [nn.Conv2d(inputs, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width, track_running_stats=tracked), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if pool else []
        inputs = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


class TransformerBlock(nn.Module):
    """Pre-norm: causal attention, then two linear maps with an exact GELU between them, each added to its input."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*qkv.unbind(0), is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class Transformer(nn.Module):
    """A decoder with learned positions; the logits of all positions, one row each."""

    def __init__(self, layers=4, width=128, heads=4, tokens=64, vocabulary=65):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.blocks = nn.Sequential(*[TransformerBlock(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, tokens):
        x = self.blocks(self.tokens(tokens) + self.positions)
        return self.head(self.norm(x)).flatten(0, 1)
