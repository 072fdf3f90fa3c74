"""Writes a tiny random Llama with a byte-level tokenizer and a chat template: ``LLM_PYTHON tiny_model.py FOLDER``.

Its text is noise; its wire format is the real server's. ``sampling`` in the folder's name
switches sampling on in the model's own generation settings, without which ``transformers serve`` ignores temperature.
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
CONTEXT = 16384
NOISE = "fghijklmnopqrstuvwxyz,;"
"""All it says. No digit and no letter of an option, so that no reply is right by chance."""


def tokenizer() -> PreTrainedTokenizerFast:
    """One token for each byte."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *letters])}
    plain = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    plain.add_special_tokens(list(SPECIAL))
    made = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token=SPECIAL[0], pad_token=SPECIAL[0])
    made.chat_template = TEMPLATE
    made.model_max_length = CONTEXT
    return made


def main(folder: Path) -> None:
    torch.manual_seed(0)
    tokens = tokenizer()
    shape = LlamaConfig(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=CONTEXT, eos_token_id=0, pad_token_id=0, bos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(shape)
    silent = [number for token, number in tokens.get_vocab().items() if token not in NOISE]
    model.generation_config = GenerationConfig(
        do_sample="sampling" in folder.name, eos_token_id=0, pad_token_id=0, suppress_tokens=sorted(silent)
    )
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
