"""``stylize studio``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from threading import Thread
from types import FrameType

import click

from stylize.cli.help import Command, option
from stylize.cli.messages import INTERRUPTED, TERMINATED, echo
from stylize.errors import SettingError
from stylize.settings.fields import Group

_HOST = "127.0.0.1"


@click.command(cls=Command)
@click.argument(
    "folder", default="stylize-studio", type=click.Path(file_okay=False, path_type=Path)
)
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    metavar="N",
    group=Group.EXECUTION,
    everyday=True,
    help="Port to listen on; 0 takes any that is free.  [8765]",
)
@option(
    "--no-browser",
    is_flag=True,
    group=Group.EXECUTION,
    everyday=True,
    help="Only print the address of the page.",
)
@option(
    "--host",
    default=_HOST,
    metavar="ADDRESS",
    group=Group.EXECUTION,
    help="Address to listen on; any but 127.0.0.1 needs --token.  [127.0.0.1]",
)
@option(
    "--token",
    metavar="TEXT",
    group=Group.EXECUTION,
    help="Token that the page and programs send.  [a random one for each FOLDER]",
)
def studio(folder: Path, port: int, no_browser: bool, host: str, token: str | None) -> int:
    """Open a local page on which you see the painting grow.

    \b
    Examples:
      stylize studio
      stylize studio ~/Pictures/paintings --port 9000
      stylize studio --no-browser

    Results are saved in FOLDER, by default ./stylize-studio. Ctrl-C ends the server; the queue
    continues when it is started again. docs/studio.md describes the page and its HTTP API.
    """
    from stylize.cli.output import opened_on_desktop
    from stylize.studio.security import is_token
    from stylize.studio.server import require_libraries, serve

    require_libraries()
    if token is not None and not is_token(token):
        raise SettingError(
            "--token: use 16 to 200 letters, digits, - and _", hint="a short one can be guessed"
        )
    if host not in (_HOST, "localhost", "::1") and token is None:
        raise SettingError(
            f"--host {host} lets other machines in", hint="give a secret with --token"
        )

    def end(number: int, frame: FrameType | None) -> None:
        # The server has ended what it was doing when this is called.
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, end)

    def on_start(address: str) -> None:
        echo(address)
        sys.stdout.flush()
        if not no_browser:
            # It waits for the opener, and the server has to answer meanwhile.
            Thread(target=opened_on_desktop, args=(address,), daemon=True).start()

    serve(folder, host=host, port=port, token=token, on_start=on_start)
    return INTERRUPTED  # it was, even where Ctrl-C is ignored and raises nothing
