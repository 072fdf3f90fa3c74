"""Which words are hidden, and by what."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.features import PAD, UNKNOWN
from common.text.tokenizer import SPECIAL
from vision_nlp.acn_text.losses import drop_words, hide

VOCABULARY = 50


def batch(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.randint(len(SPECIAL), VOCABULARY, mask.shape, generator=torch.Generator().manual_seed(1))
    return torch.where(mask, ids, PAD), mask


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0.05, 0.9))
def test_a_share_of_every_text_is_hidden_and_never_the_padding(lengths: list[int], share: float) -> None:
    ids, mask = batch(lengths)
    hidden = hide(ids, mask, share, VOCABULARY)
    expected = torch.round(torch.tensor(lengths) * torch.tensor(share)).clamp(min=1)
    assert hidden.chosen.sum(1).tolist() == expected.tolist()
    assert not (hidden.chosen & ~mask).any()
    assert torch.equal(hidden.ids[~hidden.chosen], ids[~hidden.chosen])


def test_hidden_words_become_unknown_other_or_stay_in_the_published_shares() -> None:
    ids, mask = batch([400] * 300)
    hidden = hide(ids, mask, 0.15, VOCABULARY, torch.Generator().manual_seed(0))
    seen, stood = hidden.ids[hidden.chosen], ids[hidden.chosen]
    shares = {
        "unknown": (seen == UNKNOWN).double().mean(),
        "same": (seen == stood).double().mean(),
        "other": ((seen != UNKNOWN) & (seen != stood)).double().mean(),
    }
    coincidence = 0.1 / (VOCABULARY - len(SPECIAL))
    expected = {"unknown": 0.8, "same": 0.1 + coincidence, "other": 0.1 - coincidence}
    assert len(seen) == 18_000
    assert shares == pytest.approx(expected, abs=0.012)  # five standard deviations of a share of 0.1
    others = seen[(seen != UNKNOWN) & (seen != stood)]
    assert others.min() >= len(SPECIAL)
    assert len(others.unique()) == VOCABULARY - len(SPECIAL)


def test_places_are_chosen_evenly_and_the_same_generator_chooses_the_same() -> None:
    ids, mask = batch([10] * 4_000)
    hidden = hide(ids, mask, 0.3, VOCABULARY, torch.Generator().manual_seed(0))
    torch.testing.assert_close(hidden.chosen.double().mean(0), torch.full((10,), 0.3).double(), atol=0.04, rtol=0)
    again = hide(ids, mask, 0.3, VOCABULARY, torch.Generator().manual_seed(0))
    assert torch.equal(hidden.ids, again.ids)


def test_dropped_words_become_unknown_at_the_given_rate() -> None:
    ids, _ = batch([100] * 200)
    dropped = drop_words(ids, 0.25)
    changed = dropped != ids
    assert changed.double().mean() == pytest.approx(0.25, abs=0.02)
    assert (dropped[changed] == UNKNOWN).all()
    assert torch.equal(drop_words(ids, 0.0), ids)
