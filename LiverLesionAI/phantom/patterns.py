"""How each class of lesion looks in space and time.

Every class is a list of layers (`Layer`): where in the lesion, which tissue, how it takes up contrast agent.
The typical form shows the signs of its class (see the table in docs/phantom.md); an atypical form lacks the
leading one and keeps another. Relaxation, diffusion and enhancement vary so widely within a class that mean
values overlap: it is the arrangement in space and its change over time that tells the classes apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from .kinetics import NO_UPTAKE, Kinetics
from .lesions import Layer
from .regions import Pattern, Setting, centre, ducts, everywhere, halo, near, patches, shell, strands, wedge

_supplied = Kinetics.supplied


def cyst(s: Setting, atypical: bool) -> Pattern:
    """Sharp, no enhancement; atypical: haemorrhagic or proteinaceous content with a sediment level."""
    if not atypical:
        fluid = s.fluid((1300, 3200), (110, 450), (1.7, 3.1))
        return Pattern(
            "simple",
            (Layer("core", fluid, everywhere),),
            s.uniform(0.01, 0.05),
            texture=s.uniform(0.0, 0.04),
            mottle=0.4,
        )
    content = s.fluid((400, 1300), (70, 190), (1.1, 2.2))
    sediment = s.fluid((300, 900), (40, 100), (0.8, 1.6))
    level = s.uniform(-0.2, 0.5)
    layers = (
        Layer("core", content, everywhere),
        Layer("core", sediment, lambda f: f.offset[1] + 0 * f.depth > level * f.shape.radius),
    )
    return Pattern(
        "haemorrhagic or proteinaceous",
        layers,
        s.uniform(0.02, 0.06),
        texture=s.uniform(0.0, 0.04),
        mottle=0.4,
    )


def haemangioma(s: Setting, atypical: bool) -> Pattern:
    """Discontinuous peripheral nodules that fill in; atypical: flash-filling, or sclerosed."""
    flash = atypical and s.diameter < 30 and s.chance(0.6)
    sclerosed = atypical and not flash
    base = s.solid(
        NO_UPTAKE, t2=s.uniform(0.9, 1.2) if sclerosed else s.uniform(1.1, 1.7), adc=s.uniform(0.95, 1.4)
    )
    volume, inflow = s.uniform(1.2, 2.2), s.uniform(1.8, 3.6)
    if flash:
        filled = replace(base, kinetics=s.supplied(volume * 1.2, inflow * 1.2))
        late = replace(base, kinetics=s.supplied(volume * 1.2, inflow, delay_s=14))
        shunt = replace(s.liver, kinetics=_supplied(0.34, arterial=1.4, portal=0.4))
        at_once = (
            Layer("hyperaemia", shunt, wedge(s, s.uniform(8, 16)), outside=True),
            Layer("core", late, everywhere),
            Layer("nodules", filled, shell(0.55 * s.radius, 0.5, "flash")),
        )
        return Pattern("flash-filling", at_once, s.uniform(0.04, 0.1), texture=s.grain())
    count = int(s.rng.integers(3, 5) if sclerosed else s.rng.integers(3, 7))
    sites = s.directions(count) * s.rng.uniform(0.8, 0.98, (count, 1))
    size = max(s.uniform(0.32, 0.58) * s.radius, 2.4)
    duration = s.uniform(420, 1000) if sclerosed else s.uniform(140, 700)
    speed = 1.1 * s.radius / duration
    layers = [Layer("core", base, everywhere)]
    for arrival in (600, 420, 300, 230, 170, 120, 85, 60, 42, 28, 16, 0):
        tissue = replace(base, kinetics=s.supplied(volume, inflow, delay_s=max(arrival - 2.0, 0.0)))
        layers.append(Layer("core" if arrival else "nodules", tissue, near(sites, size + speed * arrival)))
    if s.diameter > 50 or sclerosed:
        cleft = s.solid(NO_UPTAKE, t1=1.2, t2=0.8 if sclerosed else 2.0, adc=1.2)
        layers.append(Layer("scar", cleft, centre(s.uniform(0.2, 0.38), "cleft", 0.2)))
    name = "sclerosed" if sclerosed else "classic"
    return Pattern(name, tuple(layers), s.uniform(0.05, 0.12), texture=s.grain())


def fnh(s: Setting, atypical: bool) -> Pattern:
    """Homogeneous arterial enhancement, near isointense later, stellate scar; atypical: no scar."""
    kinetics = replace(s.supplied(s.uniform(0.72, 1.02), s.uniform(1.1, 2.5)), hepatocytes=1.1)
    body = s.solid(kinetics, t1=0.85, t2=s.t2**-0.5, adc=1.05)
    feeder = replace(body, kinetics=Kinetics(blood=0.9))
    course = s.directions(2) * (1 + s.uniform(10, 18) / s.radius)
    calibre = s.uniform(1.7, 2.6)
    layers = [
        Layer("feeding artery", feeder, lambda f: f.distance_to_rays(course) < calibre, outside=True),
        Layer("core", body, everywhere),
    ]
    scar = s.solid(s.supplied(1.9, 0.28), t1=1.25, t2=1.6 * s.t2**-0.3, adc=1.4)
    if not atypical:
        count = int(s.rng.integers(4, 7))
        tips = s.directions(count) * s.rng.uniform(0.6, 0.95, (count, 1))
        thickness = max(s.uniform(0.10, 0.16) * s.radius, 1.4)
        hub = max(s.uniform(0.18, 0.38) * s.radius, 2.4)
        layers.append(
            Layer("scar", scar, lambda f: f.distance_to_rays(tips) < thickness * (0.5 + 1.3 * f.relative))
        )
        layers.append(Layer("scar", scar, lambda f: f.distance_to(np.zeros((1, 3))) < hub))
    else:
        septum = replace(scar, t2_ms=body.t2_ms * 1.15, t1_ms=body.t1_ms * 1.15)
        layers.append(Layer("septa", septum, strands(0.07, 0.7, "septa")))
    name = "without scar" if atypical else "classic"
    return Pattern(
        name, tuple(layers), s.uniform(0.08, 0.13), 0.55, texture=s.uniform(0.02, 0.09), mottle=0.6
    )


def abscess(s: Setting, atypical: bool) -> Pattern:
    """Rim and septa around pus of low ADC, oedema and hyperaemia; atypical: solid-looking, like ICC."""
    pus = s.solid(NO_UPTAKE, t1=s.uniform(0.95, 1.3), t2=s.uniform(1.1, 1.8), adc=s.uniform(0.6, 0.85))
    wall = s.solid(s.supplied(s.uniform(1.3, 1.8), s.uniform(0.7, 2.0)), t2=0.9, adc=s.uniform(1.1, 1.5))
    outer = s.solid(s.supplied(1.5, 0.28), t2=1.2, adc=1.4)
    thickness = float(np.clip(s.uniform(0.10, 0.26) * s.radius, 2.0, 9.0))
    blush = replace(
        s.liver.scaled(t1=1.06, t2=1.2), kinetics=_supplied(0.35, arterial=s.uniform(0.8, 1.5), portal=0.6)
    )
    swollen = replace(s.liver.scaled(t1=1.15, t2=s.uniform(1.5, 2.0)), kinetics=blush.kinetics)
    around = (
        Layer("hyperaemia", blush, halo(s.uniform(8, 15), "hyperaemia"), outside=True),
        Layer("oedema", swollen, halo(s.uniform(3, 7), "oedema"), outside=True),
    )
    if atypical:
        granulation = s.solid(s.supplied(1.6, s.uniform(0.18, 0.35)), t2=0.9)
        layers: tuple[Layer, ...] = (
            *around,
            Layer("core", granulation, everywhere),
            Layer("necrosis", pus, patches(0.75, 0.3, "locules", 0.2)),
            Layer("rim", wall, shell(thickness * 1.3, 0.35)),
        )
        return Pattern("organised", layers, s.uniform(0.06, 0.12), 0.6, texture=s.grain())
    layers = (
        *around,
        Layer("core", pus, everywhere),
        Layer("septa", wall, strands(s.uniform(0.08, 0.2), s.uniform(0.45, 0.8), "septa")),
        Layer("rim", wall, shell(2.0 * thickness, 0.25)),
        Layer("capsule", outer, shell(thickness * 0.8, 0.15)),
    )
    return Pattern("pyogenic", layers, s.uniform(0.06, 0.14), 0.6, texture=s.grain())


def hcc(s: Setting, atypical: bool) -> Pattern:
    """Non-rim arterial enhancement, washout, capsule, mosaic; atypical: neither capsule nor clear washout."""
    arterial = s.uniform(1.7, 3.2)
    volume = s.uniform(0.75, 0.9) if atypical else s.uniform(0.5, 0.8)
    body = s.solid(s.supplied(volume, arterial), t1=0.9, adc=s.uniform(0.8, 1.2))
    nodule = replace(
        body.scaled(t1=s.uniform(0.75, 0.95), t2=s.uniform(1.2, 1.5)),
        kinetics=s.supplied(volume * 0.85, arterial * s.uniform(0.3, 0.6)),
    )
    drained = replace(s.liver, kinetics=_supplied(0.5, arterial=s.uniform(0.6, 1.0), portal=0.9, delay_s=6))
    layers = [
        Layer("corona", drained, halo(s.uniform(3.5, 6), "corona"), outside=True),
        Layer("core", body, everywhere),
        Layer("nodules", nodule, patches(s.uniform(0.3, 1.0), 0.45, "mosaic")),
    ]
    if atypical:
        return Pattern("small or early", tuple(layers), s.uniform(0.04, 0.09), texture=s.grain())
    capsule = s.solid(s.supplied(s.uniform(2.2, 3.0), 0.4), t2=0.65, adc=1.1)
    if s.diameter > 25 and s.chance(0.6):
        dead = s.solid(NO_UPTAKE, t1=1.3, t2=1.6, adc=1.5)
        layers.append(Layer("necrosis", dead, patches(s.uniform(0.7, 1.4), 0.35, "necrosis", 0.2)))
    if s.diameter > 18:
        layers.append(Layer("septa", capsule, strands(s.uniform(0.05, 0.14), 0.6, "septa")))
    layers.append(Layer("capsule", capsule, shell(float(np.clip(s.uniform(0.1, 0.16) * s.radius, 1.8, 4.0)))))
    return Pattern("classic", tuple(layers), s.uniform(0.03, 0.07), texture=s.grain())


def icc(s: Setting, atypical: bool) -> Pattern:
    """Lobulated; rim that gives way to late central enhancement; atypical: hypervascular."""
    inflow = s.uniform(0.8, 2.2)
    rim = s.solid(s.supplied(s.uniform(0.7, 1.1), inflow), adc=s.uniform(0.8, 0.95))
    stroma = s.solid(
        s.supplied(s.uniform(1.5, 2.4), s.uniform(0.13, 0.3)),
        t1=1.1,
        t2=s.uniform(0.8, 1.2),
        adc=s.uniform(1.0, 1.4),
    )
    scar = replace(stroma.scaled(t1=1.1, t2=0.8), kinetics=s.supplied(2.2, 0.12))
    bile = s.fluid((1800, 2600), (250, 500), (2.4, 3.0))
    biliary = (Layer("bile ducts", bile, ducts(s), outside=True),) if s.chance(0.95) else ()
    if atypical:
        rim = replace(rim, kinetics=s.supplied(s.uniform(1.2, 1.6), inflow * 1.3))
        layers: tuple[Layer, ...] = (
            *biliary,
            Layer("core", rim, everywhere),
            Layer("scar", stroma, centre(s.uniform(0.4, 0.55), "core", 0.12)),
        )
        return Pattern("hypervascular", layers, s.uniform(0.1, 0.16), 0.5, texture=s.grain())
    thickness = max(s.uniform(0.14, 0.36) * s.radius, 2.4)
    layers = (
        *biliary,
        Layer("core", stroma, everywhere),
        Layer("scar", scar, patches(0.6, 0.35, "scar", 0.35)),
        Layer("rim", rim, shell(thickness, 0.5)),
    )
    return Pattern("mass-forming", layers, s.uniform(0.12, 0.19), 0.5, texture=s.grain())


def metastasis(s: Setting, atypical: bool) -> Pattern:
    """Continuous rim that washes out around a core that stays dark; atypical: hypervascular, or cystic."""
    rim = s.solid(s.supplied(s.uniform(0.6, 1.0), s.uniform(1.0, 2.8)), adc=s.uniform(0.8, 1.0))
    core = s.solid(
        s.supplied(s.uniform(0.6, 1.2), s.uniform(0.14, 0.5)),
        t1=1.1,
        t2=s.uniform(0.85, 1.2),
        adc=s.uniform(1.0, 1.4),
    )
    dead = s.solid(NO_UPTAKE, t1=1.3, t2=1.6, adc=s.uniform(1.2, 1.9))
    own = s.liver.kinetics
    shift = own.portal * s.uniform(0.7, 0.95)
    blush = replace(s.liver, kinetics=replace(own, arterial=own.arterial + shift, portal=own.portal - shift))
    around = Layer("hyperaemia", blush, halo(s.uniform(3.0, 5.0), "hyperaemia"), outside=True)
    if atypical and s.chance(0.5):
        layers: tuple[Layer, ...] = (
            around,
            Layer("core", rim, everywhere),
            Layer("necrosis", dead, centre(s.uniform(0.28, 0.42), "dead")),
        )
        return Pattern("hypervascular", layers, s.uniform(0.03, 0.08), texture=s.grain())
    thickness = float(np.clip(s.uniform(0.14, 0.4) * s.radius, 2.4, 9.0))
    if atypical:
        layers = (around, Layer("necrosis", dead, everywhere), Layer("rim", rim, shell(thickness, 0.3)))
        return Pattern("cystic", layers, s.uniform(0.04, 0.09), texture=s.grain())
    layers = (
        around,
        Layer("core", core, everywhere),
        Layer("necrosis", dead, centre(s.uniform(0.15, 0.5), "dead", 0.15)),
        Layer("rim", rim, shell(thickness, 0.2)),
    )
    return Pattern("classic", layers, s.uniform(0.04, 0.09), texture=s.grain())


def other_benign(s: Setting, atypical: bool) -> Pattern:
    """Nodule of a cirrhotic liver, like liver but for T2; atypical: high-grade dysplastic, enhances early.

    Regenerative nodules are iso to bright on T1WI, iso to dark on T2WI, and enhance as the liver does
    (Hanna RF et al. RadioGraphics 2008;28:747).
    """
    dark = s.uniform(0.62, 0.95)
    own = s.liver.kinetics
    nodule = replace(
        s.liver.scaled(t1=s.uniform(0.72, 0.98), t2=dark), adc=s.liver.adc * s.uniform(0.85, 1.0)
    )
    septum = s.solid(s.supplied(1.25, 0.25), t1=1.0, t2=0.75)
    if atypical:
        arterial = own.arterial * s.uniform(1.2, 2.2)
        kinetics = replace(own, arterial=arterial, portal=max(own.portal - (arterial - own.arterial), 0.0))
        return Pattern(
            "high-grade dysplastic",
            (Layer("core", replace(nodule, kinetics=kinetics), everywhere),),
            s.uniform(0.03, 0.08),
            texture=s.uniform(0.02, 0.06),
            mottle=0.3,
        )
    kinetics = replace(own, portal=own.portal * s.uniform(0.85, 1.05))
    layers = [Layer("core", replace(nodule, kinetics=kinetics), everywhere)]
    if s.chance(0.6):
        layers.append(Layer("rim", septum, shell(max(0.08 * s.radius, 1.2), 0.5)))
    return Pattern(
        "regenerative", tuple(layers), s.uniform(0.03, 0.08), texture=s.uniform(0.02, 0.06), mottle=0.3
    )


def other_primary(s: Setting, atypical: bool) -> Pattern:
    """ICC in three of five; the others cannot be told on images from a metastasis or from HCC.

    Cholangiocarcinoma shares its targetoid look with metastases, combined tumours share washout and capsule
    with HCC; Zhen et al. 2020 call the class the one that images alone decide worst.
    """
    look = s.uniform(0.0, 1.0)
    if look < 0.2:
        return replace(metastasis(s, atypical), variant="ICC that looks like a metastasis")
    if look < 0.4:
        return replace(hcc(s, atypical), variant="combined HCC and ICC that looks like HCC")
    if not atypical or s.chance(0.6):
        return icc(s, atypical)
    cellular = s.solid(s.supplied(s.uniform(0.8, 1.2), s.uniform(0.3, 0.7)), adc=s.uniform(0.55, 0.72))
    return Pattern(
        "lymphoma or sarcoma",
        (Layer("core", cellular, everywhere),),
        s.uniform(0.08, 0.16),
        0.6,
        texture=s.uniform(0.02, 0.06),
        mottle=0.4,
    )


PATTERNS: Mapping[str, Callable[[Setting, bool], Pattern]] = {
    "cyst": cyst,
    "FNH": fnh,
    "haemangioma": haemangioma,
    "abscess": abscess,
    "HCC": hcc,
    "ICC": icc,
    "metastasis": metastasis,
    "other_benign": other_benign,
    "other_primary": other_primary,
}
