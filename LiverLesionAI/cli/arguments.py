"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from LiverLesionAI.cli.console import ProgressMode

StudyPath = Annotated[
    Path, typer.Argument(metavar="STUDY", help="Study folder, DICOM folder, or Slicer scene (.mrml, .mrb).")
]
OutDir = Annotated[Path, typer.Option("--out", help="Output folder; appears complete or not at all.")]
Model = Annotated[str, typer.Option("--model", metavar="NAME|DIR", help="Name or folder of a model bundle.")]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"], typer.Option("--device", help="Where the network runs.")
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option("--precision", help="auto: bf16 where the hardware has it, else fp32."),
]
Engine = Annotated[
    Literal["auto", "torch", "openvino"],
    typer.Option("--engine", help="What runs the network; auto: OpenVINO where it can (docs/engines.md)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.")]
ShowProgress = Annotated[
    ProgressMode,
    typer.Option("--progress", help="Bars on a terminal, or JSON lines for front ends, on stderr."),
]
