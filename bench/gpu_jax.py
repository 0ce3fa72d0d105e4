"""XLA's side of the comparisons on a GPU, as JAX's users reach it: the updates and steps of gpu_torch.py, each one jitted
program with its state donated, in NHWC.

usage: gpu_jax.py CASE...    CASE = NET:WIDTH:SIDE:BATCH:MODE, for example logo:64:32:512:bf16
  NET    logo (SimSiam-LoGo on a ResNet-18, two global and two local views an image; SIDE 32/16 for local ones of 16 pixels),
         resnet18c (a ResNet-18 with the CIFAR stem), resnet18, resnet50
  MODE   f32, bf16 (activations in bf16; weights, statistics and losses in f32)

Set XLA_PYTHON_CLIENT_PREALLOCATE=false where something else needs the GPU's memory. Prints one JSON line a case; the exit
code is 1 where one of them failed.
"""
import functools

import jax
import jax.numpy as jnp
import jaxlib
from jax import lax

from gpu_cases import main

DIM, LAMBDA = 2048, 1e-4
MODES = {"f32": jnp.float32, "bf16": jnp.bfloat16}


def new_norm(channels, affine=True):
    """Scale and shift, where there are any, and the running statistics."""
    weights = (jnp.ones(channels), jnp.zeros(channels)) if affine else ()
    return weights, (jnp.zeros(channels), jnp.ones(channels))


def normalise(x, weights, running):
    """Batch norm over all axes but the last, in f32, and the running statistics after it."""
    wide = x.astype(jnp.float32)
    axes = tuple(range(x.ndim - 1))
    samples = x.size // x.shape[-1]
    mean = wide.mean(axes)
    variance = jnp.square(wide).mean(axes) - jnp.square(mean)
    unbiased = variance * (samples / (samples - 1))
    after = (0.9 * running[0] + 0.1 * mean, 0.9 * running[1] + 0.1 * unbiased)
    return scaled(wide, (mean, variance), weights).astype(x.dtype), after


def scaled(x, moments, weights):
    mean, variance = moments
    x = (x - mean) * lax.rsqrt(variance + 1e-5)
    return x * weights[0] + weights[1] if weights else x


class ResNet:
    """Which convolution follows which; weights and statistics are lists with one entry for each."""

    def __init__(self, net, width):
        self.small = net in ("logo", "resnet18c")
        self.bottleneck = net == "resnet50"
        self.shapes, self.blocks = [], []
        self.stem = self.unit(3, width, 3, 1) if self.small else self.unit(3, width, 7, 2)
        self.features = width
        for stage, count in enumerate([3, 4, 6, 3] if self.bottleneck else [2, 2, 2, 2]):
            for block in range(count):
                self.block(width << stage, 2 if stage > 0 and block == 0 else 1)

    def unit(self, inputs, outputs, kernel, stride):
        self.shapes.append((kernel, inputs, outputs, stride))
        return len(self.shapes) - 1

    def block(self, inner, stride):
        inputs = self.features
        if self.bottleneck:
            units = [(inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, 4 * inner, 1, 1)]
        else:
            units = [(inputs, inner, 3, stride), (inner, inner, 3, 1)]
        self.features = units[-1][1]
        main = [self.unit(*unit) for unit in units]
        same = stride == 1 and inputs == self.features
        self.blocks.append((main, None if same else self.unit(inputs, self.features, 1, stride)))

    def start(self, key):
        """Weights, Kaiming-normal over the fan-out, and running statistics."""
        weights, running = [], []
        for key, (kernel, inputs, outputs, _) in zip(jax.random.split(key, len(self.shapes)), self.shapes):
            deviation = (2 / (kernel * kernel * outputs)) ** 0.5
            filters = deviation * jax.random.normal(key, (kernel, kernel, inputs, outputs))
            norm, statistics_of_norm = new_norm(outputs)
            weights.append((filters, norm))
            running.append(statistics_of_norm)
        return weights, running

    def forward(self, weights, running, x):
        """Crops to features, and the running statistics after them."""
        running = list(running)

        def unit(x, at):
            kernel, _, _, stride = self.shapes[at]
            filters, norm = weights[at]
            padding = [(kernel // 2, kernel // 2)] * 2
            layout = ("NHWC", "HWIO", "NHWC")
            x = lax.conv_general_dilated(x, filters.astype(x.dtype), (stride, stride), padding, dimension_numbers=layout)
            x, running[at] = normalise(x, norm, running[at])
            return x

        x = jax.nn.relu(unit(x, self.stem))
        if not self.small:
            padding = [(0, 0), (1, 1), (1, 1), (0, 0)]
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding)
        for main, shortcut in self.blocks:
            y = x
            for at in main[:-1]:
                y = jax.nn.relu(unit(y, at))
            y = unit(y, main[-1])
            x = jax.nn.relu(y + (x if shortcut is None else unit(x, shortcut)))
        return x.astype(jnp.float32).mean((1, 2)), running


def new_layer(key, inputs, outputs, norm="affine"):
    """A linear layer as nn.Linear starts it, with or without a batch norm."""
    bound = inputs**-0.5
    of_weight, of_bias = jax.random.split(key)
    weight = jax.random.uniform(of_weight, (inputs, outputs), minval=-bound, maxval=bound)
    bias = jax.random.uniform(of_bias, (outputs,), minval=-bound, maxval=bound)
    of_norm, running = new_norm(outputs, norm == "affine") if norm else ((), ())
    return (weight, bias, of_norm), running


def new_layers(key, sizes):
    keys = jax.random.split(key, len(sizes))
    return tuple(list(part) for part in zip(*(new_layer(key, *size) for key, size in zip(keys, sizes))))


def mlp(layers, running, x, dtype, training=True):
    """Layers with ReLUs between them, products in `dtype`, and the running statistics after them."""
    after = []
    for at, ((weight, bias, norm), moments) in enumerate(zip(layers, running)):
        x = jnp.dot(x.astype(dtype), weight.astype(dtype), preferred_element_type=jnp.float32) + bias
        if moments and training:
            x, moments = normalise(x, norm, moments)
        elif moments:
            x = scaled(x, moments, norm)
        x = jax.nn.relu(x) if at + 1 < len(layers) else x
        after.append(moments)
    return x, after


PREDICTOR = [(DIM, 512), (512, DIM, None)]
AFFINITY = [(2 * DIM, 64)] + [(64, 64)] * 4 + [(64, 1, None)]


def similarity(p, z):
    def unit(x):
        return x * lax.rsqrt(jnp.maximum(jnp.square(x).sum(1, keepdims=True), 1e-16))

    return -(unit(p) * unit(lax.stop_gradient(z))).sum(1).mean()


def between_views(global_views, local_views):
    """L_gg + L_lg."""
    (z1, p1), (z2, p2) = global_views
    global_global = (similarity(p1, z2) + similarity(p2, z1)) / 2
    local_global = sum(similarity(p, z) for _, p in local_views for z in (z1, z2))
    return global_global + local_global


def omega(affinity, running, first, second):
    """What f_d maximises: pairs of one image against pairs of two, normalised together."""
    other = jnp.roll(first, 1, 0)
    pairs = jnp.concatenate([jnp.concatenate([first, second], 1), jnp.concatenate([first, other], 1)])
    scores, running = mlp(affinity, running, pairs, jnp.float32)
    same, different = jnp.split(scores, 2)
    return -jax.nn.softplus(-same).mean() - jax.nn.softplus(different).mean(), running


def sgd(weights, velocity, gradient, lr, weight_decay):
    """PyTorch's SGD with momentum: new weights and velocities."""
    follow = lambda v, g, w: 0.9 * v + g + weight_decay * w
    velocity = jax.tree.map(follow, velocity, gradient, weights)
    return jax.tree.map(lambda w, v: w - lr * v, weights, velocity), velocity


def zeros(weights):
    return jax.tree.map(jnp.zeros_like, weights)


def logo_update(width, sides, batch, dtype):
    """The update of equations 6 and 9: f_d's step, then the encoder's with f_d held fast."""
    network = ResNet("logo", width)
    keys = jax.random.split(jax.random.key(0), 6)
    projector = [(network.features, DIM), (DIM, DIM, "plain")]
    parts = [network.start(keys[0]), new_layers(keys[1], projector), new_layers(keys[2], PREDICTOR)]
    weights, running = (list(part) for part in zip(*parts))
    affinity, of_affinity = new_layers(keys[3], AFFINITY)

    def embed(weights, running, crops):
        """z and h(z) of the two views of every image, which pass as one batch."""
        features, of_network = network.forward(weights[0], running[0], crops)
        z, of_projector = mlp(weights[1], running[1], features, dtype)
        p, of_predictor = mlp(weights[2], running[2], z, dtype)
        views = list(zip(jnp.split(z, 2), jnp.split(p, 2)))
        return views, [of_network, of_projector, of_predictor]

    def affinity_step(affinity, running, velocity, first, second):
        first, second = lax.stop_gradient(first), lax.stop_gradient(second)

        def loss(affinity):
            value, after = omega(affinity, running, first, second)
            return -value, after

        gradient, running_after = jax.grad(loss, has_aux=True)(affinity)
        affinity, velocity = sgd(affinity, velocity, gradient, 1e-4, 5e-4)
        return affinity, running_after, velocity

    def loss(weights, running, judge, crops):
        global_views, running = embed(weights, running, crops[0])
        local_views, running = embed(weights, running, crops[1])
        (first, _), (second, _) = local_views
        judge = affinity_step(*judge, first, second)
        held, statistics_of_judge = lax.stop_gradient(judge[:2])
        scores, _ = mlp(held, statistics_of_judge, jnp.concatenate([first, second], 1), jnp.float32, training=False)
        local_local = jax.nn.softplus(scores).mean()
        return between_views(global_views, local_views) + LAMBDA * local_local, (running, judge)

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state, crops):
        weights, velocity, running, judge = state
        gradient_of = jax.value_and_grad(loss, has_aux=True)
        (value, (running, judge)), gradient = gradient_of(weights, running, judge, crops)
        weights, velocity = sgd(weights, velocity, gradient, 0.03, 5e-4)
        return (weights, velocity, running, judge), value

    crops = tuple(random_crops(key, 2 * batch, side, dtype) for key, side in zip(keys[4:], (sides[0], sides[-1])))
    state = (weights, zeros(weights), running, (affinity, of_affinity, zeros(affinity)))
    return update, state, crops


def training_step(net, width, side, batch, dtype):
    """Forward, backward and SGD; the loss is the features' mean square."""
    network = ResNet(net, width)
    keys = jax.random.split(jax.random.key(0))
    weights, running = network.start(keys[0])

    def loss(weights, running, crops):
        features, running = network.forward(weights, running, crops)
        return jnp.square(features).mean(), running

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, crops):
        weights, velocity, running = state
        (value, running), gradient = jax.value_and_grad(loss, has_aux=True)(weights, running, crops)
        weights, velocity = sgd(weights, velocity, gradient, 0.01, 1e-4)
        return (weights, velocity, running), value

    return step, (weights, zeros(weights), running), random_crops(keys[1], batch, side, dtype)


def random_crops(key, batch, side, dtype):
    return jax.random.normal(key, (batch, side, side, 3), dtype)


def prepare(net, width, sides, batch, mode):
    if net == "logo":
        step, state, crops = logo_update(width, sides, batch, MODES[mode])
    else:
        step, state, crops = training_step(net, width, sides[0], batch, MODES[mode])
    # One buffer must not be given away twice, and equal constants may share one.
    state = jax.tree.map(jnp.copy, state)

    def run(count):
        nonlocal state
        for _ in range(count):
            state, loss = step(state, crops)
        return loss.block_until_ready()

    return run


def peak_memory():
    memory = jax.devices()[0].memory_stats() or {}
    return memory.get("peak_bytes_in_use")


def place():
    card = jax.devices()[0].device_kind
    return {"peer": "jax", "card": card, "versions": {"jax": jax.__version__, "jaxlib": jaxlib.__version__}}


if __name__ == "__main__":
    main(prepare, peak_memory, place)
