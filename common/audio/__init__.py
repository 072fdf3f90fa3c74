"""From a sound file to numbers: decode, mix to mono, resample, cut into windows. Trainer and server share this."""

from common.audio.decode import Audio, decode, decode_at
from common.audio.window import windows

__all__ = ["Audio", "decode", "decode_at", "windows"]
