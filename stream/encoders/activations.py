"""The smooth functions between products, over the array namespace of their input."""

from __future__ import annotations

from array_api_compat import array_namespace

from stream.stage import Array


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), which cannot overflow in this form."""
    return 0.5 * array_namespace(x).tanh(0.5 * x) + 0.5


def silu(x: Array) -> Array:
    """Return x sigmoid(x)."""
    return x * sigmoid(x)


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x))."""
    xp = array_namespace(x)
    return xp.logaddexp(x, xp.zeros_like(x))
