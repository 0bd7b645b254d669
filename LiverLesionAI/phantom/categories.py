"""The five categories of Yasaka et al. 2018, put together of the patterns that there are.

Classic HCC enhances early and washes out; HCC that does not (small or early) belongs to the indeterminate
lesions, as do nodules of cirrhosis, perfusion that looks like a nodule, and rare benign lesions. What the
paper calls hypovascular lies below the liver in the arterial phase and at or below it in the delayed one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from .lesions import Layer
from .patterns import abscess, cyst, fnh, haemangioma, hcc, icc, metastasis, other_benign
from .regions import Pattern, Setting, everywhere
from .tissues import Tissue

_RARE_BENIGN, _HYPERVASCULAR = 0.1, 0.55
"""Shares of the indeterminate lesions: up to the first abscess, up to the second hypervascular."""


def classic_hcc(s: Setting, atypical: bool) -> Pattern:
    """Early enhancement and washout in most of the lesion; atypical: without a capsule."""
    pattern = _throughout(hcc(s, False), t1=0.85, inflow=1.0, volume=0.5, blood=0.12)
    if not atypical:
        return pattern
    layers = tuple(layer for layer in pattern.layers if layer.region != "capsule")
    return replace(pattern, variant="classic without capsule", layers=layers)


def bloodlike_haemangioma(s: Setting, atypical: bool) -> Pattern:
    """Nodules that come close to the aorta and fill in; the atypical forms of MRI."""
    return _throughout(haemangioma(s, atypical), t1=0.95, inflow=1.4, volume=1.35, blood=0.0)


def _throughout(pattern: Pattern, *, t1: float, inflow: float, volume: float, blood: float) -> Pattern:
    """The pattern with other composition and perfusion of its bulk, and less of what belongs to no class.

    CT measures a sign in some ten Hounsfield units that MRI shows several times as strongly; what a category
    is defined by must not be lost.
    """

    def changed(layer: Layer) -> Layer:
        if layer.region not in ("core", "nodules"):
            return layer
        kinetics = replace(layer.tissue.kinetics.varied(inflow, volume), blood=blood)
        return replace(layer, tissue=replace(layer.tissue.scaled(t1=t1), kinetics=kinetics))

    layers = tuple(map(changed, pattern.layers))
    return replace(pattern, layers=layers, mottle=0.5)


def other_malignant(s: Setting, atypical: bool) -> Pattern:
    """Metastasis in three of five, else cholangiocarcinoma."""
    return metastasis(s, atypical) if s.chance(0.6) else icc(s, atypical)


def indeterminate(s: Setting, atypical: bool) -> Pattern:
    """Hypervascular or hypovascular nodule without washout; one in ten a rare benign lesion.

    Atypical: the less common form of each.
    """
    kind = s.uniform(0.0, 1.0)
    if kind < _RARE_BENIGN:
        return abscess(s, atypical)
    if kind > _HYPERVASCULAR:
        return other_benign(s, False) if atypical else _hypovascular(s)
    look = s.uniform(0.0, 1.0)
    if look < 0.35:
        return fnh(s, atypical)
    if look < 0.55:
        return hcc(s, True)
    return other_benign(s, True) if atypical else _perfusion(s)


def _hypovascular(s: Setting) -> Pattern:
    """Early HCC or dysplastic nodule that has lost arterial inflow and keeps part of the portal one."""
    own = s.liver.kinetics
    fed = replace(own, arterial=own.arterial * s.uniform(0.2, 0.6), portal=own.portal * s.uniform(0.45, 0.85))
    nodule = replace(s.liver.scaled(t1=s.uniform(1.0, 1.15)), kinetics=fed)
    return _nodule(s, "hypovascular nodule", nodule)


def _perfusion(s: Setting) -> Pattern:
    """Arterial inflow instead of portal inflow: liver in every phase but the arterial one."""
    own = s.liver.kinetics
    moved = own.portal * s.uniform(0.6, 0.95)
    fed = replace(own, arterial=own.arterial + moved, portal=own.portal - moved)
    return _nodule(s, "nodular arterial enhancement", replace(s.liver, kinetics=fed))


def _nodule(s: Setting, variant: str, tissue: Tissue) -> Pattern:
    layers = (Layer("core", tissue, everywhere),)
    return Pattern(variant, layers, s.uniform(0.03, 0.1), texture=s.uniform(0.02, 0.06), mottle=0.3)


CT_PATTERNS: Mapping[str, Callable[[Setting, bool], Pattern]] = {
    "HCC": classic_hcc,
    "other_malignant": other_malignant,
    "indeterminate": indeterminate,
    "haemangioma": bloodlike_haemangioma,
    "cyst": cyst,
}
"""What the classes look like on CT: those of Y5; :data:`patterns.PATTERNS` has those of MRI."""
