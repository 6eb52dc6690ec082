"""The Gaussian process against its formulas written out, and scipy's density of the multivariate normal."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from puffer_phc.sweeps.gaussian_process import (
    GaussianProcess,
    Kernel,
    Prior,
    covariance,
    fit,
    minimise,
    negative_log_posterior,
    pack,
    unpack,
)

NOISE_FLOOR = 1e-6


def data(seed, count, dims):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, dims, generator=generator, dtype=torch.float64)
    y = x[:, 0].sin() + 0.3 * x.sum(dim=1) + 0.1 * torch.randn(count, generator=generator, dtype=torch.float64)
    return x, y


def kernel(shape="matern32", dims=3):
    lengthscale = torch.linspace(0.5, 1.7, dims, dtype=torch.float64)
    return Kernel(lengthscale, stationary=0.8, linear=0.4, noise=0.03, constant=0.6, shape=shape)


def plain_kernel(a, b, k):
    """Element by element, as in Rasmussen and Williams, equations 4.9 and 4.17."""
    out = np.empty((len(a), len(b)))
    for i, p in enumerate(a.numpy()):
        for j, q in enumerate(b.numpy()):
            r = math.sqrt((((p - q) / k.lengthscale.numpy()) ** 2).sum())
            matern = (1 + math.sqrt(3) * r) * math.exp(-math.sqrt(3) * r)
            part = matern if k.shape == "matern32" else math.exp(-0.5 * r * r)
            out[i, j] = k.stationary * part + k.linear * (p @ q) + k.constant
    return out


@pytest.mark.parametrize("shape", ["matern32", "rbf"])
def test_posterior_is_that_of_the_formulas(shape):
    x, y = data(0, 12, 3)
    new, _ = data(1, 5, 3)
    k = kernel(shape)
    np.testing.assert_allclose(covariance(x, new, k), plain_kernel(x, new, k), atol=1e-12)
    inverse = np.linalg.inv(plain_kernel(x, x, k) + (k.noise + NOISE_FLOOR) * np.eye(12))
    cross, own = plain_kernel(new, x, k), plain_kernel(new, new, k)
    mean, variance = GaussianProcess(x, y, k).predict(new)
    np.testing.assert_allclose(mean, cross @ inverse @ y.numpy(), atol=1e-10)
    joint = own - cross @ inverse @ cross.T
    np.testing.assert_allclose(variance, np.diag(joint), atol=1e-10)
    np.testing.assert_allclose(GaussianProcess(x, y, k).posterior_covariance(new), joint, atol=1e-10)


def test_the_mean_of_many_inputs_is_that_of_each():
    x, y = data(6, 12, 3)
    new, _ = data(7, 300, 3)  # more than are predicted at once
    process = GaussianProcess(x, y, kernel())
    torch.testing.assert_close(process.mean(new), process.predict(new)[0])
    assert process.mean(new[:0]).shape == (0,)


@pytest.mark.parametrize("shape", ["matern32", "rbf"])
def test_marginal_likelihood_is_the_normal_density(shape):
    x, y = data(2, 9, 3)
    k = kernel(shape)
    spread = plain_kernel(x, x, k) + (k.noise + NOISE_FLOOR) * np.eye(9)
    assert GaussianProcess(x, y, k).log_likelihood() == pytest.approx(
        multivariate_normal(np.zeros(9), spread).logpdf(y.numpy()), abs=1e-9
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 4), st.sampled_from(["matern32", "rbf"]))
def test_gradient_is_that_of_finite_differences(seed, dims, shape):
    x, y = data(seed, 10, dims)
    prior = Prior(noise=(-3.0, 0.5))
    like = kernel(shape, dims)
    theta = pack(like)
    _, slope = negative_log_posterior(x, y, like, prior)
    for index in range(len(theta)):
        step = torch.zeros_like(theta)
        step[index] = 1e-5
        above, _ = negative_log_posterior(x, y, unpack(theta + step, like), prior)
        below, _ = negative_log_posterior(x, y, unpack(theta - step, like), prior)
        assert float(slope[index]) == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-5)


def test_prior_is_a_normal_density_of_the_logarithms():
    """Two priors differ by exactly their densities' logarithms."""
    x, y = data(3, 6, 2)
    k = kernel(dims=2)
    narrow, _ = negative_log_posterior(x, y, k, Prior(noise=(math.log(0.03), 0.5)))
    off, _ = negative_log_posterior(x, y, k, Prior(noise=(math.log(0.03) + 1.0, 0.5)))
    assert off - narrow == pytest.approx(0.5 * (1.0 / 0.5) ** 2)


def test_a_repeated_look_is_like_one_with_less_noise():
    """Four observations of one point weigh as much as one with a quarter of the noise."""
    k = Kernel(torch.ones(1, dtype=torch.float64), stationary=1.0, linear=0.0, noise=0.4)
    quarter = Kernel(k.lengthscale, 1.0, 0.0, (0.4 + NOISE_FLOOR) / 4 - NOISE_FLOOR)
    x, y = torch.zeros(4, 1, dtype=torch.float64), torch.tensor([0.2, 0.4, 0.6, 0.8], dtype=torch.float64)
    new = torch.tensor([[0.3]], dtype=torch.float64)
    many = GaussianProcess(x, y, k).predict(new)
    once = GaussianProcess(x[:1], y.mean().unsqueeze(0), quarter).predict(new)
    torch.testing.assert_close(many, once)


def test_extending_is_conditioning_on_all_points():
    x, y = data(4, 10, 3)
    k = kernel()
    new, _ = data(5, 4, 3)
    whole = GaussianProcess(x, y, k).predict(new)
    torch.testing.assert_close(GaussianProcess(x[:6], y[:6], k).extended(x[6:], y[6:]).predict(new), whole)


def test_fit_ends_where_the_gradient_vanishes_above_its_start():
    x, y = data(6, 40, 3)
    start = kernel()
    found = fit(x, y, start, Prior(), iterations=200)
    before, _ = negative_log_posterior(x, y, start, Prior())
    after, slope = negative_log_posterior(x, y, found.kernel, Prior())
    assert after < before - 1.0
    assert float(slope.abs().max()) < 0.05
    assert (found.kernel.constant, found.kernel.shape) == (start.constant, start.shape)


def test_fit_finds_which_input_matters_and_how_noisy_the_outputs_are():
    generator = torch.Generator().manual_seed(7)
    x = 4 * torch.rand(120, 2, generator=generator, dtype=torch.float64)
    y = (2 * x[:, 0]).sin() + 0.2 * torch.randn(120, generator=generator, dtype=torch.float64)
    found = fit(x, y, Kernel(torch.ones(2, dtype=torch.float64), 1.0, 0.3, 0.01), Prior()).kernel
    assert found.lengthscale[1] > 3 * found.lengthscale[0]
    assert found.noise == pytest.approx(0.04, rel=0.5)


def test_many_points_are_all_conditioned_on_though_a_part_is_fitted():
    x, y = data(8, 400, 1)
    model = fit(x, y, kernel(dims=1), Prior(), iterations=5)
    assert len(model.x) == 400
    _, variance = model.predict(x[:20])
    assert float(variance.mean()) < 0.5 * model.kernel.noise


def test_minimise_solves_rosenbrock_and_steps_back_from_infinity():
    def rosenbrock(p):
        if p[0] < -1.5:
            return math.inf, torch.zeros_like(p)
        a, b = 1 - p[0], p[1] - p[0] ** 2
        return float(a**2 + 100 * b**2), torch.stack((-2 * a - 400 * p[0] * b, 200 * b))

    found = minimise(rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64), 200)
    torch.testing.assert_close(found, torch.ones(2, dtype=torch.float64), atol=1e-3, rtol=0)


def test_minimise_never_ends_above_its_start():
    """A gradient that lies makes it stop, not climb."""
    start = torch.tensor([1.0], dtype=torch.float64)
    assert torch.equal(minimise(lambda p: (float(p**2), -2 * p), start, 50), start)


def test_the_mean_alone_is_that_of_the_prediction():
    x = torch.linspace(-1, 1, 7, dtype=torch.float64).unsqueeze(1)
    process = GaussianProcess(x, x.squeeze(1).sin(), Kernel(torch.ones(1, dtype=torch.float64), linear=0.3))
    at = torch.linspace(-2, 2, 11, dtype=torch.float64).unsqueeze(1)
    assert torch.equal(process.mean(at), process.predict(at)[0])
