"""The ``Ask`` of a report: it only looks up."""

from contracts.llm import ChatRequest, Profile, Reply
from llm_studies.llm.ask import Missing
from llm_studies.llm.journal import Index
from llm_studies.llm.keys import Keys


class Replay:
    """Replies of a journal."""

    def __init__(self, profile: Profile, index: Index) -> None:
        self._keys, self._index = Keys(profile), index

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        """Raises Missing when the call has no reply."""
        row = self._index.find(self._keys(request, repeat))
        if row is None or row.reply is None:
            raise Missing("a reply is missing; run the study to its end first")
        return row.reply
