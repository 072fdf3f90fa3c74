"""A small lexicon: what the respondent takes for the truth about a text that no gold table knows.

Words were chosen for this file. A label that is not listed is on where its own name stands in the text.
"""

import re
from functools import lru_cache
from types import MappingProxyType

WORD = re.compile(r"[^\W_]+")
LEXICON = MappingProxyType(
    {
        "joy": "joy joyful happy happi* glad delight* cheer* fun laugh* smil* celebrat* enjoy* thrill* overjoyed amus* "
        "gleeful jubilant elated",
        "sadness": "sad sadly sadden* cry cries tear* grief griev* mourn* lonely unhappy heartbr* gloom* sorrow* "
        "miserabl* disappoint* regret*",
        "anger": "angry anger* furious rage hate hated hates annoy* irritat* insult* outrag* mad fuming "
        "resentful livid disgusted",
        "fear": "fear* afraid scar* terrif* nervous* worry worri* anxious* panic* dread* frighten* uneasy nightmare*",
        "surprise": "surpris* astonish* unexpected* sudden* wow amaz* shock* unbeliev* startl* curious puzzl* stunned "
        "baffl* bewilder*",
        "love": "love* ador* beloved affection* cherish* darling sweetheart",
        "optimism": "hope hoped hopes hopeful* hoping optimis* confident* eager* encourag* upbeat promising expectant "
        "reassur*",
        "pessimism": "hopeless* pessimis* doom* pointless bleak",
        "admiration": "admir* impress* respect* proud* brilliant* prais* thank* grateful* inspir* awestruck appreciat*",
        "trust": "trust* reliab* honest* loyal* faith*",
        "disgust": "disgust* gross nasty rotten revolt* vile filth* stink* sicken*",
        "anticipation": "await* anticipat* expect* eager* upcoming",
        "authority": "authorit* law laws order* obey* police tradition* command*",
        "care": "care cares caring protect* help* harm* suffer* compassion* hurt* cruel*",
        "equality": "equal* discriminat* rights same",
        "loyalty": "loyal* betray* traitor* together",
        "proportionality": "deserv* earn* fair* cheat* merit* reward*",
        "purity": "pure purity sacred holy sin sins dirty degrad*",
        "hate": "hate hated hates hatred despis* vermin deport* inferior loath*",
        "aggressive": "attack* fight* kill* destroy* smash* threat*",
        "offensive": "stupid* idiot* moron* fool* trash pathetic loser*",
    }
)
"""By label; ``*`` stands for any ending."""


def truth(text: str, label: str) -> bool:
    """Whether ``label`` belongs to ``text``."""
    whole, starts = _keys(label)
    words = _words(text)
    return not whole.isdisjoint(words) or any(word.startswith(starts) for word in words)


@lru_cache(maxsize=1024)
def _keys(label: str) -> tuple[frozenset[str], tuple[str, ...]]:
    keys = LEXICON.get(label.lower(), label.lower()).split()
    return frozenset(key for key in keys if key[-1] != "*"), tuple(key[:-1] for key in keys if key[-1] == "*")


@lru_cache(maxsize=65536)
def _words(text: str) -> tuple[str, ...]:
    return tuple(WORD.findall(text.lower()))
