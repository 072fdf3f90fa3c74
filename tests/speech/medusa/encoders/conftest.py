"""Shapes in annotations are checked while these tests run; published families as tiny models with random weights."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from jaxtyping import install_import_hook
from tokenizers import Tokenizer, models, pre_tokenizers, processors

CHECKED = ("speech.medusa.encoders", "speech.medusa.model")

if not any(name.startswith(CHECKED) for name in sys.modules):
    with install_import_hook(CHECKED, "beartype.beartype"):
        import speech.medusa.encoders.pretrained
        import speech.medusa.encoders.statistics  # noqa: F401

WORDS = ("<s>", "<pad>", "</s>", "<unk>", "so", "glad", "you", "came", "never", "again")
SPEECH: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 5,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 7,
}
TEXT: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 24,
    "num_hidden_layers": 5,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
ROTARY = {kind: {"rope_type": "default", "rope_theta": 1e4} for kind in ("full_attention", "sliding_attention")}
MODERN = {"max_position_embeddings": 64, "rope_parameters": ROTARY, "cls_token_id": 0, "sep_token_id": 2}
WHISPER: dict[str, Any] = {
    "d_model": 24,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_mel_bins": 16,
    "vocab_size": 20,
    "max_source_positions": 100,
    "max_target_positions": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}
Save = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Any:
    """Sums in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Save:
    """``saved(kind, **changes)``: a folder with a model of random weights, as ``save_pretrained`` writes it."""

    def save(kind: str, seed: int = 0, normalise: bool = True, **changes: Any) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        torch.manual_seed(seed)
        settings = CONFIGURATIONS[kind](changes)
        transformers.AutoModel.from_config(settings).save_pretrained(folder)
        if kind in ("wavlm", "wavlm-large", "hubert"):
            transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise, return_attention_mask=True).save_pretrained(
                folder
            )
        elif kind == "whisper":
            transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=2).save_pretrained(folder)
        else:
            tokenizer().save_pretrained(folder)
        return folder

    return save


def tokenizer() -> Any:
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    marks = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, cls_token="<s>", sep_token="</s>", **marks)


LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
"""How the large models differ: norms over the channels of a frame, and before each layer."""
CONFIGURATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "wavlm": lambda more: transformers.WavLMConfig(**SPEECH | more),
    "wavlm-large": lambda more: transformers.WavLMConfig(**SPEECH | LARGE | more),
    "hubert": lambda more: transformers.HubertConfig(**SPEECH | more),
    "whisper": lambda more: transformers.WhisperConfig(**WHISPER | more),
    "roberta": lambda more: transformers.RobertaConfig(**TEXT | {"max_position_embeddings": 20} | more),
    "modernbert": lambda more: transformers.ModernBertConfig(**TEXT | MODERN | more),
}
