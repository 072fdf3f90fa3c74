"""A mind asked in this process: the same answers as over HTTP, without a server."""

from contracts.llm import ChatRequest, Reply, Usage
from llm_studies.simulate.mind import Mind, Prompt, draw, end, prompt_tokens, tokens


class SimulatedAsk:
    """An ``Ask``. As over HTTP the seed decides alone; where a request has none, the repeat stands for chance."""

    def __init__(self, mind: Mind) -> None:
        self._mind = mind

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        seed = f"repeat {repeat}" if request.seed is None else request.seed
        text = self._mind(Prompt(request.messages, draw(request.temperature, seed)))
        said = end(text, request.stop, request.max_tokens)
        usage = Usage(prompt_tokens=prompt_tokens(request.messages), completion_tokens=len(tokens(said.text)))
        return Reply(text=said.text, finish=said.finish, usage=usage, model="simulated")
