"""The bench of the speech route: what it sends, and how it judges itself."""

import msgspec
import pytest

from deploy.bench.speech import BOUND_MS, FLAC, SECONDS, WAV, SpeechBench, Timed, recordings
from speech.features import to_speech, warnings


@pytest.mark.parametrize("kind", [WAV, FLAC])
def test_it_sends_ten_seconds_in_which_somebody_sounds(kind: str) -> None:
    file, media = recordings()[kind]
    speech = to_speech(file)
    assert speech.seconds == pytest.approx(SECONDS, abs=1e-3)
    assert warnings(speech) == ()
    assert media.startswith("audio/")


def test_the_slowest_file_is_held_to_the_bound() -> None:
    fast, slow = (Timed(p50=p50, p95=p50, calls=9) for p50 in (BOUND_MS - 60, BOUND_MS + 0.5))
    made = SpeechBench(
        machine="m", model="speech-emotion@1", seconds=SECONDS, http={WAV: fast, FLAC: fast}, stages={"graph": fast},
        batch_ratio=0.9, bound_ms=BOUND_MS,
    )  # fmt: skip
    assert made.met
    assert "met: 90.0 ms" in made.table()
    missed = msgspec.structs.replace(made, http={WAV: fast, FLAC: slow})
    assert not missed.met
    assert "MISSED: 150.5 ms" in missed.table()
