"""Labels that running text affirms: whole words outside the window of a negation (specification, section 3, rule 4)."""

import re

from llm_studies.icl_priors.vocabulary import Vocabulary

WINDOW = 3
"""Words after a negation that it reaches; labels and the words that join them do not use it up."""
NEGATIONS = frozenset(
    ["no", "not", "without", "never", "neither", "nor", "none", "lack", "lacks", "lacking", "absence", "cannot",
     "nothing", "hardly", "absent", "rather than", "instead of", "free of", "free from", "devoid of", "isn't",
     "doesn't", "don't", "aren't", "wasn't", "can't", "won't", "didn't", "isnt", "doesnt", "dont"]
)  # fmt: skip
RESETS = frozenset(["but", "however", "instead", "rather", "although", "though", "yet", "except", "because"])
JOINS = frozenset(["or", "nor", "and", "any", "of", "the", "a", "an", ",", "/"])
EMPHASIS = frozenset(["only", "just", "merely", "simply"])
"""After "not": more is to come, nothing is denied."""
PHRASES = re.compile(r"\b(rather than|instead of|free of|free from|devoid of)\b", re.IGNORECASE)
TOKEN = re.compile(r"<\d+>|[\w'-]+(?:~\w+)?|[.;!?:\n,/]")


def affirmed(text: str, words: Vocabulary) -> set[int]:
    """Places of the labels that the text affirms."""
    text = text.replace("’", "'").replace("<", " ").replace(">", " ")
    places = {**words.alias, **words.exact}
    marked = words.words.sub(lambda m: f" <{places[m[0].lower()]}> ", text)
    tokens = TOKEN.findall(PHRASES.sub(lambda m: m[0].replace(" ", "~"), marked).lower())
    found: set[int] = set()
    left = 0
    for at, token in enumerate(tokens):
        if token[0] == "<":
            if not left:
                found.add(int(token[1:-1]))
        elif token.replace("~", " ") in NEGATIONS:
            left = 0 if at + 1 < len(tokens) and tokens[at + 1] in EMPHASIS else WINDOW
        elif token in RESETS or token in ".;!?:\n" or (token == "," and not _goes_on(tokens[at + 1 :])):
            left = 0
        elif token not in JOINS:
            left = max(0, left - 1)
    return found


def _goes_on(rest: list[str]) -> bool:
    """A comma inside "no anger, fear or joy": what is denied is listed up to an "or"."""
    for token in rest:
        if token in ("or", "nor"):
            return True
        if token[0] != "<" and token != ",":
            return False
    return False
