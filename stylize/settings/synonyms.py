"""What other programs call our options and settings, so that a message can name ours."""

from __future__ import annotations

# By our option, with a value where the word implies one; the arguments are in capitals.
_WORDS = {
    "PHOTO": "content content-image content-path i image image-path img input input-image"
    " input-path photo source src",
    "STYLE": "style style-image style-images style-path styles",
    "--content": "content-image content-path image input-image photo",
    "--style": "style-image style-images style-path styles",
    "TARGET": "channel channels layer layers neuron unit",
    "LAYER": "layer layers",
    "--output": "dest destination o out out-file outfile output-dir output-file output-image"
    " output-path result save save-as save-path",
    "--overwrite": "clobber f force replace y yes",
    "--format": "ext extension filetype output-format suffix",
    "--suffix": "ext extension filetype format output-format",
    "--quality": "bitrate compression crf jpeg-quality jpg-quality q-scale",
    "--save-steps": "output-iter print-iter save-every save-frames save-intermediate"
    " save-iter save-iterations save-progress",
    "--film": "animate animation film-of-steps frames gif movie timelapse video",
    "--open": "display show view",
    "--preset": "look mode p profile",
    "--preset draft": "fast preview quick rough",
    "--preset fine": "best high-quality hq",
    "--size WxH": "h height w width",
    "--size": "content-size dim dimensions image-size img-size imsize long-side longest-side"
    " max-dim max-dimension max-size maxdim megapixels output-size pixels px res resize resolution"
    " s scale x y",
    "--enlarge": "allow-upscale bigger larger upsample upscale",
    "--learning-rate": "lr lr-rate rate step-size",
    "--strength": "alpha amount beta cfg content-strength degree denoise denoising-strength"
    " guidance guidance-scale intensity ratio step-size style-amount style-intensity style-ratio"
    " style-strength stylization",
    "--content-weight": "content-alpha content-loss-weight",
    "--edges": "contours edge-weight keep-edges lines outlines",
    "--blend": "mix opacity original-mix",
    "--smoothness": "regularization smooth smoothing total-variation tv tv-loss tv-strength"
    " tv-weight variation-weight",
    "--style-size": "brush brush-size stroke stroke-size strokes style-scale",
    "--style-weight": "blend-weights style-blend style-blend-weights style-interpolation-weights"
    " style-weights",
    "--style-layers": "layer layers style-layer",
    "--content-layers": "content-layer layer layers",
    "--layer": "channel channels dream-layer end layers neuron objective",
    "--color luminance": "keep-colour keep-colours keep-color keep-colors luminance luminance-only"
    " original-color original-colors original-colours preserve-color preserve-colors"
    " preserve-colour preserve-colours",
    "--color": "color-mode color-transfer colors colour colour-mode colours",
    "--keep-colors": "keep-color keep-colour keep-colours original-colors original-colours"
    " preserve-color preserve-colors preserve-colour preserve-colours",
    "--preset portrait": "face faces keep-face keep-faces preserve-face protect-face",
    "--mask FILE=keep": "exclude face faces ignore keep keep-face keep-faces preserve preserve-face"
    " protect protect-face",
    "--subject": "foreground object people person",
    "--regions": "map segment segmentation segments semantic semantic-map",
    "--guide": "guide-image target target-image",
    "--from-noise": "noise noise-size random texture",
    "--cleanup": "clean coherence-enhancing denoise flow painterly polish post-process postprocess",
    "--clarity": "crisp crispness denoise sharpen sharpness",
    "--retouch": "brush-strokes brushwork patch patches stroke strokes",
    "--grain": "canvas film-grain noise paper texture tooth",
    "--init noise": "from-noise noise",
    "--init": "init-image initial initialization start start-from start-image",
    "--variants": "batch-size count copies n num-images num-samples number samples",
    "--seed": "manual-seed random random-seed rng rng-seed s seed-random",
    "--steps": "epochs i iter iterations iters max-iter max-iterations max-iters n-iter"
    " n-iterations n-steps niter num-iter num-iterations num-iters num-steps optimization-steps",
    "--octaves": "n-octaves num-octaves octave octave-count octave-n octave-num",
    "--octave-scale": "octave-factor octave-ratio",
    "--min-size": "multi-scale num-scales octaves pyramid scales",
    "--size-ratio": "pyramid-factor scale-factor scale-step",
    "--optimizer": "optim optimiser",
    "--optimizer adam": "adam",
    "--optimizer lbfgs": "l-bfgs lbfgs",
    "--network": "arch architecture backbone cnn m model model-file model-path net vgg weights",
    "--pooling": "pool pooling-type",
    "--device": "accelerator backend d gpu-id",
    "--device cuda": "cuda gpu nvidia use-cuda use-gpu",
    "--device mps": "gpu metal mps use-gpu use-mps",
    "--device cpu": "cpu force-cpu no-cuda no-gpu",
    "--precision": "dtype",
    "--precision bf16": "amp bf16 bfloat16 float16 fp16 half half-precision mixed-precision",
    "--precision fp32": "float32 fp32 full-precision no-half",
    "--threads": "cores cpus j jobs n-jobs nproc num-threads num-workers t worker workers",
    "--max-memory": "low-memory low-vram lowmem lowvram max-ram max-vram memory ram tile tile-size"
    " tiles tiling vram",
    "--checkpoint": "autosave checkpoint-file",
    "--frames": "duration length n-frames num-frames seconds",
    "--fps": "frame-rate framerate rate",
    "--zoom": "scale zoom-factor zoom-speed",
    "--rotate": "angle rotation spin",
    "--quiet": "no-progress s silent",
    "--verbose": "debug log log-level progress",
    "--recursive": "recurse subfolders",
    "--dry-run": "n plan simulate",
    "--help": "usage",
}

_OURS: dict[str, list[str]] = {}
for _ours, _theirs in _WORDS.items():
    for _word in _theirs.split():
        _OURS.setdefault(_word, []).append(_ours)

# Styles that people ask for by name; here a picture gives the style.
_STYLE_NAMES = (
    "abstract acrylic anime cartoon comic cubism cubist ghibli graffiti ink monet mosaic oil"
    " oil-paint oil-painting oilpaint painting pastel pencil picasso pixel pixel-art pop-art sketch"
    " starry-night van-gogh vangogh watercolor watercolour woodcut"
)

STYLE_HINT = "the style comes from a picture: name one in that style as the style image"


def ours(word: str) -> list[str]:
    """The options and arguments that users of other programs mean by a word."""
    return _OURS.get(plain(word), [])


def every() -> list[str]:
    """All options and arguments that have synonyms."""
    return list(_WORDS)


def plain(word: str) -> str:
    """``max-iter`` for ``--max_iter`` and ``max_iter``."""
    return word.lstrip("-").lower().replace("_", "-")


def is_style(name: str) -> bool:
    """Whether people call a style by this name."""
    return plain(name) in _STYLE_NAMES.split()


# By our command.
_COMMAND_WORDS = {
    "transfer": "apply neural-style nst paint run style style-transfer stylize",
    "dream": "deep-dream deepdream hallucinate inception",
    "tunnel": "animate zoom",
    "batch": "directory folder folders",
    "explore": "compare grid sheet",
    "replay": "again redo repeat rerun",
    "presets": "looks styles",
    "info": "exif metadata recipe show",
    "inspect": "explain visualise visualize",
    "models": "download model network networks weights",
    "--version": "version",
}

_COMMANDS = {word: ours for ours, words in _COMMAND_WORDS.items() for word in words.split()}


def command_for(word: str) -> str | None:
    """The command that users of other programs mean by a word."""
    return _COMMANDS.get(plain(word))
