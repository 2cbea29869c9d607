"""The number of CPU threads that timing chooses, on a simulated machine with a clock of its own."""

import pytest
import torch

from stylegan2.threads import ThreadTuner, candidates


class Machine:
    """Pieces take 1 s with one thread and 0.75 s with two, but 5 s with two beside a busy program."""

    def __init__(self):
        self.now, self.busy, self.threads, self.noise = 0.0, False, 2, 0.0

    def set_threads(self, number):
        self.threads = number

    def seconds(self):
        if self.threads == 1:
            return 1.0
        return 5.0 if self.busy else 0.75

    def work(self, tuner, pieces):
        """Do the pieces; return the seconds per piece."""
        start = self.now
        for i in range(pieces):
            with tuner.piece():
                self.now += self.seconds() * (1 + self.noise * (-1) ** i)
        return (self.now - start) / pieces


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def tuner(machine):
    return ThreadTuner([2, 1], machine.set_threads, lambda: machine.now)


def test_idle_machine_gets_all_threads(machine, tuner):
    machine.work(tuner, 20)
    assert machine.threads == tuner.threads == 2
    assert machine.work(tuner, 100) == 0.75


def test_busy_machine_gets_fewer_threads(machine, tuner):
    machine.busy = True
    machine.work(tuner, 20)
    assert machine.threads == 1
    assert machine.work(tuner, 2000) < 1.05, "trials cost more than 2 % of the time"


def test_slowdown_starts_a_new_trial_and_recovery_is_noticed(machine, tuner):
    machine.work(tuner, 50)
    machine.busy = True
    machine.work(tuner, 20)
    assert machine.threads == 1
    machine.busy = False
    machine.work(tuner, 2000)
    assert machine.threads == 2


@pytest.mark.parametrize(("patience", "threads"), [(1.2, 2), (1.4, 1)])
def test_patience_keeps_fewer_threads_that_are_nearly_as_fast(machine, patience, threads):
    """One thread takes 1.33 times as long as two."""
    tuner = ThreadTuner([2, 1], machine.set_threads, lambda: machine.now, patience=patience)
    machine.work(tuner, 20)
    assert machine.threads == threads
    machine.work(tuner, 2000)
    assert machine.threads == threads
    assert machine.work(tuner, 2000) < 1.02 * machine.seconds()


def test_noise_costs_little(machine, tuner):
    machine.noise = 0.2
    assert machine.work(tuner, 1000) < 0.75 * 1.03


def test_one_number_is_never_changed(machine):
    tuner = ThreadTuner([1], lambda n: pytest.fail("set"), lambda: machine.now)
    machine.work(tuner, 30)


def test_candidates_are_halves_and_a_setting_of_the_user_wins(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 12)
    assert candidates() == [12, 6, 3, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "12")
    assert candidates() == [12]
