"""Sessions of ONNX Runtime: options that all of ours have, and integer products that are exact.

Where this machine's products of u8 and s8 saturate, weights become u8 on the way into the session
(`stream.backends.unsigned_weights`); files stay as they are. ONNX Runtime's own way around, its option
session.x64quantprecision, is not taken: with it 1.31 cannot load a graph with one weight in two products,
and 1.20 and 1.23 abort the process.
"""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from stream.backends.integer_products import products_are_exact
from stream.backends.unsigned_weights import unsigned_weights

__all__ = ["open_session"]

FOLDER = "session.model_external_initializers_file_folder_path"


def open_session(graph: str | bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open a graph.

    Args:
        graph: path or content; the weights of a path may lie beside it.
        threads: of one operator; more than one pays at large batches only.
    Raises:
        Exception: ONNX Runtime cannot run it; its errors have no public common type.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if not products_are_exact():
        if isinstance(graph, str):
            options.add_session_config_entry(FOLDER, str(Path(graph).resolve().parent))
            graph = Path(graph).read_bytes()
        graph = unsigned_weights(graph)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
