"""Models of Hugging Face and timm, unchanged: random weights, no download."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lazaretto.activations import capture

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
LENGTHS = [9, 4, 7, 1, 9]


def tokens(padding: int = 0) -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 90, (5, 9), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(9) < torch.tensor(LENGTHS)[:, None]).long()
    return {"input_ids": ids.where(mask == 1, padding), "attention_mask": mask}


def bert(transformers):
    config = transformers.BertConfig(**SMALL, intermediate_size=32, vocab_size=100)
    return transformers.BertForSequenceClassification(config), "bert.encoder.layer.*"


def distilbert(transformers):
    config = transformers.DistilBertConfig(
        dim=16, n_layers=2, n_heads=2, hidden_dim=32, vocab_size=100
    )
    model = transformers.DistilBertForSequenceClassification(config)
    return model, "distilbert.transformer.layer.*"


def gpt2(transformers):
    config = transformers.GPT2Config(
        n_embd=16,
        n_layer=2,
        n_head=2,
        vocab_size=100,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return transformers.GPT2ForSequenceClassification(config), "transformer.h.*"


def llama(transformers):
    config = transformers.LlamaConfig(
        **SMALL, intermediate_size=32, vocab_size=100, pad_token_id=0, num_key_value_heads=1
    )
    return transformers.LlamaForSequenceClassification(config), "model.layers.*"


def t5(transformers):
    config = transformers.T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, vocab_size=100
    )
    return transformers.T5EncoderModel(config), "encoder.block.*"


@pytest.mark.parametrize("make", [bert, distilbert, gpt2, llama, t5])
def test_texts_of_hugging_face_models_do_not_see_their_padding(make):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model, layers = make(transformers)
    encoded = transformers.BatchEncoding({**tokens(), "label": torch.ones(5)})
    for how in ("mean", "max"):
        got = capture(model, encoded, layers=layers, pooling=how, batch_size=3)
        assert [len(name.split(".")) for name in got] == [len(layers.split("."))] * 2
        other = capture(model, tokens(padding=3), layers=layers, pooling=how)
        for row, length in enumerate(LENGTHS):
            alone = {name: value[row : row + 1, :length] for name, value in tokens().items()}
            single = capture(model, alone, layers=layers, pooling=how)
            for name, values in got.items():
                np.testing.assert_allclose(other[name][row], values[row], rtol=1e-3, atol=1e-5)
                np.testing.assert_allclose(single[name][0], values[row], rtol=1e-3, atol=1e-5)
    low = capture(model, tokens(), layers=layers, precision="bfloat16")
    full = capture(model, tokens(), layers=layers)
    for name, values in low.items():
        assert 0 < np.abs(values - full[name]).max() < 0.1 * np.abs(full[name]).max()


def test_the_default_layer_is_what_the_classifier_reads():
    transformers = pytest.importorskip("transformers")
    model, _ = bert(transformers)
    model.eval()
    with torch.no_grad():
        want = model.bert(**tokens()).pooler_output
    np.testing.assert_allclose(capture(model, tokens())["penultimate"], want, atol=1e-6)


def test_an_encoder_and_its_decoder_have_masks_of_their_own():
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=100
    )
    model = transformers.T5ForConditionalGeneration(config)

    def run(answer: torch.Tensor) -> np.ndarray:
        batch = {
            **tokens(),
            "decoder_input_ids": answer,
            "decoder_attention_mask": (answer > 0).long(),
        }
        return capture(model, batch, layers=["encoder.block.*", "decoder.block.*"])

    a = run(torch.tensor([[5, 6, 7]] * 5))
    b = run(torch.tensor([[5, 6, 7, 0, 0, 0]] * 5))
    for name in ("encoder.block.0", "decoder.block.0"):
        np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=1e-5)


def test_images_through_a_vision_transformer_of_hugging_face():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(**SMALL, intermediate_size=32, image_size=16, patch_size=4)
    model = transformers.ViTForImageClassification(config).eval()
    images = torch.randn(5, 3, 16, 16)
    with torch.no_grad():
        want = model.vit(images).last_hidden_state[:, 0]
    for data in (images, {"pixel_values": images, "label": torch.ones(5)}):
        got = capture(model, data, layers=["vit", "penultimate"], pooling="cls", batch_size=2)
        np.testing.assert_allclose(got["vit"], want, atol=1e-5)
        np.testing.assert_allclose(got["penultimate"], want, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layers", "widths"),
    [
        ("resnet18", "layer*", [64, 128, 256, 512]),
        ("vit_tiny_patch16_224", "blocks.1?", [192, 192]),
        ("swin_tiny_patch4_window7_224", "layers.*", [96, 192, 384, 768]),
        ("convnext_atto", "stages.*", [40, 80, 160, 320]),
    ],
)
def test_layers_of_timm_models_have_a_vector_of_their_features(name, layers, widths):
    timm = pytest.importorskip("timm", exc_type=(ImportError, RuntimeError))
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=3).eval()
    images = torch.randn(2, 3, 224, 224)
    got = capture(model, images, layers=[layers, "penultimate"], batch_size=1)
    with torch.no_grad():
        want = model.forward_head(model.forward_features(images), pre_logits=True)
    np.testing.assert_allclose(got.pop("penultimate"), want, rtol=1e-3, atol=1e-4)
    assert [values.shape[1] for values in got.values()] == widths
