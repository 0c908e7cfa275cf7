"""What must be instant does not import torch, and the program starts however it is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import stylize
from tests.cli.conftest import program

CHECKOUT = Path(__file__).parent.parent
HEAVY = ("torch", "torchvision", "scipy", "safetensors")

# Runs several commands in one process, and says of each which heavy modules it brought.
PROBE = """
import contextlib, io, sys
from stylize.cli.main import cli
for words in sys.argv[2:]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            cli.main(words.split(","), "stylize")
        except SystemExit as exit:
            code = exit.code
    print(code, *(name for name in sys.argv[1].split(",") if name in sys.modules))
"""


def loaded(heavy: tuple[str, ...], *commands: str) -> list[str]:
    """For each command, words with commas between them: its exit code and what it imported."""
    call = program()
    call["args"] = [sys.executable, "-c", PROBE, ",".join(heavy), *commands]
    return subprocess.check_output(**call, text=True, timeout=60).splitlines()


PAGES = [
    "--help",
    "--version",
    "transfer,--help",
    "dream,--help",
    "tunnel,--help",
    "explore,transfer,--help",
    "batch,transfer,--help",
    "studio,--help",
    "inspect,feature,--help",
    "replay,--help",
    "resume,--help",
    "info,--help",
]


def test_help_is_cheap() -> None:
    assert loaded((*HEAVY, "numpy", "PIL.Image"), *PAGES) == ["0"] * len(PAGES)


def test_nothing_but_painting_needs_torch(tmp_path: Path) -> None:
    here = str(Path(__file__))
    commands = {
        "transfer,--help": "0",
        "presets,list": "0",
        "presets,show,bold": "0",
        "models,list": "0",
        "models,verify,vgg19": "0",
        "models,path,vgg16": "0",
        "info,--help": "0",
        "trasnfer": "2",
        "transfer": "2",
        "transfer,a.png,b.png,--steps,0": "2",
        "transfer,a.png,b.png,--style-layers,relu9_9": "2",
        "transfer,a.png,b.png,--preset,blod": "2",
        f"transfer,{tmp_path}/gone.png,{here}": "1",
        "dream,--help": "0",
        "tunnel,--help": "0",
        "explore,dream,--help": "0",
        "explore,transfer,--help": "0",
        "inspect,--help": "0",
        "replay,--help": "0",
        "resume,--help": "0",
        "layers": "0",
        "dream": "2",
        "dream,--layer,conv9_9,a.png": "2",
        f"dream,{tmp_path}/gone.png": "1",
        f"dream,{here},-o,{here}/gone/out.png": "1",
        f"tunnel,{here},-o,{here}/gone/out.gif": "1",
        f"explore,dream,{here},--layer,conv4_3 +": "2",
        f"explore,transfer,{here},{here},--presets,blod": "2",
        f"replay,{tmp_path}/gone.png": "1",
        f"replay,{here}": "1",
        f"resume,{here}": "1",
        f"transfer,{here},{here},-o,{here}/gone/out.png": "1",
    }
    assert loaded(("torch",), *commands) == list(commands.values())


# Runs a command as the program does, and then says what it imported beyond torch itself.
AFTER = """
import atexit, sys
import torch
bare = set(sys.modules)
atexit.register(lambda: print(*sorted(set(sys.modules) - bare), file=sys.stderr))
from stylize.cli.main import main
main()
"""
UNNEEDED = ("torch", "torchvision", "scipy", "sympy", "jinja2", "ray", "av", "cv2", "sklearn")


@pytest.mark.slow  # three processes that paint
@pytest.mark.parametrize(
    "words", ["transfer {0} {1}", "dream {0} --octaves 1", "inspect feature conv2_1:3"]
)
def test_painting_imports_only_what_it_needs(
    files: tuple[Path, Path], tmp_path: Path, words: str
) -> None:
    call = program()
    command = words.format(*files).split()
    call["args"] = [sys.executable, "-c", AFTER, *command, "--steps", "1", "-q"]
    call["args"] += ["-o", str(tmp_path / "result.png"), "--precision", "fp32"]
    done = subprocess.run(**call, check=True, capture_output=True, text=True)
    imported = done.stderr.split()
    assert "stylize.cli.main" in imported
    assert [name for name in imported if name.split(".")[0] in UNNEEDED] == []


@pytest.mark.slow
def test_a_network_of_torchvision_loads_no_compiler() -> None:
    probe = """
import sys, torch
from stylize.networks.graph import graph_of
for name in ("googlenet", "resnet18", "vgg11_bn", "mnasnet0_5"):
    graph_of(name)
print("torch._dynamo" in sys.modules, "sympy" in sys.modules)
from torchvision.ops import roi_align
from torchvision.ops.roi_align import is_compile_supported
found = roi_align(torch.ones(1, 1, 8, 8), torch.tensor([[0, 0.0, 0, 4, 4]]), 2)
print(float(found.sum()), is_compile_supported("cpu"))
import torch._dynamo.utils
print(torch._dynamo.utils.is_compile_supported("cpu"))
"""
    call = program()
    call["args"] = [sys.executable, "-c", probe]
    assert subprocess.check_output(**call, text=True).split() == ["False"] * 2 + [
        "4.0",
        "True",
        "True",
    ]


def test_the_package_itself_is_cheap() -> None:
    call = program()
    probe = "import sys, stylize; print('torch' in sys.modules, 'click' in sys.modules)"
    call["args"] = [sys.executable, "-c", probe]
    assert subprocess.check_output(**call, text=True) == "False False\n"


def test_public_names() -> None:
    assert list(stylize.__all__) == sorted(stylize.__all__)
    assert len(set(stylize.__all__)) == len(stylize.__all__)
    for name in stylize.__all__:
        assert getattr(stylize, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'stylise'"):
        stylize.stylise  # noqa: B018


def test_as_a_module_from_another_folder(tmp_path: Path) -> None:
    output = subprocess.check_output(**program("presets", "list"), cwd=tmp_path, text=True)
    assert "balanced" in output


@pytest.mark.skipif(not (CHECKOUT / "cli.py").exists(), reason="tests run outside a checkout")
def test_the_launcher_of_a_checkout(tmp_path: Path) -> None:
    command = [sys.executable, str(CHECKOUT / "cli.py"), "--version"]
    output = subprocess.check_output(command, cwd=tmp_path, text=True)
    assert output == f"stylize, version {stylize.__version__}\n"
