"""The C header of a hardware bundle, rill_model.h: a model as constants, for the reference and for anybody's C."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.hardware.arrays import ModelArray
from hwckpt.hardware_bundle import LayerEntry

LINE = 100  # characters
C_TYPES = {
    "i8": "int8_t",
    "u8": "uint8_t",
    "i16": "int16_t",
    "u16": "uint16_t",
    "i32": "int32_t",
    "u32": "uint32_t",
}
TYPES = """\
/* An LSTM layer (rule 3): weights by rows, gates i, f, g, o one after another; shifts of x and h are left. */
typedef struct {
    const int8_t *weight_ih, *weight_hh;
    const int32_t *bias;
    uint16_t inputs, units;
    uint8_t shift_x, shift_h, shift;
} rill_lstm;

/* A linear layer (rules 5 and 7): outputs by rows; the product is shifted left, the accumulator right. */
typedef struct {
    const int8_t *weight;
    const int32_t *bias;
    uint16_t inputs, outputs;
    uint8_t shift_in, shift_out;
} rill_linear;
"""


def header(
    constants: Mapping[str, int],
    layers: Sequence[LayerEntry],
    arrays: Sequence[ModelArray],
    tokens: Sequence[bytes],
    model: str,
) -> str:
    """Return the header.

    Args:
        constants, layers: of the manifest.
        arrays: of the model.
        tokens: the text of each class, UTF-8.
        model: SHA-256 of the arrays.
    """
    units = max(layer.outputs for layer in layers if layer.kind == "lstm")
    parts = [
        f"/* A model of Rill in integers, written by export.hardware: docs/hardware-bundle.md.\n * {model} */\n",
        "#ifndef RILL_MODEL_H\n#define RILL_MODEL_H\n\n#include <stdint.h>\n\n",
        *(f"#define RILL_{name.upper()} {_number(value)}\n" for name, value in constants.items()),
        f"#define RILL_MOST_UNITS {units}\n\n",
        TYPES,
        "\n#endif\n\n#if defined RILL_DATA && !defined RILL_MODEL_DATA /* one source file has the data */\n",
        "#define RILL_MODEL_DATA\n\n",
        *(_array(array) for array in arrays),
        *_layer_tables(layers),
        *_token_table(tokens),
        "\n#endif\n",
    ]
    return "".join(parts)


def c_name(name: str) -> str:
    """Return the C name of an array: rill_encoder_pre_0_weight_ih."""
    if name == "prediction.embedding":
        return "rill_embedding"
    return "rill_" + name.replace(".", "_")


def _number(value: int) -> str:
    return f"({value})" if value < 0 else str(value)


def _array(array: ModelArray) -> str:
    entry, flat = array.entry, array.values.reshape(-1)
    return (
        f"/* {entry.meaning} */\nstatic const {C_TYPES[entry.type]} {c_name(entry.name)}[{len(flat)}] = {{\n"
        f"{_rows(flat)}\n}};\n\n"
    )


def _rows(values: NDArray[Any]) -> str:
    """Return numbers with commas, in lines."""
    width = max(len(str(values.min(initial=0))), len(str(values.max(initial=0)))) + 1
    per_line = max(LINE // width, 1)
    texts = np.array([str(value) for value in values.tolist()], object)
    return ",\n".join(",".join(texts[n : n + per_line]) for n in range(0, len(texts), per_line))


def _layer_tables(layers: Sequence[LayerEntry]) -> Iterator[str]:
    """Yield the tables of layers, which refer to the arrays by name."""
    for stack, name in (
        ("encoder.pre", "rill_pre"),
        ("encoder.post", "rill_post"),
        ("prediction.lstm", "rill_prediction"),
    ):
        yield f"static const rill_lstm {name}[] = {{\n"
        yield from (
            f"    {{{c_name(layer.name)}_weight_ih, {c_name(layer.name)}_weight_hh, {c_name(layer.name)}_bias,"
            f" {layer.inputs}, {layer.outputs}, {layer.shift_x}, {layer.shift_h}, {layer.shift}}},\n"
            for layer in layers
            if layer.name.startswith(stack)
        )
        yield "};\n"
    for layer in layers:
        if layer.kind != "lstm":
            name = c_name(layer.name)
            yield (
                f"static const rill_linear {name} = {{{name}_weight, {name}_bias, {layer.inputs}, "
                f"{layer.outputs}, {layer.shift_x}, {layer.shift}}};\n"
            )


def _token_table(tokens: Sequence[bytes]) -> Iterator[str]:
    yield f"static const char *const rill_token_text[{len(tokens)}] = {{\n"
    for text in tokens:
        # Octal escapes end after three digits, hexadecimal ones go on with the characters that follow.
        quoted = "".join(
            chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}"
            for byte in text
        )
        yield f'    "{quoted}",\n'
    yield "};\n"
