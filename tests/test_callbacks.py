"""What happens around training: the rows of numbers."""

from types import SimpleNamespace

import pytest
import torch
from training_cases import fit, make_model

from stylegan2.files import read_csv
from stylegan2.threads import ThreadTuner
from stylegan2.training.callbacks import LossLogger, TuneThreads
from stylegan2.training.loggers import CSVLogger


def test_a_row_holds_means_of_what_was_computed_since_the_last(tmp_path):
    logger, losses = CSVLogger(tmp_path / "metrics.csv"), LossLogger(every_kimg=0.008)
    trainer = SimpleNamespace(loggers=[logger], is_global_zero=True)
    module = SimpleNamespace(
        images=0,
        iteration=0,
        batch=1,
        losses={},
        statistics={},
        augmentation=SimpleNamespace(statistics=lambda: {"augment_p": torch.tensor(module.images / 100)}),
        regularizers={},
        loss_check=SimpleNamespace(check=lambda: None),
        device=torch.device("cpu"),
    )
    losses.on_train_start(trainer, module)
    for i in range(24):
        module.losses = {"loss_d": torch.tensor(float(i))}
        if i in (0, 3, 16):
            module.losses |= {"r1": torch.tensor(float(10 + i))}
        module.statistics = {"r_t": torch.tensor(i / 10)}
        module.images = module.iteration = i + 1
        losses.on_train_batch_end(trainer, module)
    rows = read_csv(tmp_path / "metrics.csv")
    assert [float(row["loss_d"]) for row in rows] == [3.5, 11.5, 19.5]
    assert [float(row["r_t"]) for row in rows] == pytest.approx([0.35, 1.15, 1.95])
    assert [row["augment_p"] for row in rows] == ["0.08", "0.16", "0.24"]
    assert [row["r1"] for row in rows] == ["11.5", "", "26"]


def test_threads_are_chosen_by_iterations_without_penalties_and_restored():
    used, seen = [], []
    tuner = ThreadTuner([3, 2, 1], used.append)
    record = tuner.record
    tuner.record = lambda seconds: (seen.append(seconds), record(seconds))
    fit(make_model(), 40, TuneThreads(tuner))  # R1 comes every third iteration, path length every second
    plain = [k for k in range(1, 40) if k % 2 and k % 3]
    assert len(seen) == 1 + len(plain)  # and the first iteration, before any other was known
    assert used[:2] == [2, 1] and used[-1] == 3  # each number has its turn, and the first is back at the end
