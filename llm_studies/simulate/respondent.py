"""The simulated respondent (icl_priors.md 10): a model of known prior, pull, noise and manners, which reads its prompt.

The pull model of icl_priors.md 8.3, per cell (text x label), z the latent prior:

    destroyed mapping:    answer = z, missed with eps1, falsely reported with eps0, anew for every set of demonstrations
    informative mapping:  answer = z with probability kappa, else what the demonstrations teach

They teach the labels of the annotator whom they agree with best, or the lexicon's with the habits that they show.
"""

from functools import lru_cache

from llm_studies.simulate import lexicon, manners
from llm_studies.simulate.config import Respondent
from llm_studies.simulate.gold import Gold, Labels
from llm_studies.simulate.icl_prompt import Demo, Task, read
from llm_studies.simulate.listening import Bit, Heard, listen
from llm_studies.simulate.mind import Prompt, babble, digest, uniform


class SimulatedRespondent:
    """The mind of a configuration. Without gold, or for a text that it lacks, the lexicon is the truth."""

    def __init__(self, config: Respondent, gold: Gold | None = None) -> None:
        gold = gold or Gold({})
        self._config = config
        self._true = _bit(gold.of(config.prior_of))
        self._voices: tuple[Bit, ...] = (*map(_bit, gold.voices.values()), lexicon.truth, self.prior)
        self._hear = lru_cache(maxsize=1024)(self._listen)

    def __call__(self, prompt: Prompt) -> str:
        task = read(prompt.question, self._config.labels)
        if task is None:
            return babble(prompt)
        about = digest(self._config.seed, prompt.question, prompt.draw)
        return manners.say(task, self.answer(task, prompt.draw), self._config.format, about)

    def prior(self, text: str, label: str) -> bool:
        """z: a noisy copy of the truth, the same for every prompt."""
        true = self._true(text, label)
        return true ^ self._luck("prior", text, label, self._config.prior_miss if true else self._config.prior_false)

    def answer(self, task: Task, draw: str = "") -> tuple[str, ...]:
        """The labels given to the query, in the order of the label set."""
        heard = self._hear(task.demos, task.labels)
        run = digest(draw, *((demo.text, sorted(demo.labels)) for demo in task.demos))
        if heard.voice is None:
            return tuple(label for label in task.labels if self._proxy(run, task.query, label))
        follow = self._config.fidelity * len(task.demos) / (len(task.demos) + self._config.half_shots)
        return tuple(label for label in task.labels if self._posterior(heard, follow, run, task.query, label))

    def _proxy(self, run: str, text: str, label: str) -> bool:
        z = self.prior(text, label)
        return z ^ self._luck(f"proxy {run}", text, label, self._config.eps1 if z else self._config.eps0)

    def _posterior(self, heard: Heard, follow: float, run: str, text: str, label: str) -> bool:
        if self._luck(f"pull {run}", text, label, self._config.kappa):
            return self.prior(text, label)
        if heard.voice is None or not self._luck(f"follow {run}", text, label, follow):
            return self._luck(f"guess {run}", text, label, heard.rate[label])
        bit = heard.voice(text, label)
        return bit ^ self._luck("habit", text, label, heard.under[label] if bit else heard.over[label])

    def _luck(self, what: str, text: str, label: str, chance: float) -> bool:
        return uniform(self._config.seed, what, text, label) < chance

    def _listen(self, demos: tuple[Demo, ...], labels: tuple[str, ...]) -> Heard:
        return listen(demos, labels, self._voices, self._config.informed)


def _bit(labels: Labels) -> Bit:
    return lambda text, label: label in labels[text] if text in labels else lexicon.truth(text, label)
