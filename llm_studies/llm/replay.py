"""The ``Ask`` of a report: it only looks up, and adds up what it was shown."""

from contracts.llm import ChatRequest, Profile, Reply, Usage
from llm_studies.llm.ask import Missing
from llm_studies.llm.journal import Index
from llm_studies.llm.keys import Keys


class Replay:
    """Replies of a journal. Each call counts once, however often the report reads it."""

    def __init__(self, profile: Profile, index: Index) -> None:
        self._keys, self._index = Keys(profile), index
        self._seen: set[bytes] = set()
        self.prompt_tokens = self.completion_tokens = self.estimated = self.repeats = 0

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        """Raises Missing when the call has no reply."""
        key = self._keys(request, repeat)
        row = self._index.find(key)
        if row is None or row.reply is None:
            raise Missing("a reply is missing; run the study to its end first")
        if (digest := bytes.fromhex(key)) not in self._seen:
            self._seen.add(digest)
            self.prompt_tokens += row.reply.usage.prompt_tokens
            self.completion_tokens += row.reply.usage.completion_tokens
            self.estimated += row.reply.estimated
            self.repeats += bool(repeat and request.temperature == 0.0)
        return row.reply

    @property
    def calls(self) -> int:
        return len(self._seen)

    @property
    def usage(self) -> Usage:
        return Usage(prompt_tokens=self.prompt_tokens, completion_tokens=self.completion_tokens)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the replies say about how far they can be trusted."""
        found: list[str] = []
        if self.estimated:
            found.append(f"The server counted no tokens of {self.estimated} replies; theirs are estimates.")
        if self.repeats:
            found.append(
                f"{self.repeats} replies repeat a request at temperature 0: on most servers they are no new samples."
            )
        return tuple(found)
