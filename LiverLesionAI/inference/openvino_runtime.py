"""OpenVINO itself, without what comes with it, and what prepared graphs are called.

Graphs that an earlier process prepared run with this alone: neither torch's networks nor MONAI, which takes
seconds to be imported, is needed to read them.
"""

from __future__ import annotations

import sys
from types import ModuleType

HEADS = "heads"
"""Name of the graph from features to logits, which runs in float32; its outputs are named after the features
and after tasks."""
GRAPHS = 1
"""Changes with what `openvino_graph` puts down, so that graphs prepared earlier are not taken for
today's."""


def _runtime() -> ModuleType:
    """Import OpenVINO without its converter, which sends a message to its makers when it is imported."""
    blocked = "openvino.tools"
    if "openvino" not in sys.modules and blocked not in sys.modules:
        sys.modules[blocked] = None  # type: ignore[assignment]
        try:
            import openvino
        finally:
            del sys.modules[blocked]
    import openvino
    import openvino.opset13

    return openvino


ov = _runtime()
