"""The group of all commands, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

from stylize.cli.lazy import LazyGroup
from stylize.cli.messages import INTERRUPTED, advised, explain, say, unforeseen
from stylize.errors import StylizeError
from stylize.version import __version__

# Name, and the module whose attribute of the same name is the command: imported when used.
COMMANDS = {
    "transfer": "stylize.cli.transfer",
    "dream": "stylize.cli.dream",
    "tunnel": "stylize.cli.tunnel",
    "batch": "stylize.cli.batch",
    "explore": "stylize.cli.explore",
    "inspect": "stylize.cli.inspect",
    "replay": "stylize.cli.replay",
    "resume": "stylize.cli.resume",
    "presets": "stylize.cli.presets",
    "layers": "stylize.cli.layers",
    "models": "stylize.cli.models",
    "info": "stylize.cli.info",
}

# What --help says of each, here so that it need not import them all.
SUMMARIES = {
    "transfer": "Paint a photo in the style of one or several images.",
    "dream": "Amplify whatever a network sees in a photo (DeepDream).",
    "tunnel": "Make an endless-zoom DeepDream video.",
    "batch": "Process whole folders of photos.",
    "explore": "Make contact sheets to choose from.",
    "inspect": "See what the network sees.",
    "replay": "Make a picture again from the recipe inside it.",
    "resume": "Continue a run that was stopped.",
    "presets": "List and show presets.",
    "layers": "Show the layers and what a dream there looks like.",
    "models": "List, check and add networks.",
    "info": "Show the recipe inside a picture.",
}

EPILOG = "Exit codes: 0 done, 1 a run failed, 2 wrong usage, 130 interrupted, 143 terminated."


class Commands(LazyGroup):
    """Loads its commands late, and lets no traceback out unless asked with -vv."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run and exit, as click's own, with this program's exit codes."""
        words = list(sys.argv[1:] if args is None else args)
        prepare_environment()
        if os.environ.get("NO_COLOR"):
            extra.setdefault("color", False)

        def call() -> Any:
            return super(Commands, self).main(
                words, prog_name or "stylize", complete_var, standalone_mode=False, **extra
            )

        return guarded(call, words) if standalone_mode else call()


def prepare_environment() -> None:
    """Say to torch and its libraries what they read when they are loaded, which is later."""
    # torch asks Linux for huge pages where it may: a tenth off every step, measured.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Both keep up to 1024 compiled convolutions, of every size of picture: a twentieth of all
    # memory, measured over a batch. One picture uses some thirty at a time.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    os.environ.setdefault("LRU_CACHE_CAPACITY", "128")


def guarded(call: Callable[[], Any], words: Sequence[str]) -> NoReturn:
    """Call and exit: every error becomes one line and a code."""
    try:
        result = call()
        sys.stdout.flush()
        sys.exit(result if isinstance(result, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        explain(error, advised(error), words)
        sys.exit(error.exit_code)
    except StylizeError as error:
        explain(error, str(error), words)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        say("stylize: interrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        explain(error, unforeseen(error), words)
        sys.exit(1)


@click.group(
    cls=Commands,
    modules=COMMANDS,
    summaries=SUMMARIES,
    epilog=EPILOG,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "STYLIZE",
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="stylize")
def cli() -> None:
    """Paint a photo in the style of any picture, or let a network dream on it.

    \b
    Examples:
      stylize transfer photo.jpg painting.jpg -o result.png
      stylize transfer photo.jpg painting.jpg --preset bold --size 1024
      stylize dream photo.jpg --preset eyes
      stylize info result.png
    """


def main() -> NoReturn:
    """The program's entry point."""
    cli.main()
    raise AssertionError("unreachable: the group exits")
