"""What a page says about a normalization that is not measured: equation, paper, verdict and oracle."""

from __future__ import annotations

from typing import NamedTuple


class Facts(NamedTuple):
    """The text of a page."""

    title: str
    equation: str
    """In LaTeX."""

    paper: str
    """Authors and year, with a number of arXiv if it has one."""

    verdict: str
    """One sentence."""

    oracle: str = "a naive version with loops"
    """What the tests compare with, in float64 with a tolerance of 1e-6."""


_BATCH = r"\hat x_B = \frac{x - \mu_{NHW}}{\sqrt{\sigma^2_{NHW} + \epsilon}}"
_INSTANCE = r"\hat x_I = \frac{x - \mu_{HW}}{\sqrt{\sigma^2_{HW} + \epsilon}}"

FACTS: dict[str, Facts] = {
    "none": Facts("No normalization", "y = x", "", "It holds nothing, and scales multiply over the layers.", "x"),
    "layer": Facts(
        "Layer normalization",
        r"y = \gamma\,\frac{x - \mu_{CHW}}{\sqrt{\sigma^2_{CHW} + \epsilon}} + \beta",
        "Ba et al. 2016, arXiv:1607.06450",
        "It works at any batch size, and gives up the contrast of a whole image.",
        "`torch.nn.functional.layer_norm`, and a loop",
    ),
    "batch": Facts(
        "Batch normalization",
        r"y = \gamma\,\hat x_B + \beta,\quad " + _BATCH,
        "Ioffe and Szegedy 2015, arXiv:1502.03167",
        "It keeps contrast within a batch, but couples samples and behaves differently in training and evaluation.",
        "a loop, with running statistics over three steps",
    ),
    "local_response": Facts(
        "Local response normalization",
        r"y_c = x_c \Big/ \Big(k + \frac{\alpha}{n} \sum_{|j - c| \le n/2} x_j^2\Big)^{\beta}",
        "Krizhevsky et al. 2012",
        "It compresses strong pixels and does not hold the scale of the features.",
    ),
    "instance": Facts(
        "Instance normalization",
        r"y = \gamma\,\hat x_I + \beta,\quad " + _INSTANCE,
        "Ulyanov et al. 2016, arXiv:1607.08022",
        "It suits style transfer, and causes droplets in a generator.",
    ),
    "spectral": Facts(
        "Spectral normalization",
        r"\hat W = W / \sigma_1(W)",
        "Miyato et al. 2018, arXiv:1802.05957",
        "It bounds the slope of a discriminator's layer and reads no features.",
        "the singular values of NumPy",
    ),
    "adaptive_instance": Facts(
        "Adaptive instance normalization",
        r"y = s(c)\,\hat x_I + t(c),\quad " + _INSTANCE,
        "Huang and Belongie 2017, arXiv:1703.06868; Karras et al. 2019, arXiv:1812.04948",
        "It gives full control of the style, with the droplets of instance normalization.",
    ),
    "weight": Facts(
        "Weight normalization",
        r"\hat w_o = g_o\, w_o / \lVert w_o \rVert",
        "Salimans and Kingma 2016, arXiv:1602.07868",
        "It separates length and direction of kernels, and does not hold the learned length.",
    ),
    "conditional_batch": Facts(
        "Conditional batch normalization",
        r"y = (\gamma + \Delta\gamma(c))\,\hat x_B + \beta + \Delta\beta(c),\quad " + _BATCH,
        "de Vries et al. 2017, arXiv:1707.00683",
        "It controls by label, with the coupling of batch normalization.",
    ),
    "group": Facts(
        "Group normalization",
        r"y = \gamma\,\frac{x - \mu_{gHW}}{\sqrt{\sigma^2_{gHW} + \epsilon}} + \beta",
        "Wu and He 2018, arXiv:1803.08494",
        "It is the usual choice for small batches, and ends near instance normalization where groups are small.",
    ),
    "activation": Facts(
        "ActNorm",
        r"y = s\,(x + b),\quad s \text{ and } b \text{ from the first batch}",
        "Kingma and Dhariwal 2018, arXiv:1807.03039",
        "It gives a good start and holds nothing later, at the cost of a bias.",
    ),
    "demodulation": Facts(
        "Demodulation",
        r"w''_{oik} = s_i w_{oik} \Big/ \sqrt{\textstyle\sum_{i,k} (s_i w_{oik})^2 + \epsilon}",
        "Karras et al. 2020, arXiv:1912.04958, section 2.2",
        "It holds the expected scale from weights and styles alone, so it leaves contrast and causes no droplets.",
        "the golden values of the official implementation (tests/golden)",
    ),
    "switchable": Facts(
        "Switchable normalization",
        r"y = \gamma\,\frac{x - \sum_k w_k \mu_k}{\sqrt{\sum_k w'_k \sigma^2_k + \epsilon}} + \beta,"
        r"\quad k \in \{I, L, B\}",
        "Luo et al. 2018, arXiv:1806.10779",
        "It learns what to measure, and inherits the coupling of batch normalization.",
    ),
    "weight_standardization": Facts(
        "Weight standardization",
        r"\hat w_o = \frac{w_o - \mu_o}{\sqrt{n\,(\sigma_o^2 + \epsilon)}}",
        "Qiao et al. 2019, arXiv:1903.10520",
        "It works at any batch size and costs nearly nothing.",
    ),
    "local_contrast": Facts(
        "Local contrast normalization",
        r"v = x - \sum w x,\quad y = v \Big/ \max\Big(c, \sqrt{\textstyle\sum w v^2}\Big)",
        "Jarrett et al. 2009",
        "It keeps edges and removes flat areas.",
        "`scipy.ndimage.correlate1d`",
    ),
    "conditional_instance": Facts(
        "Conditional instance normalization",
        r"y = \gamma_c\,\hat x_I + \beta_c,\quad " + _INSTANCE,
        "Dumoulin et al. 2016, arXiv:1610.07629",
        "A table of styles, which suits a fixed number of classes.",
    ),
    "attentive": Facts(
        "Attentive normalization",
        r"y = \sum_k \lambda_k(x)\,(\gamma_k \hat x_B + \beta_k)",
        "Li et al. 2019, arXiv:1908.01259",
        "Batch normalization with a scale and shift that follow the image.",
    ),
    "decorrelated_batch": Facts(
        "Decorrelated batch normalization",
        r"y = \gamma\,\Sigma^{-1/2} (x - \mu) + \beta",
        "Huang et al. 2018, arXiv:1804.08450; 2019, arXiv:1904.03441",
        "It also removes correlations within groups of channels, at a price in time.",
        "the eigendecomposition of NumPy",
    ),
    "inplace_abn": Facts(
        "In-place activated batch normalization",
        r"y = \operatorname{lrelu}(|\gamma|\,\hat x_B + \beta)",
        "Rota Bulo et al. 2018, arXiv:1712.02616",
        "Batch normalization and activation with less memory.",
        "a loop, and batch normalization with leaky ReLU in value and gradient",
    ),
    "sync_batch": Facts(
        "Synchronized batch normalization",
        r"y = \gamma\,\hat x_B + \beta \text{ over the samples of all processes}",
        "Ioffe and Szegedy 2015, arXiv:1502.03167",
        "Batch normalization that does not depend on the number of devices.",
        "a loop, and the joint batch of two processes",
    ),
    "stable_rank": Facts(
        "Stable rank normalization",
        r"\hat W = (\sigma_1 u_1 v_1^\top + a R)/\sigma_1,\quad \textstyle\sum \hat\sigma^2 / \hat\sigma_1^2 \le r",
        "Sanyal et al. 2020, arXiv:1906.04659",
        "It limits a discriminator more than spectral normalization.",
        "the singular value decomposition of NumPy",
    ),
    "cosine": Facts(
        "Cosine normalization",
        r"y = \sqrt n\,\frac{w \cdot x}{\lVert w \rVert \lVert x \rVert} \text{ for each window } x",
        "Luo et al. 2017, arXiv:1702.05870",
        "It bounds every output and removes contrast pixel by pixel.",
        "`unfold` and `cosine_similarity` of torch",
    ),
    "batch_channel": Facts(
        "Batch-channel normalization",
        r"y = \operatorname{group}(\operatorname{batch}(x))",
        "Qiao et al. 2019, arXiv:1911.09738",
        "Group normalization without dead channels.",
    ),
    "instance_meta": Facts(
        "ILM-Norm",
        r"y = (\operatorname{sigmoid}(D_\gamma e(\sigma^2)) + \gamma_0)\,\hat x + \tanh(D_\beta e(\mu)) + \beta_0",
        "Jia et al. 2019, arXiv:1904.03516",
        "Group normalization that can bring removed contrast back.",
    ),
    "mixture": Facts(
        "Mixture normalization",
        r"y = \sum_k \frac{\nu_k(x)}{\sqrt{\lambda_k}} \frac{x - \mu_k}{\sqrt{\sigma_k^2 + \epsilon}}",
        "Kalayeh and Shah 2018, arXiv:1806.02892",
        "It treats several populations of pixels apart, at the price of a fit in every pass.",
        "the posterior of `sklearn.mixture.GaussianMixture`",
    ),
    "mode": Facts(
        "Mode normalization",
        r"y = \gamma \sum_k g_k(x)\,\frac{x - \mu_k}{\sqrt{\sigma_k^2 + \epsilon}} + \beta",
        "Deecke et al. 2018, arXiv:1810.05466",
        "Batch normalization for batches of several kinds of images.",
    ),
    "sparse_switchable": Facts(
        "Sparse switchable normalization",
        r"w = \operatorname{sparsestmax}(z; r) \text{ in switchable normalization}",
        "Shao et al. 2019, arXiv:1903.03793",
        "It chooses one of instance, layer and batch for each layer, and then costs no more than that.",
        "a loop, with sparsemax by bisection",
    ),
    "filter_response": Facts(
        "Filter response normalization",
        r"y = \max\Big(\gamma\,\frac{x}{\sqrt{\operatorname{mean}_{HW} x^2 + \epsilon}} + \beta,\ \tau\Big)",
        "Singh and Krishnan 2019, arXiv:1911.09737",
        "It needs no batch, and shares the droplets of instance normalization.",
    ),
    "virtual_batch": Facts(
        "Virtual batch normalization",
        r"\mu = \frac{n \mu_{ref} + \mu_{HW}}{n + 1},\quad "
        r"y = \gamma\,\frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta",
        "Salimans et al. 2016, arXiv:1606.03498",
        "Batch statistics without coupled samples, for twice the time.",
    ),
    "online": Facts(
        "Online normalization",
        r"y_t = \frac{x_t - \mu_{t-1}}{\sqrt{\sigma^2_{t-1} + \epsilon}} \text{, with a controlled backward pass}",
        "Chiley et al. 2019, arXiv:1905.05894",
        "For batches of one sample, where no second derivative matters.",
        "a loop, forward and backward",
    ),
    "pixel": Facts(
        "Pixel normalization",
        r"y = x \Big/ \sqrt{\operatorname{mean}_C x^2 + \epsilon}",
        "Karras et al. 2018, arXiv:1710.10196, section 4.2",
        "It holds every pixel, and removes contrast between pixels.",
    ),
    "rms": Facts(
        "RMS normalization",
        r"y = \gamma\,x \Big/ \sqrt{\operatorname{mean}_{CHW} x^2 + \epsilon}",
        "Zhang and Sennrich 2019, arXiv:1910.07467",
        "Layer normalization without the mean.",
    ),
    "running_magnitude": Facts(
        "Running magnitude",
        r"y = x / \sqrt{m + \epsilon},\quad m \leftarrow (1 - a)\, m + a \operatorname{mean} x^2",
        "Karras et al. 2021, arXiv:2106.12423, section 3.2",
        "It holds the scale over training, and is a constant for each image.",
    ),
    "forced_weight": Facts(
        "Forced weight normalization",
        r"\hat w_o = w_o / \lVert w_o \rVert,\quad w_o \leftarrow \sqrt n\, \hat w_o",
        "Karras et al. 2024, arXiv:2312.02696, section 2.3",
        "It keeps the effective learning rate of kernels constant.",
    ),
    "dynamic_tanh": Facts(
        "Dynamic tanh",
        r"y = \gamma \tanh(\alpha x) + \beta",
        "Zhu et al. 2025, arXiv:2503.10622",
        "It measures nothing and bounds every feature.",
    ),
}  # fmt: skip


def facts(name: str) -> Facts:
    """The facts about a normalization. One of the user's has its name alone."""
    return FACTS.get(name, Facts(name, "", "", "", ""))
