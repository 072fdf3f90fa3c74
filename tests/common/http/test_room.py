"""Room for uploads: by stated length, given back whatever happens."""

from types import SimpleNamespace

import pytest

from common.errors import QueueFull
from common.http.exchange import KEY
from common.http.room import Room


def request(length: str | None) -> SimpleNamespace:
    headers = {} if length is None else {b"content-length": length.encode()}
    return SimpleNamespace(scope={KEY: SimpleNamespace(headers=headers, closing=False)})


@pytest.mark.parametrize(("length", "size"), [("30", 30), ("0", 0), ("99999", 50), (None, 50), ("-1", 50), ("x", 50)])
def test_a_body_takes_what_it_states_or_the_most_that_it_may_be(length: str | None, size: int) -> None:
    room = Room(100)
    with room.held(request(length), 50):
        assert room.taken == size
    assert room.taken == 0


def test_what_does_not_fit_is_refused_and_the_room_given_back() -> None:
    room, late = Room(100), request("41")
    with room.held(request("60"), 100):
        with pytest.raises(QueueFull) as caught, room.held(late, 100):
            pytest.fail("there was no room")
        assert (caught.value.status, caught.value.retry_after, late.scope[KEY].closing) == (503, 2.0, True)
        with room.held(request("40"), 100):
            assert room.taken == 100
    with pytest.raises(ZeroDivisionError), room.held(request("100"), 100):
        _ = 1 / 0
    assert room.taken == 0
