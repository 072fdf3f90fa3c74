"""Who is asked about which text and shown what: a study file and a corpus, turned into requests."""

import hashlib
from collections.abc import Collection, Mapping
from copy import copy
from functools import cached_property
from pathlib import Path

from common.errors import OperatorError
from contracts.llm import ChatRequest
from llm_studies.icl_priors.conditions import OWN, Run, prompt_runs
from llm_studies.icl_priors.config import Config
from llm_studies.icl_priors.data import LOADERS, goemotions_demos, with_rationales
from llm_studies.icl_priors.demos import Demo, choose, labelled, pool, reasons_exchanged
from llm_studies.icl_priors.generated import Sizes, generate
from llm_studies.icl_priors.items import AGGREGATE, Corpus, Item, Vector, shared_by, text_digest
from llm_studies.icl_priors.nearest import Nearest
from llm_studies.icl_priors.prompts import Form, request


def load(config: Config, data: Path | None) -> Corpus:
    """The study's data set, cut down to what its annotators share. Raises OperatorError as the loaders do."""
    settings = config.data
    if settings.name == "generated":
        sizes = settings.generated
        corpus = generate(sizes.seed, Sizes(sizes.train, sizes.dev, sizes.test))
    else:
        corpus = LOADERS[settings.name](data)
        if settings.name == "goemotions" and any(one.startswith("cot") for one in config.grid.conditions):
            corpus = with_rationales(corpus, goemotions_demos(data))
    return shared_by(corpus, settings.annotators)


class Design:
    """Raises OperatorError when splits overlap, no query is left, or there are too few texts to show."""

    def __init__(self, config: Config, corpus: Corpus) -> None:
        self.config, self.corpus = config, corpus
        self.form = Form(corpus.labels, corpus.header, corpus.task)
        self.queries = self._avoided = queries(config, corpus)
        self._pools: dict[tuple[str, str, bool], tuple[Item, ...]] = {}
        self._nearest: dict[tuple[str, bool], Nearest] = {}
        self._fixed: dict[Run, tuple[Item, ...]] = {}

    def restricted(self, ids: Collection[str], config: Config) -> "Design":
        """The same prompts for fewer queries: what they show still avoids every query of the whole study."""
        part = copy(self)
        vars(part).pop("shown", None)
        part.config = config
        part.queries = tuple(item for item in self.queries if item.id in ids)
        return part

    @cached_property
    def shown(self) -> tuple[Item, ...]:
        """Every text that a prior prompt shows, once."""
        shown = {item.id: item for run in prompt_runs(self.config.grid) for item in self.chosen(run)}
        return tuple(shown.values())

    def texts(self, run: Run) -> tuple[Item, ...]:
        """What a run labels: the queries, and for the own priors also what prior prompts show."""
        return (*self.queries, *self.shown) if run.condition == OWN else self.queries

    def request(self, run: Run, item: Item, predictions: Mapping[str, Vector] | None = None) -> ChatRequest:
        """``predictions``: the supplier's, by id, for a prior prompt."""
        grid, reasons = self.config.grid, run.kind.reasons
        limit = grid.cot_max_tokens if reasons else grid.max_tokens
        demos = self.demos(run, item, predictions)
        return request(self.form, demos, item.text, reasons=reasons, max_tokens=limit)

    def demos(self, run: Run, item: Item, predictions: Mapping[str, Vector] | None = None) -> tuple[Demo, ...]:
        """What is shown before ``item``; but for similarity retrieval the same for every item."""
        if self.config.grid.retrieval == "similar" and run.kind.labelling == "true":
            chosen = self._near(run).choose(item.text, run.shots)
        else:
            chosen = self.chosen(run)
        candidates = self.candidates(run)
        found = labelled(chosen, run.kind.labelling, run.annotator, candidates, run.label_seed, predictions)
        return reasons_exchanged(found, run.seed) if run.kind.exchanged else found

    def chosen(self, run: Run) -> tuple[Item, ...]:
        """The texts that a run shows."""
        if run not in self._fixed:
            self._fixed[run] = choose(self.candidates(run), run.shots, run.seed)
        return self._fixed[run]

    def candidates(self, run: Run) -> tuple[Item, ...]:
        """What a run may show: never the text of a query, nor, for own priors, of anything shown elsewhere."""
        third = run.condition == OWN
        key = (self.config.data.third if third else self.config.data.demos, run.annotator, run.kind.reasons)
        if key not in self._pools:
            avoided = (*self._avoided, *self.corpus.split(self.config.data.demos)) if third else self._avoided
            self._pools[key] = pool(self.corpus.split(key[0]), run.annotator, avoided, rationales=run.kind.reasons)
        return self._pools[key]

    def _near(self, run: Run) -> Nearest:
        key = (run.annotator, run.kind.reasons)
        if key not in self._nearest:
            self._nearest[key] = Nearest(self.candidates(run))
        return self._nearest[key]


def queries(config: Config, corpus: Corpus) -> tuple[Item, ...]:
    """The texts to be labelled. Raises OperatorError where a split has two uses, an id is unknown, or none is left."""
    data = config.data
    third = {data.third} if prompt_runs(config.grid) else set()
    if data.demos in {*data.queries, *third} or third & set(data.queries):
        raise OperatorError(
            f"data: demos {data.demos} and queries {', '.join(data.queries)} (and third {data.third}, with "
            "prior prompts) must be different splits; correct the study file"
        )
    items = corpus.split(*data.queries)
    if data.ids is not None:
        items = named(Path(data.ids), corpus, data.demos)
    if data.strict:
        known = {text_digest(item.text) for item in corpus.split(data.demos)}
        # The first ``items`` of the split are meant first, so that a strict study is a part of the other one.
        items = tuple(item for item in items[: data.items] if text_digest(item.text) not in known)
    items = tuple(item for item in items if AGGREGATE in item.labels)[: data.items]
    if not items:
        raise OperatorError("data: no text is left to be labelled; correct queries, ids or strict in the study file")
    return items


def named(file: Path, corpus: Corpus, demos: str) -> tuple[Item, ...]:
    """The items whose ids a file lists."""
    try:
        ids = file.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"data.ids: {file} cannot be read ({error}); correct the study file") from None
    known = {item.id: item for item in corpus.items if item.split != demos}
    if stranger := next((one for one in ids if one not in known), None):
        raise OperatorError(
            f"data.ids: {file} names {stranger}, which {corpus.name} has not outside {demos}; correct it"
        )
    return tuple(known[one] for one in dict.fromkeys(ids))


def ids_digest(items: tuple[Item, ...]) -> str:
    """Of the ids of the texts that are labelled, in order."""
    return hashlib.sha256("\n".join(item.id for item in items).encode()).hexdigest()
