"""A training step of StyleGAN2 written anew, small, with every part replaceable by a faulty one."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from faults import official


class Training:
    """One iteration is `step`. The faults override its methods."""

    batch, r1_every, path_every, beta = 4, 4, 4, 0.98

    def __init__(self):
        self.generator = official.Generator(dim=16, width=8, resolution=16, layers=2)
        self.generator.register_buffer("w_avg", torch.zeros(16))
        self.discriminator = official.Discriminator(width=8, resolution=16)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.opt_g, self.opt_d = self.optimizers()
        self.path_mean, self.iteration = torch.tensor(0.0), 0
        self.random = torch.Generator().manual_seed(0)

    def adam(self, parameters, **options):
        return torch.optim.Adam(parameters, **{"lr": 0.002, "betas": (0.0, 0.99), "eps": 1e-8, **options})

    def optimizers(self):
        return self.adam(self.generator.parameters()), self.adam(self.discriminator.parameters())

    def reals(self):
        x = torch.randn(self.batch, 3, 4, 4, generator=self.random)
        return (0.5 * F.interpolate(x, size=(16, 16), mode="bicubic")).clamp(-1, 1)

    def crossover(self, rows):
        return int(torch.randint(1, rows, (), generator=self.random)) if self.chance() < 0.9 else rows

    def chance(self):
        return float(torch.rand((), generator=self.random))

    def ws(self):
        g = self.generator
        w, other = (g.mapping(torch.randn(self.batch, g.dim, generator=self.random)) for _ in range(2))
        self.track(w)
        row = self.crossover(g.num_ws)
        return torch.cat([w[:, None].repeat(1, row, 1), other[:, None].repeat(1, g.num_ws - row, 1)], 1)

    def track(self, w):
        self.generator.w_avg.copy_(w.detach().mean(0).lerp(self.generator.w_avg, 0.9))

    def synthesize(self, ws):
        return self.generator.synthesis(ws)

    def loss_g(self, fake):
        return F.softplus(-fake).mean()

    def loss_d(self, real, fake):
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def r1(self, reals, fakes):
        x = reals.detach().requires_grad_()
        (g,) = torch.autograd.grad(self.discriminator(x).sum(), x, create_graph=True)
        return g.square().sum((1, 2, 3)).mean() * 5 * self.r1_every

    def path_length(self, ws):
        image = self.synthesize(ws)
        y = torch.randn_like(image) / 16
        (j,) = torch.autograd.grad((image * y).sum(), ws, create_graph=True)
        lengths = j.square().sum(2).mean(1).sqrt()
        mean = self.path_mean + 0.01 * (lengths.mean() - self.path_mean)
        self.remember(mean.detach())
        return (lengths - mean).square().mean() * 2 * self.path_every

    def remember(self, mean):
        self.path_mean = mean

    def descend(self, optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def average_step(self):
        for a, p in zip(self.average.parameters(), self.generator.parameters()):
            a.copy_(p.lerp(a, self.beta))

    def copy_buffers(self):
        for a, b in zip(self.average.buffers(), self.generator.buffers()):
            a.copy_(b)

    def fakes_for_d(self):
        with torch.no_grad():
            return self.synthesize(self.ws())

    def freeze(self, network, frozen):
        network.requires_grad_(not frozen)

    def step(self):
        g, d = self.generator, self.discriminator
        self.freeze(d, True)
        self.descend(self.opt_g, self.loss_g(d(self.synthesize(self.ws()))))
        if self.iteration % self.path_every == 0:
            self.descend(self.opt_g, self.path_length(self.ws()))
        self.freeze(d, False)
        self.freeze(g, True)
        fakes, reals = self.fakes_for_d(), self.reals()
        self.descend(self.opt_d, self.loss_d(d(reals), d(fakes)))
        if self.iteration % self.r1_every == 0:
            self.descend(self.opt_d, self.r1(reals, fakes))
        self.freeze(g, False)
        with torch.no_grad():
            self.average_step()
            self.copy_buffers()
        self.iteration += 1
