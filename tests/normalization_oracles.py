"""Naive versions of the normalizations, written from their papers in NumPy, with Python loops.

An oracle of features is a function (parameters, state, x, training, condition) -> y of float64 arrays. It updates the
state, a dictionary of arrays, as training does. An oracle of weights is a function (parameters, state, w) -> ŵ.
"""

import math

import numpy as np

EPS = 1e-5
MOMENTUM = 0.1


def lines(values, count):
    """Values per channel as (1, C, 1, 1)."""
    return np.asarray(values).reshape(1, count, 1, 1)


def scaled(p, y, prefix=""):
    c = y.shape[1]
    return y * lines(p[f"{prefix}weight"], c) + lines(p[f"{prefix}bias"], c)


def over(x, *index):
    """Mean and biased variance of the numbers at an index, each value visited."""
    values = [float(v) for v in np.asarray(x[index]).ravel()]
    mean = math.fsum(values) / len(values)
    return mean, math.fsum((v - mean) ** 2 for v in values) / len(values)


def grouped(x, groups, eps=EPS):
    y = np.empty_like(x)
    size = x.shape[1] // groups
    for n in range(x.shape[0]):
        for g in range(groups):
            at = slice(g * size, (g + 1) * size)
            mean, var = over(x, n, at)
            y[n, at] = (x[n, at] - mean) / math.sqrt(var + eps)
    return y


def layer(p, state, x, training, condition):
    return scaled(p, grouped(x, 1))


def group(p, state, x, training, condition):
    return scaled(p, grouped(x, x.shape[1] // 1 if x.shape[1] <= 32 else 32))


def instance(p, state, x, training, condition):
    return scaled(p, grouped(x, x.shape[1]))


def batch_statistics(state, x, training, prefix=""):
    """Mean and variance of each channel; running ones are updated, with the unbiased variance."""
    c, count = x.shape[1], x[:, 0].size
    if not training:
        return state[f"{prefix}running_mean"], state[f"{prefix}running_var"]
    mean, var = (np.array(v) for v in zip(*[over(x, slice(None), k) for k in range(c)]))
    for name, new in (("running_mean", mean), ("running_var", var * count / (count - 1))):
        state[prefix + name] = (1 - MOMENTUM) * state[prefix + name] + MOMENTUM * new
    return mean, var


def normalized_batch(state, x, training, prefix=""):
    mean, var = batch_statistics(state, x, training, prefix)
    c = x.shape[1]
    return (x - lines(mean, c)) / np.sqrt(lines(var, c) + EPS)


def batch(p, state, x, training, condition):
    return scaled(p, normalized_batch(state, x, training))


def sync_batch(p, state, x, training, condition):
    return scaled(p, normalized_batch(state, x, training, "moments."))


def inplace_abn(p, state, x, training, condition):
    y = normalized_batch(state, x, training, "moments.") * lines(np.abs(p["weight"]), x.shape[1])
    y = y + lines(p["bias"], x.shape[1])
    return np.where(y > 0, y, 0.2 * y)


def batch_channel(p, state, x, training, condition):
    y = scaled(p, normalized_batch(state, x, training, "batch."), "batch.")
    return scaled(p, grouped(y, x.shape[1]), "group.")


def local_response(p, state, x, training, condition):
    y, c = np.empty_like(x), x.shape[1]
    for k in range(c):
        window = x[:, max(k - 2, 0) : k + 3]
        y[:, k] = x[:, k] / (1 + (window**2).sum(axis=1) / 5) ** 0.75
    return y


def by_condition(p, name, condition, c):
    rows = condition @ p[name]
    return rows[:, :c, None, None], rows[:, c:, None, None]


def adaptive_instance(p, state, x, training, condition):
    rows = condition @ p["linear.weight"].T + p["linear.bias"]
    c = x.shape[1]
    return grouped(x, c) * rows[:, :c, None, None] + rows[:, c:, None, None]


def conditional_instance(p, state, x, training, condition):
    scale, shift = by_condition(p, "table", condition, x.shape[1])
    return grouped(x, x.shape[1]) * scale + shift


def conditional_batch(p, state, x, training, condition):
    c = x.shape[1]
    rows = condition @ p["delta.weight"].T
    scale, shift = (
        lines(p["weight"], c) + rows[:, :c, None, None],
        lines(p["bias"], c) + rows[:, c:, None, None],
    )
    return normalized_batch(state, x, training, "batch.") * scale + shift


def activation(p, state, x, training, condition):
    if training and not state["initialized"]:
        mean, var = (np.array(v) for v in zip(*[over(x, slice(None), k) for k in range(x.shape[1])]))
        p["bias"], p["scale"] = -mean, 1 / np.sqrt(var + EPS)
        state["initialized"] = np.array(True)
    return lines(p["scale"], x.shape[1]) * (x + lines(p["bias"], x.shape[1]))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def switched(p, state, x, training, w, v):
    batch_mean, batch_var = batch_statistics(state, x, training, "moments.")
    y = np.empty_like(x)
    for n in range(x.shape[0]):
        layer_mean, layer_var = over(x, n)
        for c in range(x.shape[1]):
            mean, var = over(x, n, c)
            mean = w[0] * mean + w[1] * layer_mean + w[2] * batch_mean[c]
            var = v[0] * var + v[1] * layer_var + v[2] * batch_var[c]
            y[n, c] = (x[n, c] - mean) / math.sqrt(var + EPS)
    return scaled(p, y)


def switchable(p, state, x, training, condition):
    return switched(p, state, x, training, softmax(p["mean_logits"]), softmax(p["var_logits"]))


def nearest_in_simplex(z):
    """By bisection on the threshold, not by sorting."""
    low, high = z.min() - 1, z.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(z - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(z - (low + high) / 2, 0)


def sparsest(z, radius):
    p, center = nearest_in_simplex(z), np.full(3, 1 / 3)
    if np.linalg.norm(p - center) >= radius:
        return p
    p = center + radius * (p - center) / np.linalg.norm(p - center)
    if (p >= 0).all():
        return p
    p = nearest_in_simplex(p)
    middle = (p > 0) / (p > 0).sum()
    rest = math.sqrt(radius**2 - ((center - middle) ** 2).sum())
    return middle + rest * (p - middle) / np.linalg.norm(p - middle)


def sparse_switchable(p, state, x, training, condition):
    r = float(state["radius"])
    return switched(p, state, x, training, sparsest(p["mean_logits"], r), sparsest(p["var_logits"], r))


def local_contrast(p, state, x, training, condition):
    """With SciPy's Gaussian filter of zeros around the image, and of ones for the part within the image."""
    from scipy.ndimage import correlate1d

    at = np.arange(9) - 4.0
    window = np.exp(-(at**2) / (2 * (9 / 4) ** 2))

    def blur(image):
        return correlate1d(correlate1d(image, window, 0, mode="constant"), window, 1, mode="constant")

    y = np.empty_like(x)
    for n in range(x.shape[0]):
        inside = blur(np.ones(x.shape[2:]))
        v = x[n] - blur(x[n].mean(axis=0)) / inside
        root = np.sqrt(blur((v**2).mean(axis=0)) / inside + EPS)
        y[n] = v / np.maximum(root, root.mean())
    return y


def attentive(p, state, x, training, condition):
    y = normalized_batch(state, x, training, "batch.")
    for n in range(x.shape[0]):
        weights = softmax(p["attention.weight"] @ x[n].mean(axis=(1, 2)) + p["attention.bias"])
        scale, shift = (
            sum(k * r for k, r in zip(weights, p["weight"])),
            sum(k * r for k, r in zip(weights, p["bias"])),
        )
        y[n] = scale[:, None, None] * y[n] + shift[:, None, None]
    return y


def decorrelated_batch(p, state, x, training, condition):
    """One group of channels, with the root from NumPy's eigendecomposition."""
    columns = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1)
    if training:
        mean = columns.mean(axis=1, keepdims=True)
        values, vectors = np.linalg.eigh(np.cov(columns, bias=True) + 1e-3 * np.eye(len(columns)))
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        for name, new in (("running_mean", mean), ("running_projection", root)):
            state[name] = (1 - MOMENTUM) * state[name] + MOMENTUM * new
    else:
        mean, root = state["running_mean"][0], state["running_projection"][0]
    white = (root @ (columns - mean)).reshape(x.shape[1], x.shape[0], *x.shape[2:])
    return scaled(p, white.transpose(1, 0, 2, 3))


def instance_meta(p, state, x, training, condition):
    groups = len(p["encoder.weight"][0])
    size, y = x.shape[1] // groups, grouped(x, groups)

    def encoded(m):
        return np.maximum(p["encoder.weight"] @ m + p["encoder.bias"], 0)

    for n in range(x.shape[0]):
        moments = [over(x, n, slice(g * size, (g + 1) * size)) for g in range(groups)]
        mean, var = (np.array(v) for v in zip(*moments))
        logits = p["to_scale.weight"] @ encoded(var) + p["to_scale.bias"]
        shift = np.tanh(p["to_shift.weight"] @ encoded(mean) + p["to_shift.bias"]) + p["bias"]
        y[n] = y[n] * (1 / (1 + np.exp(-logits)) + p["weight"])[:, None, None] + shift[:, None, None]
    return y


def mode(p, state, x, training, condition):
    modes, y = len(p["gates.weight"]), np.zeros_like(x)
    gates = np.array([softmax(p["gates.weight"] @ s.mean(axis=(1, 2)) + p["gates.bias"]) for s in x])
    for k in range(modes):
        if training:
            weights = np.broadcast_to(gates[:, k, None, None, None], x.shape)
            mean = np.array([np.average(x[:, c], weights=weights[:, c]) for c in range(x.shape[1])])
            var = np.array(
                [np.average((x[:, c] - mean[c]) ** 2, weights=weights[:, c]) for c in range(x.shape[1])]
            )
            count = gates[:, k].sum() * x[0, 0].size
            for name, new in (("running_mean", mean), ("running_var", var * count / max(count - 1, 1))):
                state[name][k] = (1 - MOMENTUM) * state[name][k] + MOMENTUM * new
        else:
            mean, var = state["running_mean"][k], state["running_var"][k]
        c = x.shape[1]
        y += gates[:, k, None, None, None] * (x - lines(mean, c)) / np.sqrt(lines(var, c) + EPS)
    return scaled(p, y)


def posterior(rows, proportions, mean, var):
    """From scikit-learn's mixture of Gaussians with these parameters."""
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(len(mean), covariance_type="diag")
    model.weights_, model.means_, model.covariances_ = proportions / proportions.sum(), mean, var
    model.precisions_cholesky_ = 1 / np.sqrt(var)
    return model.predict_proba(rows)


def mixture(p, state, x, training, condition):
    rows = x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])
    proportions, mean, var = state["proportions"], state["running_mean"], state["running_var"]

    def weighted(nu):
        means = np.array([np.average(rows, axis=0, weights=w) for w in nu.T])
        variances = [np.average((rows - m) ** 2, axis=0, weights=w) for m, w in zip(means, nu.T)]
        return nu.mean(axis=0), means, np.array(variances)

    if training:
        if not state["initialized"]:
            at = [int(i) for i in np.linspace(0, len(rows) - 1, len(mean))]
            mean, var = rows[np.argsort(rows.sum(axis=1))[at]], np.broadcast_to(rows.var(axis=0), var.shape)
        for _ in range(2):
            proportions, mean, var = weighted(posterior(rows, proportions, mean, var + EPS))
        nu = posterior(rows, proportions, mean, var + EPS)
        proportions, mean, var = weighted(nu)
        share = MOMENTUM if state["initialized"] else 1.0
        counts = proportions * len(rows)
        new = {
            "proportions": proportions,
            "running_mean": mean,
            "running_var": var * (counts / np.maximum(counts - 1, 1))[:, None],
        }
        for name, value in new.items():
            state[name] = (1 - share) * state[name] + share * value
        state["initialized"] = np.array(True)
    else:
        nu = posterior(rows, proportions, mean, var + EPS)
    y = np.zeros_like(rows)
    for k in range(len(mean)):
        y += nu[:, k, None] / math.sqrt(proportions[k]) * (rows - mean[k]) / np.sqrt(var[k] + EPS)
    return scaled(p, y.reshape(x.shape[0], *x.shape[2:], x.shape[1]).transpose(0, 3, 1, 2))


def filter_response(p, state, x, training, condition):
    y, c = np.empty_like(x), x.shape[1]
    for n in range(x.shape[0]):
        for k in range(c):
            power = math.fsum(float(v) ** 2 for v in x[n, k].ravel()) / x[n, k].size
            y[n, k] = p["weight"][k] * x[n, k] / math.sqrt(power + 1e-6) + p["bias"][k]
    return np.maximum(y, lines(p["tau"], c))


def virtual_batch(p, state, x, training, condition):
    """The first batch is the reference, and is normalized by its own moments."""
    c = x.shape[1]
    if state["reference_count"] == 0:
        state["reference_mean"], var = (
            np.array(v) for v in zip(*[over(x, slice(None), k) for k in range(c)])
        )
        state["reference_square"] = var + state["reference_mean"] ** 2
        state["reference_count"] = np.array(float(len(x)))
        return scaled(p, (x - lines(state["reference_mean"], c)) / np.sqrt(lines(var, c) + EPS))
    y, m = np.empty_like(x), float(state["reference_count"])
    for n in range(x.shape[0]):
        for k in range(c):
            mean = (x[n, k].mean() + m * state["reference_mean"][k]) / (m + 1)
            square = ((x[n, k] ** 2).mean() + m * state["reference_square"][k]) / (m + 1)
            y[n, k] = (x[n, k] - mean) / math.sqrt(square - mean**2 + EPS)
    return scaled(p, y)


def online(p, state, x, training, condition):
    y, a = np.empty_like(x), 0.999
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[n, c] = (x[n, c] - state["mean"][c]) / math.sqrt(state["var"][c] + EPS)
            if training:
                m, v = over(x, n, c)
                moved = a * (1 - a) * (m - state["mean"][c]) ** 2
                state["var"][c] = a * state["var"][c] + (1 - a) * v + moved
                state["mean"][c] = a * state["mean"][c] + (1 - a) * m
    y = scaled(p, y)
    for n in range(x.shape[0]):
        y[n] = y[n] / math.sqrt((y[n] ** 2).mean() + EPS)
    return y


def pixel(p, state, x, training, condition):
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-8)


def rms(p, state, x, training, condition):
    power = np.array([(sample**2).mean() for sample in x])[:, None, None, None]
    return x / np.sqrt(power + EPS) * lines(p["weight"], x.shape[1])


def running_magnitude(p, state, x, training, condition):
    if training:
        share = 0.001 if state["initialized"] else 1.0
        state["magnitude"] = (1 - share) * state["magnitude"] + share * (x**2).mean()
        state["initialized"] = np.array(True)
    return x / np.sqrt(state["magnitude"] + 1e-8)


def dynamic_tanh(p, state, x, training, condition):
    return scaled(p, np.tanh(p["alpha"] * x))


def none(p, state, x, training, condition):
    return x


FEATURES = {
    f.__name__: f
    for f in (
        activation, adaptive_instance, attentive, batch, batch_channel, conditional_batch, conditional_instance,
        decorrelated_batch, dynamic_tanh, filter_response, group, inplace_abn, instance, instance_meta, layer,
        local_contrast, local_response, mixture, mode, none, online, pixel, rms, running_magnitude, sparse_switchable,
        switchable, sync_batch, virtual_batch,
    )
}  # fmt: skip


def matrix(w):
    return w.reshape(len(w), -1)


def spectral(p, w):
    return w / np.linalg.svd(matrix(w), compute_uv=False)[0]


def weight(p, w):
    return np.stack([g * kernel / np.linalg.norm(kernel) for g, kernel in zip(p["parametrization.g"], w)])


def weight_standardization(p, w):
    rows = [(kernel - kernel.mean()) / kernel.std() / math.sqrt(kernel.size) for kernel in w]
    return np.stack(rows)


def forced_weight(p, w):
    return np.stack([kernel / np.linalg.norm(kernel) for kernel in w])


cosine = forced_weight


def stable_rank(p, w):
    u, s, vt = np.linalg.svd(matrix(w), full_matrices=False)
    target = max(0.3 * min(matrix(w).shape), 1)
    rest = s[1:]
    factor = min(1, math.sqrt((target - 1) * s[0] ** 2 / (rest**2).sum()))
    s = np.concatenate([s[:1], factor * rest]) / s[0]
    return (u @ np.diag(s) @ vt).reshape(w.shape)


WEIGHTS = {f.__name__: f for f in (spectral, stable_rank, weight, weight_standardization, forced_weight)}
WEIGHTS["cosine"] = cosine
