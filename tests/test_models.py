"""Shapes, ranges and sizes of the encoder and its mirror."""

import pytest
import torch
from torch import nn

from metriclearn.models import Autoencoder, Decoder, Encoder, count_parameters, halved_sizes

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 105, 105), (1, 27, 41), (2, 64, 9), (1, 1, 1), (3, 8, 5), (17,), (1,)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@every_shape
@pytest.mark.parametrize("dim", [2, 32])
def test_shapes_and_range(shape, dim):
    x = torch.rand(3, *shape)
    model = Autoencoder(shape, dim)
    code = model.encoder(x)
    assert code.shape == (3, dim)
    assert code.dtype == torch.float32
    reconstruction = model(x)
    assert reconstruction.shape == x.shape
    assert reconstruction.min() >= 0
    assert reconstruction.max() <= 1
    torch.testing.assert_close(model.eval()(x), model.decoder(model.encoder(x)))


@every_shape
def test_embeddings_have_unit_length(shape):
    encoder = Encoder(shape, 8).eval()
    x = torch.rand(5, *shape)
    embeddings = encoder.embed(x)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(5))
    code = encoder(x)
    torch.testing.assert_close(embeddings * code.norm(dim=1, keepdim=True), code)


@every_shape
def test_a_single_image_can_be_embedded(shape):
    encoder = Encoder(shape, 4).eval()
    x = torch.rand(3, *shape)
    torch.testing.assert_close(encoder.embed(x[:1]), encoder.embed(x)[:1])


def test_sizes_told_in_the_module():
    assert halved_sizes((1, 28, 28)) == [(28, 28), (14, 14), (7, 7), (4, 4)]
    seen = []
    encoder = Encoder((1, 28, 28), 32)
    for layer in encoder.body:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda *given: seen.append(tuple(given[2].shape[1:])))
    encoder(torch.rand(2, 1, 28, 28))
    assert seen == [(32, 14, 14), (64, 7, 7), (128, 4, 4)]


def test_number_of_parameters_by_hand():
    convolutions = 9 * (1 * 32 + 32 * 64 + 64 * 128)
    batch_norms = 2 * (32 + 64 + 128)
    head = 128 * 4 * 4 * 32 + 32
    encoder = Encoder((1, 28, 28), 32)
    assert count_parameters(encoder) == convolutions + batch_norms + head
    encoder.head.weight.requires_grad_(False)
    assert count_parameters(encoder) == convolutions + batch_norms + 32


def test_rows_get_a_small_dense_network():
    encoder = Encoder((17,), 5)
    assert count_parameters(encoder) == (17 * 128 + 128) + 2 * 128 + (128 * 5 + 5)
    assert not any(isinstance(layer, nn.Conv2d) for layer in encoder.modules())


@every_shape
def test_every_weight_learns(shape):
    torch.manual_seed(0)
    model = Autoencoder(shape, 6)
    # Squared to a random picture: a plain sum would have a slope of zero behind a batch norm.
    (model(torch.rand(4, *shape)) - torch.rand(4, *shape)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@every_shape
def test_the_decoder_stands_alone(shape):
    assert Decoder(shape, 6).eval()(torch.randn(2, 6)).shape == (2, *shape)


def test_different_images_have_different_embeddings():
    torch.manual_seed(0)
    embeddings = Encoder((1, 28, 28), 32).eval().embed(torch.rand(6, 1, 28, 28))
    assert torch.pdist(embeddings).min() > 1e-3
