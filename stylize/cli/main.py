"""The group of all commands, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

from stylize.cli.help import LazyGroup
from stylize.cli.messages import (
    INTERRUPTED,
    advised,
    emit_error,
    explain,
    prepare_streams,
    say,
    unforeseen,
)
from stylize.cli.process import prepare_environment
from stylize.errors import InterruptedRunError, StylizeError
from stylize.version import __version__

# The summary of each command, by heading. The module of a command has its name.
COMMANDS = {
    "Make pictures": {
        "transfer": "Paint a photo in the style of one or several images.",
        "dream": "Amplify whatever a network sees in a photo (DeepDream).",
        "video": "Paint a clip, or dream on it, without flicker.",
        "tunnel": "Make a DeepDream film: an endless zoom.",
        "batch": "Process whole folders of photos or clips.",
        "studio": "Open a local page on which you see the painting grow.",
    },
    "Choose and repeat": {
        "explore": "Make contact sheets to choose from.",
        "replay": "Make a picture again from the recipe inside it.",
        "resume": "Continue a run that was stopped.",
        "presets": "List and show presets.",
        "info": "Show the recipe inside a picture.",
    },
    "Look inside": {
        "inspect": "See what the network sees.",
        "layers": "List the layers and what a dream there looks like.",
        "models": "List, check and add networks.",
        "help": "Show the help of a command.",
    },
}

# What users often want, and what to type.
WISHES = {
    "more style": "stylize transfer photo.jpg style.jpg --strength 70",
    "broader strokes": "stylize transfer photo.jpg style.jpg --style-size 1024",
    "keep the face": "stylize transfer photo.jpg style.jpg --mask face.png=keep",
    "choose by eye": "stylize explore transfer photo.jpg style.jpg",
    "again, larger": "stylize replay result.png --size 2048 --enlarge",
    "again, changed": "stylize replay result.png --set strength=70",
    "other photo": "stylize replay result.png --content other.jpg",
    "Tab completion": 'eval "$(_STYLIZE_COMPLETE=bash_source stylize)"',
}

EPILOG = (
    "Exit codes: 0 done, 1 a file could not be read or written, or a run failed, 2 wrong usage,"
    " 130 interrupted, 143 terminated."
)


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
        open_closed_streams()
        extra.setdefault("obj", words)
        if "_STYLIZE_COMPLETE" in os.environ:
            import stylize.cli.completion  # noqa: F401 (registers the scripts of the shells)
        if os.environ.get("NO_COLOR"):
            extra.setdefault("color", False)

        def call() -> Any:
            return super(Commands, self).main(
                words, prog_name or "stylize", complete_var, standalone_mode=False, **extra
            )

        return guarded(call, words) if standalone_mode else call()


def open_closed_streams() -> None:
    """Give a process that was started with a closed stdout or stderr one that goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


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
        fail(error, words, error.exit_code)
    except StylizeError as error:
        explain(error, str(error), words)
        fail(error, words, error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        say("stylize: interrupted")
        fail(InterruptedRunError("interrupted"), words, INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        explain(error, unforeseen(error), words)
        fail(error, words, 1)


def fail(error: Exception, words: Sequence[str], code: int) -> NoReturn:
    """Exit after an error, which has been explained to people."""
    emit_error(error, words, code)
    sys.exit(code)


@click.group(
    cls=Commands,
    package="stylize.cli",
    sections=COMMANDS,
    wishes=WISHES,
    epilog=EPILOG,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "STYLIZE",
        "max_content_width": 100,
    },
)
@click.version_option(
    __version__, "-V", "--version", prog_name="stylize", help="Show the version and exit."
)
def cli() -> None:
    """Paint a photo in the style of any picture, or let a network dream on it.

    \b
    Examples:
      stylize transfer photo.jpg style.jpg
      stylize transfer photo.jpg style.jpg --preset bold --size 1024 -o result.png
      stylize dream photo.jpg --preset eyes

    'stylize help COMMAND' or 'stylize COMMAND --help' shows the options of a command.
    """


def main() -> NoReturn:
    """The program's entry point."""
    prepare_environment()
    prepare_streams()
    cli.main()
    raise AssertionError("unreachable: the group exits")
