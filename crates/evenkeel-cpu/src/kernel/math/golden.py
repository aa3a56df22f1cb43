"""Writes golden.txt: for each function x, and f(x) as the sum of two f64, all as bits, from 60 digits of mpmath."""
import random
import struct
from pathlib import Path

import mpmath as mp

mp.mp.dps = 60
random.seed(7)


def bits(x):
    return f"{struct.unpack('Q', struct.pack('d', x))[0]:016x}"


def spread(low, high):
    """Numbers of both signs whose magnitudes have exponents all over [low, high]."""
    return lambda: random.choice((-1, 1)) * mp.mpf(2) ** random.uniform(low, high)


def between(low, high):
    return lambda: random.uniform(low, high)


FUNCTIONS = {
    "exp": (mp.exp, between(-707, 709), spread(-60, 6)),
    "expm1": (mp.expm1, between(-2, 2), spread(-60, 6), between(-40, 700)),
    "log": (mp.log, lambda: abs(spread(-1022, 1023)()), between(0.5, 2), lambda: 1 + spread(-40, -3)()),
    "log1p": (mp.log1p, between(-0.999, 3), spread(-60, -2), lambda: abs(spread(-60, 1000)())),
    "tanh": (mp.tanh, between(-2, 2), spread(-60, 4)),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), between(-5, 5), between(-700, 40), spread(-60, 3)),
    "erf": (mp.erf, between(-2, 2), spread(-60, 2.5)),
    "sin": (mp.sin, between(-10, 10), spread(-60, 20), spread(20, 1000), lambda: mp.pi * random.randrange(1, 10**5)),
    "cos": (mp.cos, between(-10, 10), spread(-60, 20), spread(20, 1000), lambda: mp.pi * (random.randrange(10**5) + 0.5)),
    "power1.7": (lambda x: x ** mp.mpf(1.7), lambda: abs(spread(-590, 600)()), between(0.5, 2)),
    "power-7": (lambda x: x**-7, spread(-140, 140), between(0.5, 2)),
    "power-800.3": (lambda x: x ** mp.mpf(-800.3), between(0.5, 2), lambda: 1 + spread(-40, -3)()),
}

lines = []
for name, (function, *ranges) in FUNCTIONS.items():
    for _ in range(120 // len(ranges)):
        for draw in ranges:
            x = float(draw())
            y = function(mp.mpf(x))
            high = float(y)
            lines.append(f"{name} {bits(x)} {bits(high)} {bits(float(y - mp.mpf(high)))}\n")
Path(__file__).with_name("golden.txt").write_text("".join(lines))
