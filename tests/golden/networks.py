"""The zoo in PyTorch, with Evenkeel's parameter paths, and the way from one layout to the other.

A network takes images as Evenkeel stores them, [N, H, W, C], or tokens [N, T], and its parameters have the paths of Evenkeel's; only their
layouts are PyTorch's. `to_torch` and `from_torch` convert one tensor.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

WIDTHS = {
    "mlp": [512, 512],
    "deep-linear": [64, 64],
    "plain-conv": [8] * 18,
    "autoencoder": [256, 10],
    "vae": [128, 8],
    "encoder": [4, 64, 4, 4],
    "row-gru": [64],
    "row-lstm": [64],
    "transformer": [4, 128, 4, 64],
}
LAYERS = ["attention", "layer-norm", "gru", "lstm", "convolutions"]
CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}
ACTIVATIONS = {"relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "gelu": F.gelu}


def to_torch(tensor):
    """[in, out] -> [out, in]; [kh, kw, in, out] -> [out, in, kh, kw]; vectors and numbers stay."""
    if tensor.ndim == 2:
        return tensor.transpose(0, 1).contiguous()
    return tensor.permute(3, 2, 0, 1).contiguous() if tensor.ndim == 4 else tensor


def from_torch(tensor):
    """The inverse of `to_torch`."""
    if tensor.ndim == 2:
        return tensor.transpose(0, 1).contiguous()
    return tensor.permute(2, 3, 1, 0).contiguous() if tensor.ndim == 4 else tensor


class LastAxis(nn.Module):
    """A layer over the last axis, applied to the channels [N, C, ..]."""

    def __init__(self, layer):
        super().__init__()
        # In a list, so that its parameters are found under the names given here alone.
        self.layer = [layer]
        for name, parameter in layer.named_parameters():
            setattr(self, name, parameter)

    def forward(self, x):
        return self.layer[0](x.movedim(1, -1)).movedim(-1, 1)


class OverBatch(nn.Module):
    """Statistics of each channel [N, C, ..] over the batch, with running ones; the base of what PyTorch does not have."""

    def __init__(self, channels, epsilon, momentum, size=None):
        super().__init__()
        self.epsilon, self.momentum, self.size = epsilon, momentum, size
        self.register_buffer("running_mean", torch.zeros(channels))
        if size:
            self.register_buffer(size, torch.ones(channels))

    def move(self, name, value):
        running = getattr(self, name)
        running.copy_((1 - self.momentum) * running + self.momentum * value.detach().flatten())

    def along(self, tensor, x):
        return tensor.view(1, -1, *[1] * (x.ndim - 2))


class NormOverBatch(OverBatch):
    """(x - mean) / (N + epsilon) with N the mean |x|, the root mean square or the largest |x|; without a kind, x - mean."""

    def __init__(self, channels, epsilon, momentum, kind):
        super().__init__(channels, epsilon, momentum, kind and "running_norm")
        self.kind = kind
        if kind:
            self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        axes = (0, *range(2, x.ndim))
        if self.training:
            mean = x.mean(axes, keepdim=True)
            self.move("running_mean", mean)
        else:
            mean = self.along(self.running_mean, x)
        if self.kind is None:
            return x - mean + self.along(self.bias, x)
        if self.training:
            norms = {
                "l1": lambda: x.abs().mean(axes, keepdim=True),
                "l2": lambda: x.square().mean(axes, keepdim=True).sqrt(),
                "linf": lambda: x.abs().amax(axes, keepdim=True),
            }
            norm = norms[self.kind]()
            self.move("running_norm", norm)
        else:
            norm = self.along(self.running_norm, x)
        return (x - mean) / (norm + self.epsilon) * self.along(self.weight, x) + self.along(self.bias, x)


class ImprovedGroupNorm(OverBatch):
    """Group norm, blended with its standardization over the batch; deviations are unbiased, epsilon is added to them."""

    def __init__(self, groups, channels, epsilon, momentum):
        super().__init__(channels, epsilon, momentum, "running_var")
        self.groups = groups
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_parameter("lambda", nn.Parameter(torch.ones(1)))

    def forward(self, x):
        g = x.reshape(x.shape[0], self.groups, -1)
        g = ((g - g.mean(2, keepdim=True)) / (g.std(2, keepdim=True) + self.epsilon)).reshape(x.shape)
        if self.training:
            axes = (0, *range(2, x.ndim))
            mean, variance = g.mean(axes, keepdim=True), g.var(axes, keepdim=True)
            self.move("running_mean", mean)
            self.move("running_var", variance)
        else:
            mean, variance = self.along(self.running_mean, x), self.along(self.running_var, x)
        b = (g - mean) / (variance.sqrt() + self.epsilon)
        share = torch.sigmoid(getattr(self, "lambda"))
        return (share * g + (1 - share) * b) * self.along(self.weight, x) + self.along(self.bias, x)


class Norms:
    """Makes the normalization layers of a network."""

    def __init__(self, kind, epsilon=1e-5, momentum=0.1):
        self.kind, _, groups = kind.partition(":")
        self.groups = int(groups) if groups else None
        self.epsilon, self.momentum = epsilon, momentum

    def make(self, channels, dims):
        epsilon, momentum = self.epsilon, self.momentum
        usual = next((g for g in range(min(32, channels // 2), 0, -1) if channels % g == 0), 1)
        groups = self.groups or usual
        kinds = {
            "none": nn.Identity,
            "batch": lambda: (nn.BatchNorm1d if dims == 1 else nn.BatchNorm2d)(channels, eps=epsilon, momentum=momentum),
            "mean-only": lambda: NormOverBatch(channels, epsilon, momentum, None),
            "layer": lambda: LastAxis(nn.LayerNorm(channels, epsilon)),
            "rms": lambda: LastAxis(nn.RMSNorm(channels, epsilon)),
            "group": lambda: nn.GroupNorm(groups, channels, epsilon),
            "instance": lambda: nn.InstanceNorm2d(channels, epsilon, affine=True),
            "improved-group": lambda: ImprovedGroupNorm(groups, channels, epsilon, momentum),
        }
        for kind in ("l1", "l2", "linf"):
            kinds[kind] = lambda kind=kind: NormOverBatch(channels, epsilon, momentum, kind)
        if self.kind not in kinds:
            raise ValueError(f"norm '{self.kind}' is not known here")
        return kinds[self.kind]()


def normalized(v, g):
    """g v / |v| for each unit, an entry of the first axis."""
    # In plain operations: the second derivative of `torch._weight_norm` in PyTorch 2.15 is not that of its first.
    length = torch.linalg.vector_norm(v.flatten(1), dim=1)
    return v * (g / length).view(-1, *[1] * (v.ndim - 1))


def standardized(w):
    """Mean 0 and unbiased deviation 1 for each unit, an entry of the first axis."""
    axes = tuple(range(1, w.ndim))
    return (w - w.mean(axes, keepdim=True)) / (w.std(axes, keepdim=True) + 1e-5)


def transform_weight(module, name, kind):
    """Puts the parameters of a normalized weight in its place; gives back what makes a weight of them."""
    if kind == "normalized":
        v = getattr(module, name)
        delattr(module, name)
        setattr(module, f"{name}_v", v)
        setattr(module, f"{name}_g", nn.Parameter(v.detach().flatten(1).norm(dim=1)))
        return lambda: normalized(getattr(module, f"{name}_v"), getattr(module, f"{name}_g"))
    return lambda: standardized(getattr(module, name))


def transform_weights(network, kind):
    """Weight normalization or standardization in every linear, convolution and recurrent layer but a standardized head."""
    if kind not in ("none", "normalized", "standardized"):
        raise ValueError(f"weight norm '{kind}' is not known here")
    for path, module in list(network.named_modules()):
        if kind == "none" or (kind, path) == ("standardized", "head"):
            continue
        if isinstance(module, Recurrent):
            module.made = {name: transform_weight(module, name, kind) for name in ("weight_ih", "weight_hh")}
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            weight = transform_weight(module, "weight", kind)

            def forward(x, module=module, weight=weight):
                if isinstance(module, nn.Linear):
                    return F.linear(x, weight(), module.bias)
                return F.conv2d(x, weight(), module.bias, module.stride, module.padding)

            module.forward = forward


class Mlp(nn.Module):
    """fc1, norm1, activation, fc2, .., head; without an activation: a product of matrices without biases."""

    def __init__(self, inputs, widths, norms, activation, classes):
        super().__init__()
        self.activation = activation
        self.layers = len(widths)
        for number, width in enumerate(widths, 1):
            setattr(self, f"fc{number}", nn.Linear(inputs, width, bias=activation is not None))
            setattr(self, f"norm{number}", norms.make(width, 1))
            inputs = width
        self.head = nn.Linear(inputs, classes, bias=activation is not None)

    def forward(self, x):
        x = x.flatten(1)
        for number in range(1, self.layers + 1):
            x = getattr(self, f"norm{number}")(getattr(self, f"fc{number}")(x))
            if self.activation is not None:
                x = self.activation(x)
        return self.head(x)


class Vgg11(nn.Module):
    """8 convolutions of 3x3 with relu, 5 max pools, head."""

    LAYERS = [(64, True), (128, True), (256, False), (256, True), (512, False), (512, True), (512, False), (512, True)]

    def __init__(self, image, norms, classes):
        super().__init__()
        height, width, channels = image
        self.features = nn.Module()
        for number, (out, pool) in enumerate(self.LAYERS, 1):
            conv = nn.Conv2d(channels, out, 3, padding=1, bias=norms.kind == "none")
            setattr(self.features, f"conv{number}", conv)
            setattr(self.features, f"norm{number}", norms.make(out, 2))
            channels = out
            if pool:
                height, width = height // 2, width // 2
        self.head = nn.Linear(height * width * channels, classes)

    def forward(self, x):
        x = x.permute(0, 3, 1, 2)
        for number, (_, pool) in enumerate(self.LAYERS, 1):
            x = getattr(self.features, f"conv{number}")(x)
            x = F.relu(getattr(self.features, f"norm{number}")(x))
            if pool:
                x = F.max_pool2d(x, 2)
        return self.head(x.permute(0, 2, 3, 1).flatten(1))


class Block(nn.Module):
    """relu(norm2(conv2(relu(norm1(conv1(x))))) + shortcut(x))"""

    def __init__(self, inputs, out, stride, norms):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, out, 3, stride, 1, bias=False)
        self.norm1 = norms.make(out, 2)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm2 = norms.make(out, 2)
        self.downsample = None
        if stride != 1 or inputs != out:
            self.downsample = nn.Module()
            self.downsample.conv = nn.Conv2d(inputs, out, 1, stride, bias=False)
            self.downsample.norm = norms.make(out, 2)

    def forward(self, x):
        inner = F.relu(self.norm1(self.conv1(x)))
        inner = self.norm2(self.conv2(inner))
        if self.downsample is not None:
            x = self.downsample.norm(self.downsample.conv(x))
        return F.relu(inner + x)


class ResNet20(nn.Module):
    """conv1, 3 stages of 3 blocks with widths 16, 32, 64, mean over space, head."""

    def __init__(self, image, norms, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(image[2], 16, 3, padding=1, bias=False)
        self.norm1 = norms.make(16, 2)
        inputs = 16
        for stage, width in enumerate((16, 32, 64), 1):
            blocks = []
            for index in range(3):
                blocks.append(Block(inputs, width, 2 if stage > 1 and index == 0 else 1, norms))
                inputs = width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.head = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x.permute(0, 3, 1, 2))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.head(x.mean((2, 3)))


class Table(nn.Module):
    """A vector for each index; kept [width, indices], so that `to_torch` does with it what it does with every matrix."""

    def __init__(self, indices, width):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, indices))

    def forward(self, x):
        return F.embedding(x, self.weight.T)


class Attention(nn.Module):
    """Self-attention: one linear map to queries, keys and values, another from the heads' results."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x, causal=True):
        split = lambda part: part.unflatten(2, (self.heads, -1)).transpose(1, 2)
        q, k, v = map(split, self.qkv(x).chunk(3, dim=2))
        # The other kernels cannot be differentiated twice.
        with sdpa_kernel(SDPBackend.MATH):
            y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out(y.transpose(1, 2).flatten(2))


class ByPosition(nn.Module):
    """A norm of channels [N, C] applied to every position [N, T, C]; its parameters have no name in between."""

    def __init__(self, layer):
        super().__init__()
        self.layer = [layer.double()]
        for name, parameter in layer.named_parameters():
            setattr(self, name, parameter)

    def forward(self, x):
        return self.layer[0](x.flatten(0, 1)).unflatten(0, x.shape[:2])


class TransformerBlock(nn.Module):
    """x + attention(norm1(x)), then x + fc2(gelu(fc1(norm2(x))))"""

    def __init__(self, width, heads, norms, causal=True):
        super().__init__()
        self.causal = causal
        self.norm1 = ByPosition(norms.make(width, 1))
        self.attention = Attention(width, heads)
        self.norm2 = ByPosition(norms.make(width, 1))
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x), self.causal)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Transformer(nn.Module):
    """Tables of tokens and positions, pre-norm blocks, norm, head."""

    def __init__(self, layers, width, heads, context, vocabulary, norms):
        super().__init__()
        self.tokens = Table(vocabulary, width)
        self.positions = Table(context, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, norms) for _ in range(layers))
        self.norm = ByPosition(norms.make(width, 1))
        self.head = nn.Linear(width, vocabulary)

    def forward(self, x):
        x = self.tokens(x) + self.positions(torch.arange(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Recurrent(nn.Module):
    """PyTorch's GRU or LSTM under the names of its first layer, without the suffix."""

    def __init__(self, kind, inputs, hidden):
        super().__init__()
        # In a list, so that its parameters are found under the names given here alone.
        self.layer = [kind(inputs, hidden, batch_first=True)]
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(self, name, getattr(self.layer[0], f"{name}_l0"))
        self.made = {}

    def forward(self, x):
        made = {f"{name}_l0": weight() for name, weight in self.made.items()}
        return torch.func.functional_call(self.layer[0], made, (x,))[0]


class PlainConv(nn.Module):
    """conv1, norm1, activation, .., fc to two numbers a pixel, norm, activation, head."""

    def __init__(self, image, channels, norms, activation, classes):
        super().__init__()
        self.activation, self.layers = activation, len(channels)
        height, width, inputs = image
        bias = norms.kind == "none"
        for number, out in enumerate(channels, 1):
            setattr(self, f"conv{number}", nn.Conv2d(inputs, out, 3, padding=1, bias=bias))
            setattr(self, f"norm{number}", norms.make(out, 2))
            inputs = out
        self.fc = nn.Linear(height * width * inputs, 2 * height * width, bias=bias)
        self.norm = norms.make(2 * height * width, 1)
        self.head = nn.Linear(2 * height * width, classes)

    def forward(self, x):
        x = x.permute(0, 3, 1, 2)
        for number in range(1, self.layers + 1):
            x = self.activation(getattr(self, f"norm{number}")(getattr(self, f"conv{number}")(x)))
        return self.head(self.activation(self.norm(self.fc(x.permute(0, 2, 3, 1).flatten(1)))))


class PreBlock(nn.Module):
    """conv2(relu(norm2(conv1(relu(norm1(x)))))) + shortcut; the first block of a stage activates before the ways part."""

    def __init__(self, inputs, out, stride, first, norms):
        super().__init__()
        self.first = first
        self.norm1 = norms.make(inputs, 2)
        self.conv1 = nn.Conv2d(inputs, out, 3, stride, 1, bias=False)
        self.norm2 = norms.make(out, 2)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.downsample = None
        if stride != 1 or inputs != out:
            self.downsample = nn.Module()
            self.downsample.conv = nn.Conv2d(inputs, out, 1, stride, bias=False)

    def forward(self, x):
        inner = F.relu(self.norm1(x))
        shortcut = inner if self.first else x
        inner = self.conv2(F.relu(self.norm2(self.conv1(inner))))
        return inner + (shortcut if self.downsample is None else self.downsample.conv(shortcut))


class PreResNet20(nn.Module):
    """conv1, 3 stages of 3 blocks with widths 16, 32, 64, norm, relu, mean over space, head."""

    def __init__(self, image, norms, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(image[2], 16, 3, padding=1, bias=False)
        inputs = 16
        for stage, width in enumerate((16, 32, 64), 1):
            blocks = []
            for index in range(3):
                blocks.append(PreBlock(inputs, width, 2 if stage > 1 and index == 0 else 1, index == 0, norms))
                inputs = width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.norm = norms.make(inputs, 2)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x.permute(0, 3, 1, 2)))))
        return self.head(F.relu(self.norm(x)).mean((2, 3)))


class Hidden(nn.Module):
    """fc1, norm1, activation, fc2, .."""

    def __init__(self, inputs, widths, norms, activation):
        super().__init__()
        self.activation, self.layers = activation, len(widths)
        for number, width in enumerate(widths, 1):
            setattr(self, f"fc{number}", nn.Linear(inputs, width))
            setattr(self, f"norm{number}", norms.make(width, 1))
            inputs = width

    def forward(self, x):
        for number in range(1, self.layers + 1):
            x = self.activation(getattr(self, f"norm{number}")(getattr(self, f"fc{number}")(x)))
        return x


class Autoencoder(nn.Module):
    """encoder, code, decoder, head; a variational one has two numbers a latent one in its code and takes the mean."""

    def __init__(self, inputs, sizes, variational, norms, activation):
        super().__init__()
        *widths, self.latent = sizes
        self.variational = variational
        self.encoder = Hidden(inputs, widths, norms, activation)
        self.code = nn.Linear(widths[-1], self.latent * (2 if variational else 1))
        self.decoder = Hidden(self.latent, widths[::-1], norms, activation)
        self.head = nn.Linear(widths[0], inputs)

    def forward(self, x):
        code = self.code(self.encoder(x.flatten(1)))
        self.added = 0.0
        if self.variational:
            code, log_variance = code.chunk(2, dim=1)
            self.added = (code**2 + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
        return self.head(self.decoder(code))


class Encoder(nn.Module):
    """A linear map of each patch, positions, pre-norm blocks that see everything, norm, head on the mean."""

    def __init__(self, image, layers, width, heads, patch, norms, classes):
        super().__init__()
        self.patch = patch
        height, columns, channels = image
        self.patches = nn.Linear(patch * patch * channels, width)
        self.positions = Table(height // patch * (columns // patch), width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, norms, causal=False) for _ in range(layers))
        self.norm = ByPosition(norms.make(width, 1))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = x.unfold(1, self.patch, self.patch).unfold(2, self.patch, self.patch)
        x = self.patches(x.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(1, 2))
        x = x + self.positions(torch.arange(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


class Sequence(nn.Module):
    """Recurrent layers over tokens with a head at each position, or over the rows of an image with a head at the last."""

    def __init__(self, kind, inputs, widths, embedding, outputs):
        super().__init__()
        self.layers = len(widths)
        self.tokens = Table(outputs, embedding) if embedding else None
        inputs = embedding or inputs
        for number, width in enumerate(widths, 1):
            setattr(self, f"rnn{number}", Recurrent(kind, inputs, width))
            inputs = width
        self.head = nn.Linear(inputs, outputs)

    def forward(self, x):
        x = self.tokens(x) if self.tokens else x.flatten(2)
        for number in range(1, self.layers + 1):
            x = getattr(self, f"rnn{number}")(x)
        return self.head(x if self.tokens else x[:, -1])


class Convolutions(nn.Module):
    """Two convolutions with a norm after each, tanh in between, and the mean of the squares."""

    def __init__(self, channels, norms):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 3, padding=1, bias=False)
        self.norm1 = norms.make(6, 2)
        self.conv2 = nn.Conv2d(6, 4, 3, 2, 1, bias=False)
        self.norm2 = norms.make(4, 2)

    def forward(self, x):
        x = torch.tanh(self.norm1(self.conv1(x.permute(0, 3, 1, 2))))
        return self.norm2(self.conv2(x)).square().mean((2, 3))


class Layer(nn.Module):
    """One layer over [N, T, C] and what makes logits of it: the last position of a recurrent one, else the mean.

    `convolutions` are over images.
    """

    def __init__(self, name, channels, classes, norms):
        super().__init__()
        self.name = name
        if name == "attention":
            self.layer = Attention(channels, 3)
        elif name == "layer-norm":
            self.layer = nn.LayerNorm(channels, norms.epsilon)
        elif name == "convolutions":
            self.layer = Convolutions(channels, norms)
        else:
            self.layer = Recurrent(CELLS[name], channels, 6)
        self.head = nn.Linear({"gru": 6, "lstm": 6, "convolutions": 4}.get(name, channels), classes)

    def forward(self, x):
        y = self.layer(x, causal=False) if self.name == "attention" else self.layer(x)
        if self.name == "convolutions":
            return self.head(y)
        return self.head(y[:, -1] if self.name in ("gru", "lstm") else y.square().mean(1))


def listed(text):
    """The numbers of 512-64x3: 512, 64, 64, 64."""
    parts = [part.split("x") for part in text.split("-")]
    return [int(width) for width, *times in parts for _ in range(int(times[0]) if times else 1)]


def build(model, norm, activation, image, classes, epsilon=1e-5, momentum=0.1, weights="none"):
    """A network of the zoo in float64; `model` is written as on the command line.

    `image` is the shape (H, W, C) of a sample, or (T,) where it is tokens; `classes` is then their vocabulary.
    """
    name, _, widths = model.partition(":")
    widths = listed(widths) if widths else WIDTHS.get(name, [])
    norms = Norms(norm, epsilon, momentum)
    inputs = 1
    for extent in image:
        inputs *= extent
    if name == "mlp":
        network = Mlp(inputs, widths, norms, ACTIVATIONS[activation], classes)
    elif name == "deep-linear":
        network = Mlp(inputs, widths, norms, None, classes)
    elif name == "vgg11":
        network = Vgg11(image, norms, classes)
    elif name == "resnet20":
        network = ResNet20(image, norms, classes)
    elif name == "transformer":
        network = Transformer(*widths, classes, norms)
    elif name == "plain-conv":
        network = PlainConv(image, widths, norms, ACTIVATIONS[activation], classes)
    elif name == "preresnet20":
        network = PreResNet20(image, norms, classes)
    elif name in ("autoencoder", "vae"):
        network = Autoencoder(inputs, widths, name == "vae", norms, ACTIVATIONS[activation])
    elif name == "encoder":
        network = Encoder(image, *widths, norms, classes)
    elif name in ("gru", "lstm") and widths:
        network = Sequence(CELLS[name], None, widths[1:], widths[0], classes)
    elif name in ("row-gru", "row-lstm"):
        network = Sequence(CELLS[name[4:]], inputs // image[0], widths, None, classes)
    elif name in LAYERS:
        network = Layer(name, image[-1], classes, norms)
    else:
        raise ValueError(f"model '{name}' is not in the zoo")
    transform_weights(network, weights)
    return network.double()


def buffers(network):
    """The buffers that Evenkeel has too: PyTorch also counts the batches."""
    return {path: buffer for path, buffer in network.named_buffers() if not path.endswith("num_batches_tracked")}


def load(network, values):
    """Sets parameters and buffers from a mapping of paths to tensors in Evenkeel's layout; all of them must be there."""
    own = {**dict(network.named_parameters()), **buffers(network)}
    if missing := sorted(own.keys() ^ values.keys()):
        raise ValueError(f"only one side has {', '.join(missing)}")
    with torch.no_grad():
        for path, tensor in own.items():
            value = to_torch(values[path].double())
            if value.shape != tensor.shape:
                raise ValueError(f"{path} has shape {tuple(value.shape)} in the file, {tuple(tensor.shape)} here")
            tensor.copy_(value)


def mean_loss(loss, logits, labels):
    """Cross-entropy, or half the squared distance to the one-hot label; mean over the labels, one a row of logits.

    Labels that are numbers take the place of one-hot ones; with them there is the Bernoulli loss, too.
    """
    if loss == "cross-entropy":
        return F.cross_entropy(logits.flatten(0, -2), labels.flatten())
    wanted = labels if labels.is_floating_point() else F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    if loss == "bernoulli":
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(-1).mean()
    return ((logits - wanted) ** 2).sum(-1).mean() / 2


def bend(loss, logits, moved):
    """The Hessian of the mean loss with respect to the logits, times `moved`, in closed form."""
    if loss == "cross-entropy":
        p = logits.softmax(-1)
        moved = p * (moved - (p * moved).sum(-1, keepdim=True))
    if loss == "bernoulli":
        p = logits.sigmoid()
        moved = p * (1 - p) * moved
    return moved / logits[..., 0].numel()


def derivatives(network, loss, mode, x, labels, direction):
    """Loss, logits, gradient, Hessian product and Gauss-Newton product; mappings in Evenkeel's layout.

    `mode`: "batch" takes batch norm's statistics from the batch and differentiates through them, "running" takes the running
    ones as constants. The running statistics are left as they are.
    """
    kept = {path: buffer.clone() for path, buffer in buffers(network).items()}
    network.train(mode == "batch")
    parameters = dict(network.named_parameters())
    values = list(parameters.values())
    v = [to_torch(direction[path].double()) for path in parameters]

    logits = network(x)
    if isinstance(network, Autoencoder):
        labels = x.flatten(1)
    # What a network adds to its own loss has no part in the Gauss-Newton matrix.
    value = mean_loss(loss, logits, labels) + getattr(network, "added", 0.0)
    gradient = torch.autograd.grad(value, values, create_graph=True)
    # Reverse over reverse: the derivative of g·v. A head that sees no curvature has no path to its parameters.
    along = sum((g * d).sum() for g, d in zip(gradient, v))
    hessian = torch.autograd.grad(along, values, retain_graph=True, allow_unused=True, materialize_grads=True)
    # J v is the derivative of (Jᵀ u)·v by u, wherever u is.
    u = torch.zeros_like(logits, requires_grad=True)
    back = torch.autograd.grad(logits, values, u, create_graph=True)
    (moved,) = torch.autograd.grad(sum((b * d).sum() for b, d in zip(back, v)), u, retain_graph=True)
    gauss_newton = torch.autograd.grad(logits, values, bend(loss, logits.detach(), moved))

    with torch.no_grad():
        for path, buffer in buffers(network).items():
            buffer.copy_(kept[path])
    named = lambda tensors: {path: from_torch(t.detach()) for path, t in zip(parameters, tensors)}
    return {
        "loss": value.detach(),
        "logits": logits.detach(),
        "gradient": named(gradient),
        "hessian": named(hessian),
        "gauss_newton": named(gauss_newton),
    }
