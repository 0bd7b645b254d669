"""Model bundles: folders in MONAI Bundle layout, found, opened, verified, added and written."""

from LiverLesionAI.bundles.store import (
    CARD,
    INFERENCE,
    LICENCE,
    METADATA,
    Bundle,
    bundle_files,
    bundle_folders,
    check_file,
    find_bundle,
    inference_config,
    is_safe,
    list_bundles,
    load_bundle,
    sha256_of,
    user_bundle_folder,
    verify_bundle,
)

__all__ = [
    "CARD",
    "INFERENCE",
    "LICENCE",
    "METADATA",
    "Bundle",
    "bundle_files",
    "bundle_folders",
    "check_file",
    "find_bundle",
    "inference_config",
    "is_safe",
    "list_bundles",
    "load_bundle",
    "sha256_of",
    "user_bundle_folder",
    "verify_bundle",
]
