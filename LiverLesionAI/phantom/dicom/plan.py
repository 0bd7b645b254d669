"""From a phantom to the series of an examination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from LiverLesionAI.errors import ConfigError
from LiverLesionAI.phantom.generate import PhantomStudy
from LiverLesionAI.phantom.protocol import B_VALUE, Acquisition
from LiverLesionAI.phantom.signal import DiffusionEcho, SpoiledGradientEcho

from . import stacks
from .examination import INJECTION_S, Examination, Series, Volume, derived_uid
from .vocabulary import STYLES, Part, Style, Vendor

Layout = Literal["separate", "dynamic", "multi_b", "enhanced"]
"""How volumes are divided into series.

``separate``: one series for each phase and each b-value. ``dynamic``: all phases in one series. ``multi_b``:
all b-values in one series and no ADC map, which a reader has to compute. ``enhanced``: Enhanced MR Image
Storage, all phases in one multi-frame object and all b-values in another.
"""
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
VENDORS: tuple[Vendor, ...] = get_args(Vendor)

ARRIVAL_S = 15.0
"""Seconds from the injection to the arrival of contrast in the aorta, from which the phantom counts."""
ALL_B_VALUES = (50.0, 400.0, B_VALUE)
SEPARATE_B_VALUES = (50.0, B_VALUE)
_DYNAMIC = ("T1WI", "LAP", "PVP", "DP")
_BREATH_HOLD_S = 14.0
_STARTS_S: Mapping[str, float] = {
    "localiser": 0.0,
    "coronal": 60.0,
    "MRCP": 120.0,
    "T2WI": 180.0,
    "DWI": 420.0,
    "ADC": 420.0,
    "dixon": 780.0,
    "T1WI": 840.0,
}
_DIXON_TE_MS: Mapping[float, tuple[float, float]] = {1.5: (2.39, 4.77), 3.0: (1.23, 2.46)}
"""Field strength to the echo times of opposed phase and in phase."""
_HASTE_TR_TE_MS = (1200.0, 92.0)
_MRCP_TR_TE_MS = (4500.0, 740.0)
_REFORMAT_MM = 4.0


@dataclass(frozen=True)
class _Group:
    """A series to be: name within the study, key of the vendor's names, volumes, what it is made of."""

    name: str
    part: str
    volumes: tuple[Volume, ...]
    sources: tuple[str, ...] = ()


def plan_examination(
    phantom: PhantomStudy, vendor: str, layout: str, *, distractors: bool = True
) -> Examination:
    """Lay a phantom out as an examination; nothing is written.

    Parameters
    ----------
    phantom
        The study.
    vendor
        One of `VENDORS`.
    layout
        One of `LAYOUTS`.
    distractors
        Whether a localiser, a coronal T2-weighted image, an MRCP, Dixon images, a subtraction and a reformat
        stand among the series.

    Raises
    ------
    ConfigError
        If vendor or layout is not known.
    """
    known_vendor = checked_vendor(vendor)
    if layout not in LAYOUTS:
        raise ConfigError(f"The phantom knows no DICOM layout {layout!r}; it has {', '.join(LAYOUTS)}.")
    protocol, style = phantom.truth.mr_protocol, STYLES[known_vendor]
    key = f"{phantom.study.id}/{vendor}/{layout}"
    groups = tuple(_groups(phantom, style, layout, distractors))
    uids = {group.name: derived_uid(key, "series", group.name) for group in groups}
    series = tuple(
        Series(
            uid=uids[group.name],
            number=_series_number(vendor, index),
            part=_named(style.parts[group.part], group.volumes),
            volumes=tuple(replace(v, position=n) for n, v in enumerate(group.volumes, 1)),
            source_uids=tuple(uids[source] for source in group.sources if source in uids),
        )
        for index, group in enumerate(groups, 1)
    )
    return Examination(
        key,
        phantom.truth.seed,
        protocol.field_tesla,
        known_vendor,
        style,
        protocol.agent,
        layout == "enhanced",
        series,
    )


def checked_vendor(vendor: str) -> Vendor:
    """Return a vendor that there is.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    found = next((known for known in VENDORS if known == vendor), None)
    if found is None:
        raise ConfigError(f"The phantom knows no scanner of vendor {vendor!r}; it has {', '.join(VENDORS)}.")
    return found


def _groups(phantom: PhantomStudy, style: Style, layout: str, distractors: bool) -> Iterator[_Group]:
    study = {name: _of_study(phantom, name, style) for name in phantom.study.images}
    if "T2WI" in study:
        if distractors:
            yield from _overviews(study["T2WI"], style)
        yield _Group("T2WI", "T2WI", (study["T2WI"],))
    yield from _diffusion(study, layout)
    if distractors and "T1WI" in study:
        yield from _dixon(phantom, style, study["T1WI"], layout)
    yield from _phases(study, layout)
    if distractors:
        yield from _computed(study, layout)


def _of_study(phantom: PhantomStudy, name: str, style: Style) -> Volume:
    acquisition = phantom.truth.mr_protocol.acquisitions[name]
    pulse = acquisition.pulse
    flip = pulse.flip_deg if isinstance(pulse, SpoiledGradientEcho) else style.flip_deg
    diffusion = isinstance(pulse, DiffusionEcho)
    return Volume(
        part=name,
        image=phantom.study.images[name].image,
        sequence=name,
        start_s=_start(name, acquisition),
        duration_s=_BREATH_HOLD_S if isinstance(pulse, SpoiledGradientEcho) else 200.0,
        tr_ms=pulse.tr_ms,
        te_ms=pulse.te_ms,
        flip_deg=90.0 if diffusion else flip,
        averages=acquisition.averages,
        b_value=B_VALUE if name == "DWI" else None,
        enhanced=acquisition.time_s is not None,
    )


def _start(name: str, acquisition: Acquisition) -> float:
    """Start of a breath-hold whose middle, the centre of k-space, falls on the phase's time."""
    if acquisition.time_s is None:
        return _STARTS_S[name]
    return INJECTION_S + ARRIVAL_S + acquisition.time_s - _BREATH_HOLD_S / 2


def _overviews(t2: Volume, style: Style) -> Iterator[_Group]:
    tr, te = _HASTE_TR_TE_MS
    haste = replace(
        t2, sequence=None, duration_s=20.0, tr_ms=tr, te_ms=te, flip_deg=max(style.flip_deg, 90.0), averages=1
    )
    planes = tuple(
        replace(haste, part="localiser", image=plane, start_s=_STARTS_S["localiser"])
        for plane in stacks.localiser(t2.image)
    )
    yield _Group("localiser", "localiser", planes)
    image = stacks.coronal(t2.image, t2.image.GetSpacing()[2])
    yield _Group(
        "coronal", "coronal", (replace(haste, part="coronal", image=image, start_s=_STARTS_S["coronal"]),)
    )
    tr, te = _MRCP_TR_TE_MS
    slab = replace(haste, part="MRCP", image=stacks.thick_slab(t2.image), tr_ms=tr, te_ms=te)
    yield _Group("MRCP", "MRCP", (replace(slab, start_s=_STARTS_S["MRCP"]),))


def _diffusion(study: Mapping[str, Volume], layout: str) -> Iterator[_Group]:
    dwi, adc = study.get("DWI"), study.get("ADC")
    weighted: list[Volume] = []
    if dwi and adc:
        wanted = SEPARATE_B_VALUES if layout in ("separate", "dynamic") else ALL_B_VALUES
        weighted = [
            replace(dwi, image=stacks.diffusion_weighted(dwi.image, adc.image, b), b_value=b)
            for b in wanted
            if b != B_VALUE
        ]
    if dwi:
        weighted.append(dwi)
    together = layout in ("multi_b", "enhanced")
    groups = [tuple(weighted)] if together and weighted else [(volume,) for volume in weighted]
    names = [f"DWI {'_'.join(f'{v.b_value:g}' for v in volumes)}" for volumes in groups]
    for name, volumes in zip(names, groups, strict=True):
        yield _Group(name, "DWI", volumes)
    if adc and (layout != "multi_b" or not dwi):
        yield _Group("ADC", "ADC", (adc,), tuple(names))


def _dixon(phantom: PhantomStudy, style: Style, t1: Volume, layout: str) -> Iterator[_Group]:
    opposed, in_phase = _DIXON_TE_MS[phantom.truth.mr_protocol.field_tesla]
    images = stacks.dixon(phantom.truth)
    common = replace(
        t1, start_s=_STARTS_S["dixon"], tr_ms=max(t1.tr_ms, in_phase + 2.0), te_ms=in_phase, flip_deg=10.0
    )
    volumes = {
        part: replace(common, part=part, image=image, sequence=part if part.endswith("PHASE") else None)
        for part, image in images.items()
    }
    volumes["OUTPHASE"] = replace(volumes["OUTPHASE"], te_ms=opposed)
    grouping = tuple((part,) for part in volumes) if layout == "enhanced" else style.dixon_series
    for parts in grouping:
        sources = () if "INPHASE" in parts or "OUTPHASE" in parts else tuple(_dixon_names(grouping))
        yield _Group("+".join(parts), parts[0], tuple(volumes[part] for part in parts), sources)


def _dixon_names(grouping: tuple[tuple[str, ...], ...]) -> Iterator[str]:
    """Names of the series that hold the two echoes."""
    return ("+".join(parts) for parts in grouping if {"INPHASE", "OUTPHASE"} & set(parts))


def _phases(study: Mapping[str, Volume], layout: str) -> Iterator[_Group]:
    dynamic = tuple(study[name] for name in _DYNAMIC if name in study)
    if layout in ("dynamic", "enhanced") and len(dynamic) > 1:
        yield _Group("dynamic", "dynamic", dynamic)
    else:
        for volume in dynamic:
            yield _Group(volume.part, volume.part, (volume,))
    if "HBP" in study:
        yield _Group("HBP", "HBP", (study["HBP"],))


def _computed(study: Mapping[str, Volume], layout: str) -> Iterator[_Group]:
    together = layout in ("dynamic", "enhanced")
    if "LAP" in study and "T1WI" in study:
        image = stacks.subtraction(study["LAP"].image, study["T1WI"].image)
        volume = replace(study["LAP"], part="subtraction", image=image, sequence=None)
        yield _Group("subtraction", "subtraction", (volume,), ("dynamic",) if together else ("LAP", "T1WI"))
    if "PVP" in study:
        image = stacks.coronal(study["PVP"].image, _REFORMAT_MM)
        volume = replace(study["PVP"], part="MPR", image=image, sequence=None)
        yield _Group("MPR", "MPR", (volume,), ("dynamic",) if together else ("PVP",))


def _series_number(vendor: str, index: int) -> int:
    """Philips counts scans in hundreds and reconstructions in ones."""
    return 100 * index + 1 if vendor == "philips" else index


def _named(part: Part, volumes: tuple[Volume, ...]) -> Part:
    """The part with its b-values in the description."""
    values = "_".join(f"{v.b_value:g}" for v in volumes if v.b_value is not None)
    values = values or "_".join(f"{b:g}" for b in SEPARATE_B_VALUES)
    return replace(
        part, description=part.description.format(b=values), protocol=part.protocol.format(b=values)
    )
