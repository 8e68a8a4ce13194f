"""stream: the arithmetic of a streaming recogniser, from samples to text, without torch.

Importing it switches off ONNX Runtime's telemetry, which since 1.29 is on by default, writes a device
id into the user's cache folder and sends events home: a recogniser of speech does not do that unasked.
The variable is read when onnxruntime is imported; a user who sets ORT_DISABLE_TELEMETRY=0 keeps it on.
"""

from __future__ import annotations

import os

__version__ = "0.1.0"  # of the package rill-asr; pyproject.toml reads it here

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
