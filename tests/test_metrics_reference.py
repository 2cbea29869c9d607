"""The real images that figures compare with: their hash, and the cache of their features."""

import hashlib

import numpy as np
import pytest
import torch

from stylegan2 import files
from stylegan2.metrics.extractors.random import RandomNetwork
from stylegan2.metrics.reference import cache_path, load_features, pixel_digest, save_features


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN2_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_hash_is_that_of_shapes_and_pixels_in_their_order():
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    state = hashlib.sha256()
    for image in np.asarray(images):
        state.update(b"(3, 4, 4)" + image.tobytes())
    assert pixel_digest([images]) == pixel_digest(images.split(2)) == state.hexdigest()
    changed = images.clone()
    changed[4, 2, 3, 3] ^= 1
    others = [[changed], [images.flip(0)], [images[:4]], [images.view(5, 3, 2, 8)]]
    assert len({pixel_digest(other) for other in [[images], *others]}) == 5


def test_another_set_network_hash_of_weights_or_resize_has_another_file():
    network, paths = RandomNetwork(), [cache_path("a", RandomNetwork()), cache_path("b", RandomNetwork())]
    for name in ("key", "weights", "resize"):
        network = RandomNetwork()
        setattr(network, name, "other")
        paths.append(cache_path("a", network))
    assert len(set(paths)) == 5 and paths[0] == cache_path("a", RandomNetwork())


def test_features_are_read_back_exactly_and_damage_is_noticed():
    path = cache_path("a", RandomNetwork())
    assert load_features(path) is None
    features = torch.randn(50, 7)
    save_features(path, features)
    assert torch.equal(load_features(path), features)
    content = bytearray(path.read_bytes())
    place = content.find(features.numpy().tobytes())
    assert place > 0
    content[place + 5] ^= 1
    path.write_bytes(content)
    assert load_features(path) is None
    path.write_bytes(b"something else")
    assert load_features(path) is None
    save_features(path, features)
    assert torch.equal(load_features(path), features)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_written_or_is_missing_is_no_error(cache, capsys, monkeypatch):
    cache.write_text("a file, where a folder should be", encoding="utf-8")
    path = cache_path("a", RandomNetwork())
    save_features(path, torch.zeros(2, 2))
    assert load_features(path) is None and "are not cached" in capsys.readouterr().err
    monkeypatch.delenv("STYLEGAN2_CACHE")
    monkeypatch.setattr(files.Path, "expanduser", lambda path: (_ for _ in ()).throw(RuntimeError("no home")))
    assert cache_path("a", RandomNetwork()) is None
    save_features(None, torch.zeros(2, 2))
    assert load_features(None) is None
