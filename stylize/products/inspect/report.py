"""One HTML page that explains what a network sees in a photo."""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import torch
from PIL import Image
from torch import Tensor

from stylize.images.atomic import write_atomically
from stylize.images.mosaic import figure
from stylize.images.open import printable
from stylize.images.read import Picture
from stylize.images.resampling import resize
from stylize.images.write import write_stream
from stylize.networks.architecture import is_vgg, rectified, scales
from stylize.networks.classifier import Classifier, has_classes, load_head
from stylize.products.inspect.activations import by_strength, map_pictures
from stylize.products.inspect.invert import invert
from stylize.products.inspect.occlude import Patch, drop_map, occlude, places, require_uncovered
from stylize.products.inspect.response import (
    NAMED,
    ClassResponse,
    Query,
    Silence,
    class_probabilities,
    query,
    silence_of,
)
from stylize.products.inspect.result import (
    Finding,
    OnStep,
    brief,
    heat,
    overlay,
    stretched,
)
from stylize.products.inspect.saliency import attribution, grad_cam, saliency_map
from stylize.runs.result import Result
from stylize.runs.session import Session
from stylize.settings.execution import Execution
from stylize.settings.inspect import (
    ActivationsSettings,
    InversionSettings,
    ReportSettings,
    saliency_methods,
)

# Of the pictures in the page.
_QUALITY = 85

# Longer side of the pictures in the page, in px.
SHOWN_PX = 512


@dataclass(frozen=True)
class Page(Result):
    """An HTML page as a result; ``pixels`` is the photo as the network saw it.

    :meth:`save` writes the page, whose pictures have a format and a quality of their own.

    Attributes:
        html: the page.
    """

    html: str = ""

    def _write(
        self, target: Path | BinaryIO, encoding: Mapping[str, Any], **naming: Any
    ) -> Path | None:
        data = self.html.encode()
        if isinstance(target, Path):
            return write_atomically(target, data, **naming)
        write_stream(target, data)
        return None


@dataclass(frozen=True)
class Figure:
    """A picture with its caption.

    Attributes:
        caption: plain text.
        source: a data URI.
    """

    caption: str
    source: str


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        text: what the pictures show.
        command: shows the same in more detail.
        figures: the pictures.
        note: a line that a reader must not miss.
    """

    title: str
    text: str
    command: str
    figures: list[Figure]
    note: str = ""


def show_report(
    photo: Picture,
    settings: ReportSettings | None = None,
    execution: Execution | None = None,
    *,
    on_step: OnStep | None = None,
    session: Session | None = None,
) -> Finding:
    """Explain a photo on one HTML page: channels, classes, saliency, occlusion and inversion.

    Args:
        photo: the photo.
        settings: of the target and of the amount of work.
        execution: device, precision and threads.
        on_step: called after each step.
        session: keeps networks in memory and shares them between calls.

    Returns:
        A finding whose result is a :class:`Page`.

    Raises:
        StylizeError: see :func:`stylize.products.inspect.response.query`.
    """
    settings = settings or ReportSettings()
    asked = query(photo, settings, execution, session=session or Session())
    settings = settings.for_network(asked.model.weights.architecture)
    asked.model.pixels(photo, settings.size, _last_layers(asked))  # refuses photos too small
    require_uncovered(asked.image, settings.patch)
    silence = silence_of(asked.response, asked.features())
    head = _head(asked)
    step = _Progress(on_step, _steps(asked, settings))
    strongest: dict[str, list[int]] = {}
    classes: list[dict[str, Any]] = []
    sections = [_channels(asked, settings, strongest)]
    if head is not None:
        sections.append(_classes(asked, head, classes))
    sections.append(_saliency(asked, settings, silence, step))
    sections.append(_occlusion(asked, settings, step))
    sections.append(_inversions(asked, settings, step))
    result = asked.model.result(asked.image, settings, [("content", photo)])
    shown = {each.name: getattr(result, each.name) for each in fields(Result)}
    page = Page(**shown, html=_html(asked, sections))
    numbers = settings.question | {
        "strongest": strongest,
        "silent": list(silence.silent),
        "classes": classes,
    }
    return Finding(page, numbers, notes=list(silence.notes))


def _last_layers(asked: Query) -> tuple[str, ...]:
    """The last layer of each block, after the ReLU."""
    architecture = asked.model.weights.architecture
    last = scales(architecture)
    return tuple(rectified(name) if is_vgg(architecture) else name for name in last)


def _head(asked: Query) -> Classifier | None:
    name = asked.model.weights.name
    return load_head(name) if has_classes(name) else None


class _Progress:
    """Counts the steps of all parts."""

    def __init__(self, on_step: OnStep | None, total: int) -> None:
        self._on_step, self._total, self._done = on_step, total, 0

    def one(self) -> None:
        """One step more is done."""
        self._done += 1
        if self._on_step is not None:
            self._on_step(self._done, self._total)

    def counter(self) -> Callable[[int, int], None]:
        """Takes the number of steps done in a part, and of all its steps."""
        before = self._done

        def on_step(done: int, total: int) -> None:
            self._done = before + done
            if self._on_step is not None:
                self._on_step(self._done, self._total)

        return on_step


def _methods(asked: Query) -> tuple[str, ...]:
    """The saliency methods that can explain the response."""
    one_layer = len(asked.response.layers) == 1
    usable = saliency_methods(asked.model.weights.architecture)
    return tuple(each for each in usable if one_layer or each != "grad-cam")


def _steps(asked: Query, settings: ReportSettings) -> int:
    tops, lefts = (places(side, settings.patch, settings.step) for side in asked.image.shape[2:])
    single = len(_methods(asked)) - 1
    inverted = len(_inverted_layers(asked)) * settings.steps
    return single + settings.samples + len(tops) * len(lefts) + inverted


def _inverted_layers(asked: Query) -> tuple[str, ...]:
    return InversionSettings(strip=True).inverted_layers(asked.model.weights.architecture)


def _channels(asked: Query, settings: ReportSettings, strongest: dict[str, list[int]]) -> Section:
    """The strongest channels of each block; their numbers are added to ``strongest``."""
    layers = _last_layers(asked)
    maps = asked.model.activations(asked.image, layers, asked.photo.name)
    figures = []
    for layer in layers:
        ranked = by_strength(maps[layer], tuple(range(len(maps[layer]))))[: settings.channels]
        chosen = [channel for channel, _ in ranked]
        strongest[layer] = chosen
        shown = map_pictures(
            maps[layer][chosen], asked.image.cpu(), ActivationsSettings(overlay=True)
        )
        figures += [
            _figure(f"{layer}:{channel} · {figure(strength)}", picture[None])
            for (channel, strength), picture in zip(ranked, shown, strict=True)
        ]
    return Section(
        "Strongest channels",
        "Each picture shows where one channel responds. The first blocks respond to edges and "
        "colours, the last ones to parts of things. Below each picture: the layer, the number of "
        "the channel and its mean activation.",
        f"stylize inspect activations PHOTO {layers[-1]} --overlay{_network(settings)}",
        figures,
    )


def _classes(asked: Query, head: Classifier, classes: list[dict[str, Any]]) -> Section:
    """The best classes with Grad-CAM; their names and probabilities are added to ``classes``."""
    with torch.no_grad():
        features = asked.model.network((head.layer,))(asked.image)
        likely = class_probabilities(head, features)
    figures = []
    for place, index in enumerate(likely.argsort(descending=True)[:NAMED].tolist(), 1):
        name, share = head.name_of(index), float(likely[index])
        classes.append({"class": name, "probability": brief(share)})
        cam = resize(grad_cam(ClassResponse(head, index), features), _size(asked.image))
        caption = f"{place}. {name} · {100 * share:.1f} %"
        figures.append(_figure(caption, overlay(stretched(cam.clamp_min(0)), asked.image)))
    return Section(
        "Classes",
        "The classes that the network finds most likely, with their probabilities. Grad-CAM shows "
        "which parts of the photo speak for each class.",
        f"stylize inspect saliency PHOTO --class NAME --method grad-cam --network "
        f"{asked.model.weights.name}",
        figures,
    )


def _saliency(asked: Query, settings: ReportSettings, silence: Silence, step: _Progress) -> Section:
    figures = []
    for method in _methods(asked):
        smooth = method == "smoothgrad"
        amounts = saliency_map(
            attribution(
                asked.vgg,
                asked.response,
                asked.image,
                method,
                samples=settings.samples,
                seed=settings.seed,
                on_step=step.counter() if smooth else None,
            )
        )
        if not smooth:
            step.one()
        shares = stretched(amounts)
        shown = overlay(shares, asked.image) if method == "grad-cam" else heat(shares)
        figures.append(_figure(method, shown))
    detailed = "guided" if "guided" in _methods(asked) else "smoothgrad"
    return Section(
        f"Saliency of {_subject(settings)}",
        "Which pixels the response depends on, by every method. Bright pixels matter most. "
        "Methods disagree: compare them before you trust one.",
        f"stylize inspect saliency PHOTO {_words(settings)} --method {detailed}",
        figures,
        "; ".join(silence.notes),
    )


def _occlusion(asked: Query, settings: ReportSettings, step: _Progress) -> Section:
    patch = Patch(settings.patch, settings.step)
    found = occlude(asked.vgg, asked.response, asked.image, patch, on_step=step.counter())
    drops = drop_map(found, _size(asked.image), settings.patch).clamp_min(0).to(asked.image)
    least = float(found.responses.min())
    caption = f"response {figure(found.whole)}; at its lowest, with the patch: {figure(least)}"
    lowers = float(found.drops.max()) > 0
    return Section(
        f"Occlusion of {_subject(settings)}",
        f"A grey patch of {settings.patch} px hides the photo, place by place. Bright places are "
        "those where hiding lowers the response most.",
        f"stylize inspect occlude PHOTO {_words(settings)}",
        [_figure(caption, overlay(stretched(drops), asked.image))],
        "" if lowers else "Hiding no part of the photo lowers the response.",
    )


def _inversions(asked: Query, settings: ReportSettings, step: _Progress) -> Section:
    figures = [_figure("the photo", asked.image)]
    for layer in _inverted_layers(asked):
        found = invert(
            asked.model.network((layer,)),
            asked.image,
            layer,
            steps=settings.steps,
            smoothness=InversionSettings.smoothness,
            seed=settings.seed,
            on_step=lambda _: step.one(),
        )
        figures.append(_figure(f"{layer} · {found.psnr_db:.1f} dB", found.pixels))
    return Section(
        "Inversion",
        "The photo, reconstructed from noise by the activations of one layer alone. What a layer "
        "does not represent comes out at random. Below each picture: how "
        "similar it is to the photo, as peak signal-to-noise ratio.",
        f"stylize inspect invert PHOTO --strip --steps 100{_network(settings)}",
        figures,
    )


def _subject(settings: ReportSettings) -> str:
    return settings.target if settings.category is None else f"class {settings.category}"


def _words(settings: ReportSettings) -> str:
    """What the commands on the page say about the response, quoted for a shell."""
    if settings.category is not None:
        return f"--class {shlex.quote(settings.category)} --network {settings.network}"
    at = "" if settings.at is None else f" --at {shlex.quote(settings.at)}"
    # With a minus in front, it would be taken for an option.
    target = f" {settings.target}" if settings.target.startswith("-") else settings.target
    return f"{shlex.quote(target)}{at}{_network(settings)}"


def _network(settings: ReportSettings) -> str:
    return "" if settings.network == ReportSettings.network else f" --network {settings.network}"


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[2], image.shape[3]


def _figure(caption: str, pixels: Tensor) -> Figure:
    """A picture ``(1, 3, h, w)`` in [0, 1] as a JPEG in a data URI."""
    levels = (pixels[0].detach().float().cpu().clamp(0, 1) * 255 + 0.5).byte()
    image = Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())
    image.thumbnail((SHOWN_PX, SHOWN_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Figure(printable(caption), f"data:image/jpeg;base64,{data}")


def _html(asked: Query, sections: list[Section]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    templates = Environment(
        loader=PackageLoader(__name__.rpartition(".")[0]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    height, width = asked.photo.size
    seen_height, seen_width = _size(asked.image)
    return templates.get_template("report.html").render(
        name=printable(asked.photo.name),
        network=asked.model.weights.name,
        size=f"{width}×{height}",
        seen=f"{seen_width}×{seen_height}",
        photo=_figure("", asked.photo.pixels),
        sections=sections,
    )
