"""``python -m LiverLesionAI.batch.child THREADS``: a process that does one study after the other."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Serve studies as the panel's worker serves requests, with a fixed number of threads for all maths.

    Libraries are loaded before it says that it is ready, so that no study is charged for that: OpenVINO
    where it can be, else torch and MONAI. Where both are needed, torch waits for the first study that asks.
    """
    threads = int(sys.argv[1])
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)
    import SimpleITK as sitk

    import LiverLesionAI.analysis
    import LiverLesionAI.pipeline  # noqa: F401
    from LiverLesionAI.batch.work import Workshop, do_study
    from LiverLesionAI.inference.engines import can_run
    from LiverLesionAI.worker.server import run_worker

    if not can_run():
        import monai.networks.nets  # noqa: F401
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    run_worker({"study": do_study}, Workshop(threads))


if __name__ == "__main__":
    main()
