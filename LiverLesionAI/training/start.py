"""The bundle that a training run starts from."""

from __future__ import annotations

from pathlib import Path

from LiverLesionAI.bundles import Bundle, check_file, load_bundle
from LiverLesionAI.errors import BundleError, ConfigError
from LiverLesionAI.training.config import TrainingConfig


def starting_bundle(config: TrainingConfig) -> Bundle | None:
    """Open the bundle that ``start_from`` names; None where it names none.

    Raises
    ------
    ConfigError
        If there is no such bundle, or its network is not that of the run.
    """
    if config.start_from is None:
        return None
    try:
        bundle = load_bundle(config.start_from)
    except BundleError as error:
        raise ConfigError(f"start_from: {error}") from None
    spec = bundle.spec
    if (spec.system, spec.sequences, spec.network) != (config.system, config.sequences, config.network):
        raise ConfigError(
            f"start_from: the bundle {bundle.path} has other sequences or another network than the run; "
            "give both the same, or leave start_from out."
        )
    return bundle


def starting_weights(config: TrainingConfig, fold: int) -> Path | None:
    """Return the checked file of weights that a fold starts with; None for random ones.

    Raises
    ------
    BundleError
        If the file is damaged.
    ConfigError
        As :func:`starting_bundle`.
    """
    bundle = starting_bundle(config)
    if bundle is None:
        return None
    name = bundle.spec.members[fold % bundle.member_count]
    check_file(bundle, name)
    return bundle.path / name
