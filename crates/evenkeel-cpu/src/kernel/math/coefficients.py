"""The coefficients of the polynomials in `math`, by Remez's exchange in 60 digits; prints them as Rust.

Each is fitted in its weighted error, then rounded from the lowest power up, with the others fitted again each time.
"""
import struct
import mpmath as mp

mp.mp.dps = 60


def to_type(value, double):
    if double:
        return mp.mpf(float(value))
    return mp.mpf(struct.unpack("f", struct.pack("f", float(value)))[0])


def remez(target, weight, low, high, powers):
    """The c with least max |weight(x) (target(x) - sum c x^powers)| on [low, high], and that error."""
    count = len(powers) + 1
    grid = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * k / 400) for k in range(401)][::-1]
    values = [(x, target(x), weight(x)) for x in grid]
    nodes = [400 * k // (count - 1) for k in range(count)]
    for _ in range(30):
        matrix = mp.matrix(count, count)
        right = mp.matrix(count, 1)
        for row, node in enumerate(nodes):
            x, y, w = values[node]
            for column, power in enumerate(powers):
                matrix[row, column] = w * x**power
            matrix[row, count - 1] = (-1) ** row
            right[row] = w * y
        solution = mp.lu_solve(matrix, right)
        c = [solution[k] for k in range(count - 1)]
        errors = [w * (y - sum(a * x**p for a, p in zip(c, powers))) for x, y, w in values]
        # The largest error of each run of one sign.
        runs = []
        for k, error in enumerate(errors):
            if runs and (error > 0) == (errors[runs[-1]] > 0):
                if abs(error) > abs(errors[runs[-1]]):
                    runs[-1] = k
            else:
                runs.append(k)
        while len(runs) > count:
            if len(runs) == count + 1:
                runs.pop(0 if abs(errors[runs[0]]) < abs(errors[runs[-1]]) else -1)
            else:
                k = min(range(len(runs)), key=lambda k: abs(errors[runs[k]]))
                del runs[k : k + (2 if 0 < k < len(runs) - 1 else 1)]
        if len(runs) < count or runs == nodes:
            break
        nodes = runs
    return c, max(abs(e) for e in errors)


def fit(name, target, weight, low, high, degree, double):
    powers = list(range(degree + 1))
    rounded = []
    rest = target
    while powers:
        c, error = remez(rest, weight, mp.mpf(low), mp.mpf(high), powers)
        first = to_type(c[0], double)
        rounded.append(first)
        powers.pop(0)
        rest = (lambda old, a, p: lambda x: old(x) - a * x**p)(rest, first, len(rounded) - 1)
    grid = [mp.mpf(low) + (mp.mpf(high) - low) * k / 500 for k in range(501)]
    error = max(abs(weight(x) * (target(x) - sum(a * x**p for p, a in enumerate(rounded)))) for x in grid if x != 0)
    print(f"// {name}, {'f64' if double else 'f32'}: relative error 2^{float(mp.log(error, 2)):.1f}")
    print("[" + ", ".join(repr(float(a)) if double else short(float(a)) for a in rounded) + "]")


def short(value):
    for digits in range(1, 12):
        text = f"{value:.{digits}g}"
        if to_type(float(text), False) == value:
            return repr(float(text))
    return repr(value)


def limit(f, at_zero):
    return lambda x: at_zero if abs(x) < mp.mpf(10) ** -15 else f(x)


def main():
    half = mp.log(2) / 2 * mp.mpf("1.0001")
    for double, degree in ((False, 5), (True, 10)):
        fit("(e^r - 1 - r) / r^2", limit(lambda r: (mp.expm1(r) - r) / r**2, mp.mpf(1) / 2),
            limit(lambda r: r**2 / mp.expm1(r), mp.mpf(0)), -half, half, degree, double)
    edge = (mp.sqrt(2) - 1) ** 2 / (mp.sqrt(2) + 1) ** 2 * mp.mpf("1.0002")
    artanh = limit(lambda z: 2 * (mp.atanh(mp.sqrt(z)) - mp.sqrt(z)) / mp.sqrt(z) ** 3, mp.mpf(2) / 3)
    for double, degree in ((False, 2), (True, 6)):
        fit("(2 artanh(s) - 2s) / s^3 over s^2", artanh,
            limit(lambda z: mp.sqrt(z) ** 3 / mp.atanh(mp.sqrt(z)) / 2, mp.mpf(0)), 0, edge, degree, double)
    fit("(2 artanh(s) - 2s - 2/3 s^3) / s^5 over s^2",
        lambda z: (artanh(z) - mp.mpf(2) / 3) / z if z > mp.mpf(10) ** -12 else mp.mpf(2) / 5 + 2 * z / 7,
        limit(lambda z: mp.sqrt(z) ** 5 / mp.atanh(mp.sqrt(z)) / 2, mp.mpf(0)), 0, edge, 7, True)
    quarter = (mp.pi / 4) ** 2 * mp.mpf("1.0005")
    for double, degree in ((False, 2), (True, 6)):
        fit("(sin(r) - r) / r^3 over r^2",
            limit(lambda z: (mp.sin(mp.sqrt(z)) - mp.sqrt(z)) / mp.sqrt(z) ** 3, -mp.mpf(1) / 6),
            limit(lambda z: mp.sqrt(z) ** 3 / mp.sin(mp.sqrt(z)), mp.mpf(0)), 0, quarter, degree, double)
    for double, degree in ((False, 2), (True, 5)):
        fit("(cos(r) - 1 + r^2/2) / r^4 over r^2",
            limit(lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, mp.mpf(1) / 24),
            limit(lambda z: z**2 / mp.cos(mp.sqrt(z)), mp.mpf(0)), 0, quarter, degree, double)
    for double, degree in ((False, 6), (True, 12)):
        fit("erf(a) / a - 1 over a^2",
            limit(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1, 2 / mp.sqrt(mp.pi) - 1),
            limit(lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)), mp.sqrt(mp.pi) / 2), 0, 1, degree, double)
    for double, top, degree in ((False, 4, 6), (True, 6, 17)):
        fit(f"-ln erfc(a) on [1, {top}] over a - 1", lambda t: -mp.log(mp.erfc(t + 1)),
            lambda t: mp.erfc(t + 1) / mp.erf(t + 1), 0, mp.mpf(top - 1), degree, double)


main()
