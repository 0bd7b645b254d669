"""``liverlesionai models``: bundles listed, shown, checked and added."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from LiverLesionAI.cli.arguments import Json
from LiverLesionAI.cli.console import print_json

if TYPE_CHECKING:
    from LiverLesionAI.bundles import Bundle


def list_(as_json: Json = False) -> None:
    """List the model bundles at hand."""
    from LiverLesionAI.bundles import list_bundles

    bundles = list_bundles()
    if as_json:
        print_json([_model_row(bundle) for bundle in bundles])
        return
    for bundle in bundles:
        _print_row(bundle)


def _print_row(bundle: Bundle) -> None:
    model = bundle.summary
    print(f"{model.name}  {model.version}  {model.members} members  intended use: {model.intended_use}")


def _model_row(bundle: Bundle) -> dict[str, Any]:
    return {**asdict(bundle.summary), "sequences": list(bundle.spec.sequences), "path": str(bundle.path)}


def show(name: Annotated[str, typer.Argument(metavar="NAME|DIR")]) -> None:
    """Print a bundle's model card, or the models of a system."""
    from LiverLesionAI.bundles import model_card_of
    from LiverLesionAI.bundles.suite import Suite, open_model

    model = open_model(name)
    if not isinstance(model, Suite):
        print(model_card_of(model))
        return
    print(model.description)
    for bundle in model.bundles:
        _print_row(bundle)


def verify(
    model: Annotated[str, typer.Argument(metavar="PATH", help="A bundle's folder or name.")],
) -> None:
    """Check a bundle's files, hashes and weights."""
    from LiverLesionAI.bundles import load_bundle, verify_bundle

    bundle = verify_bundle(load_bundle(model).path)
    print(f"{model} is a sound bundle: {bundle.name} {bundle.metadata.version}, sha256 {bundle.sha256}.")


def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Bundle folder or zip file.")],
) -> None:
    """Check a bundle and add it to the models at hand."""
    from LiverLesionAI.bundles.install import add_bundle

    bundle = add_bundle(path)
    print(f"Added {bundle.name} {bundle.metadata.version}: {bundle.path}")
