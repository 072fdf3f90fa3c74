"""What the bytes of a sound file tell before a codec sees them: which format it is, and whether its end is missing."""

_OGG_HEADER = 27
_UNKNOWN_SIZE = 0x7FFF_0000
"""A writer that cannot go back states at least this."""


def known(data: bytes) -> bool:
    """Whether the first bytes are those of a format that is taken; nothing else reaches a decoder."""
    if data[:4] == b"RIFF":
        return data[8:12] == b"WAVE"
    # An MPEG audio frame: 11 set bits, and a layer other than 0 (which AAC has).
    frame = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 0x06 != 0
    return data[:4] in (b"fLaC", b"OggS") or data[:3] == b"ID3" or frame


def cut_off(data: bytes) -> str:
    """How a WAV or Ogg file shows that its end is missing, or nothing: their decoders take it for a shorter clip.

    An Ogg file cut exactly between two pages does not show it.
    """
    if data[:4] == b"RIFF" and (lacking := _lacking_wav(data)) > 0:
        return f"its data chunk lacks {lacking} bytes"
    if data[:4] == b"OggS" and (lacking := _lacking_ogg(data)) > 0:
        return f"its last page lacks {lacking} bytes"
    return ""


def _lacking_wav(data: bytes) -> int:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return at + 8 + size - len(data) if size < _UNKNOWN_SIZE else 0
        at += 8 + size + size % 2
    return 0


def _lacking_ogg(data: bytes) -> int:
    at = 0
    while data[at : at + 4] == b"OggS":
        if at + _OGG_HEADER > len(data):
            return at + _OGG_HEADER - len(data)
        body = at + _OGG_HEADER + data[at + _OGG_HEADER - 1]  # behind a table of as many lengths
        at = body + sum(data[at + _OGG_HEADER : body])
    return at - len(data)
