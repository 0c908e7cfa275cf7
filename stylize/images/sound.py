"""The sound of a clip: copy it into another file, or encode it again, without its own file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

# Codecs that a container takes as they are, by FFmpeg's names, and the encoder for all others.
_TAKEN = {
    "mp4": ({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"}, "aac"),
    "webm": ({"opus", "vorbis"}, "libopus"),
}

_OPUS_HZ = 48_000  # of which Opus knows few others


@dataclass(frozen=True)
class Sound:
    """An interval of the sound of a file.

    Attributes:
        path: the file.
        format: FFmpeg's name of its container.
        start, end: in s, in the time of the file; a start of None takes all from the beginning.
        first: time in the file that becomes 0.
    """

    path: Path
    format: str
    start: Fraction | None
    end: Fraction | None
    first: Fraction


def is_copied(container: str, codec: str) -> bool:
    """Return whether a container takes a codec as it is."""
    return codec in _TAKEN[container][0]


def encoder_for(container: str) -> str:
    """Return the codec of sound that is encoded again, as people call it."""
    return {"aac": "AAC", "libopus": "Opus"}[_TAKEN[container][1]]


def codec_of(stream: Any) -> str:
    """Return the codec of a stream, by FFmpeg's name."""
    return str(stream.codec_context.codec.canonical_name)


def sound_stream(container: Any) -> Any:
    """Return the best stream of sound whose codec PyAV reads; None if there is none."""
    best = container.streams.best("audio")
    known = (each for each in container.streams.audio if each.codec_context is not None)
    return best if best is not None and best.codec_context is not None else next(known, None)


def _rate_for(encoder: Any, rate: int) -> int:
    """Return the least rate in Hz that an encoder takes and that loses nothing, or its highest."""
    taken: list[int] = sorted(encoder.audio_rates or [rate])
    return next((each for each in taken if each >= rate), taken[-1])


def seek(container: Any, stream: Any, time: Fraction) -> None:
    """Go to a time in a file, in s, or a little earlier."""
    try:
        container.seek(int(time / stream.time_base), stream=stream)
    except OSError:  # there is no earlier key frame
        container.seek(0)


class Track:
    """The sound of a clip on its way into a file that is being written.

    Args:
        av: PyAV.
        film: the file, to which nothing was written yet.
        sound: what to write.
    """

    def __init__(self, av: Any, film: Any, sound: Sound) -> None:
        self._film, self._sound = film, sound
        self._file = sound.path.open("rb")
        try:
            self._source = av.open(self._file, "r", format=sound.format, metadata_errors="replace")
            stream = sound_stream(self._source)
            if is_copied(film.format.name, codec_of(stream)):
                self._packets = self._copied(stream)
            else:
                self._packets = self._encoded(av, stream)
            self._next = next(self._packets, None)
        except BaseException:
            self._file.close()
            raise

    def write_until(self, time: Fraction) -> None:
        """Write what is heard before a time, in s."""
        while self._next is not None and self._next[0] < time:
            self._film.mux(self._next[1])
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Write the rest, and close the source."""
        while self._next is not None:
            self._film.mux(self._next[1])
            self._next = next(self._packets, None)
        self._source.close()
        self._file.close()

    def _wanted(self, stream: Any) -> Iterator[Any]:
        """The packets of the interval, within one packet."""
        start, end = self._sound.start, self._sound.end
        if start is not None:
            seek(self._source, stream, start)
        for packet in self._source.demux(stream):
            if packet.pts is None:
                continue
            time = packet.pts * stream.time_base
            if start is not None and time < start:
                continue
            if end is not None and time >= end:
                return
            yield packet

    def _copied(self, stream: Any) -> Iterator[tuple[Fraction, Any]]:
        copy = self._film.add_stream_from_template(stream)

        def packets() -> Iterator[tuple[Fraction, Any]]:
            shift = round(self._sound.first / stream.time_base)
            for packet in self._wanted(stream):
                packet.pts -= shift
                packet.dts = packet.pts
                packet.stream = copy
                yield packet.pts * packet.time_base, packet

        return packets()

    def _encoded(self, av: Any, stream: Any) -> Iterator[tuple[Fraction, Any]]:
        name = _TAKEN[self._film.format.name][1]
        rate = stream.codec_context.sample_rate
        rate = _OPUS_HZ if name == "libopus" else _rate_for(av.Codec(name, "w"), rate)
        new = self._film.add_stream(name, rate=rate)
        new.codec_context.layout = "mono" if stream.codec_context.channels == 1 else "stereo"
        new.codec_context.open()

        def packets() -> Iterator[tuple[Fraction, Any]]:
            context = new.codec_context
            resampler = av.AudioResampler(
                format=context.format,
                layout=context.layout,
                rate=rate,
                frame_size=context.frame_size,
            )
            for frame in self._samples(av, stream):
                for each in resampler.resample(frame):
                    yield from self._timed(new.encode(each))
            for each in resampler.resample(None):
                yield from self._timed(new.encode(each))
            yield from self._timed(new.encode(None))

        return packets()

    def _samples(self, av: Any, stream: Any) -> Iterator[Any]:
        """The decoded sound, in the time of the new file; what is damaged is left out."""
        for packet in self._wanted(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                if frame.pts is not None:
                    frame.pts -= round(self._sound.first / frame.time_base)
                yield frame

    @staticmethod
    def _timed(packets: list[Any]) -> Iterator[tuple[Fraction, Any]]:
        for packet in packets:
            yield packet.pts * packet.time_base, packet
