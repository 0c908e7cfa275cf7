"""Settings that keep a part of a photo."""

from __future__ import annotations

from typing import Protocol

from stylize.errors import SettingError

# What leaves a part of the photo as it is, in any technique.
KEEP = "keep"

# Finds the subject.
NETWORK = "vgg16"


class SubjectSettings(Protocol):
    """Settings that tell the subject of a photo from its background."""

    @property
    def subject(self) -> str | None:
        """What becomes of the subject; None if nothing is said."""

    @property
    def background(self) -> str | None:
        """What becomes of everything else."""


def kept_part(settings: SubjectSettings) -> str | None:
    """The part of the photo that stays as it is: ``subject`` or ``background``; None for neither.

    Where only one of the two is set, the other is the opposite.

    Raises:
        SettingError: the same for both.
    """
    subject, background = settings.subject, settings.background
    if subject is not None and subject == background:
        raise SettingError(
            f"--subject and --background are both '{subject}'",
            hint="they must differ; leave one of them out",
        )
    if subject is not None:
        return "subject" if subject == KEEP else "background"
    if background is not None:
        return "background" if background == KEEP else "subject"
    return None
