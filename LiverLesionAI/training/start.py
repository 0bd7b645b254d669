"""The weights that a training run starts from: a bundle's, or published ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from LiverLesionAI.bundles import Bundle, check_file, load_bundle
from LiverLesionAI.errors import BundleError, ConfigError
from LiverLesionAI.manifest import sha256_of
from LiverLesionAI.training.config import TrainingConfig

if TYPE_CHECKING:
    from torch import nn

PUBLISHED_SUFFIXES = (".safetensors", ".pth", ".pt")


def starting_bundle(config: TrainingConfig) -> Bundle | None:
    """Open the bundle that ``start_from`` names; None where it names none.

    Raises
    ------
    ConfigError
        If there is no such bundle, or its network cannot be a start of the run's.
    """
    if config.start_from is None or _published_file(config) is not None:
        return None
    try:
        bundle = load_bundle(config.start_from)
    except BundleError as error:
        raise ConfigError(f"start_from: {error}") from None
    if bundle.spec.system != config.system:
        raise ConfigError(
            f"start_from: the bundle {bundle.path} is of system {bundle.spec.system}; choose one of "
            f"{config.system}."
        )
    try:
        config.answers.check_start(config, bundle.spec)
    except ConfigError as error:
        raise ConfigError(f"start_from: the bundle {bundle.path}: {error}") from None
    return bundle


def start_sha256(config: TrainingConfig) -> str:
    """SHA-256 of the bundle or file that the run starts from; empty where it starts from none.

    Raises
    ------
    ConfigError
        As :func:`starting_bundle`, or if the system starts from no published weights.
    """
    file = _published_file(config)
    if file is not None:
        config.answers.check_start(config, None)
        return sha256_of(file)
    bundle = starting_bundle(config)
    return "" if bundle is None else bundle.sha256


def described_start(config: TrainingConfig) -> str:
    """The first weights in words, for the model card."""
    file, bundle = _published_file(config), starting_bundle(config)
    if file is not None:
        return f"published ones ({file.name}, SHA-256 {sha256_of(file)})"
    if bundle is None:
        return "random"
    return (
        f"those of {bundle.name} {bundle.metadata.version}, trained on "
        f"{bundle.spec.training_cohort.description}"
    )


def start_network(network: nn.Module, config: TrainingConfig, fold: int) -> None:
    """Give a network, in place, the weights that a fold starts with; random ones stay as they are.

    Raises
    ------
    BundleError
        If the bundle's file is damaged.
    ConfigError
        As :func:`start_sha256`, or if the file of published weights is not of this network.
    """
    from LiverLesionAI.networks.weights import checked_tensors, published_tensors

    file, bundle = _published_file(config), starting_bundle(config)
    if file is not None:
        config.answers.check_start(config, None)
        weights = published_tensors(file)
        try:
            network.load_state_dict(config.answers.start(network, config, weights, None))
        except (KeyError, IndexError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"{file} holds the weights of another network ({reason}).") from None
    elif bundle is not None:
        member = bundle.spec.members[fold % bundle.member_count]
        check_file(bundle, member)
        its = bundle.system.network(bundle.spec, device="meta")
        weights = {name: tensor.float() for name, tensor in checked_tensors(its, bundle.path / member)}
        network.load_state_dict(config.answers.start(network, config, weights, bundle.spec))


def _published_file(config: TrainingConfig) -> Path | None:
    """The file of weights that ``start_from`` names; None where it names none or a bundle."""
    if config.start_from is None or not config.start_from.endswith(PUBLISHED_SUFFIXES):
        return None
    file = Path(config.start_from)
    if not file.is_file():
        raise ConfigError(f"start_from: there is no file {file}; give the file of published weights.")
    return file
