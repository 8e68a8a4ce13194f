"""Sessions of ONNX Runtime: options that all of ours have, and integer products that are exact.

Where this machine's products of u8 and s8 saturate, weights become u8 on the way into the session
(`stream.backends.unsigned_weights`); files stay as they are. ONNX Runtime's own way around, its option
session.x64quantprecision, is not taken: with it 1.31 cannot load a graph with one weight in two products,
and 1.20 and 1.23 abort the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stream.backends.integer_products import products_are_exact
from stream.backends.unsigned_weights import unsigned_weights
from stream.model.directory import INT8_WEIGHTS, INTEGER_WEIGHTS, WEIGHTS

CONTENT = "add_external_initializers_from_files_in_memory"
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
    beside: Sequence[NDArray[np.uint8]] = ()
    if not products_are_exact():
        content = Path(graph).read_bytes() if isinstance(graph, str) else graph
        if (unsigned := unsigned_weights(content)) != content:
            if isinstance(graph, str):
                beside = _add_weights(options, Path(graph).absolute().parent)
            graph = unsigned
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    del beside  # which had to live so long
    return session


def _add_weights(options: onnxruntime.SessionOptions, folder: Path) -> Sequence[NDArray[np.uint8]]:
    """Let a graph that comes from memory find the weights that lie in its model directory.

    ONNX Runtime 1.23 can only be told the folder. 1.31 refuses a folder whose files are links out of it,
    as in the cache of a model hub, and takes the files' content instead.

    Returns:
        the content, mapped; none where the folder was told.
    """
    if not hasattr(options, CONTENT):
        options.add_session_config_entry(FOLDER, str(folder))
        return ()
    names = (WEIGHTS, INT8_WEIGHTS, INTEGER_WEIGHTS)
    files = [path for name in names if (path := folder / name).is_file()]
    content = [np.memmap(path, np.uint8, "r") for path in files]
    getattr(options, CONTENT)(
        [path.name for path in files], content, [len(each) for each in content]
    )
    return content
