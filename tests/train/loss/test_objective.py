"""The objective: the transducer's loss and two auxiliary ones that fade; what lies past a row's end is nothing."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.tiny import tiny_network
from train.config.duration import Linear, WerSwitch
from train.config.learning import Dropout, Loss
from train.config.run import ConfigError
from train.loss.lattice import Penalties
from train.loss.objective import Objective
from train.loss.transducer import transducer_loss
from train.model import Transducer


def objective(**weights: Any) -> Objective:
    module = Transducer(tiny_network().specification, normalised=True)
    module.initialise(torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    own = Objective(module, Loss(**{"bag": 0.7, **weights}))
    own(*batch())  # the normalisations see data
    return own.eval()


def batch(seed: int = 0) -> tuple[Any, Any, Any, Any]:
    torch.manual_seed(seed)
    return (
        torch.randn(3, 12, 240),
        torch.tensor([12, 9, 4]),
        torch.tensor([[1, 5, 2], [3, 3, 0], [0, 0, 0]]),
        torch.tensor([3, 2, 0]),
    )


@pytest.mark.parametrize("delay", [0.0, 0.5])
def test_the_transducers_part_is_the_loss_of_the_joint(delay: float) -> None:
    own = objective(delay_penalty=delay)
    x, lengths, tokens, token_lengths = batch()
    parts = own(x, lengths, tokens, token_lengths)
    f, g, steps = own.model(x, lengths, tokens)
    logits = own.model.output(torch.relu(f[:, :, None] + g[:, None]))
    blank = own.model.specification.blank
    want = transducer_loss(logits, tokens, steps, token_lengths, blank, Penalties(delay=delay))
    torch.testing.assert_close(parts.transducer, want.mean(), rtol=1e-5, atol=1e-5)


def test_penalties_name_pieces_of_the_tokenizer() -> None:
    module = Transducer(tiny_network().specification, normalised=False)
    pieces = ["<unk>", "<EOS>", "<star>", *"abcdefgh"]
    own = Objective(module, Loss(eos_penalty=0.2, star="<star>", star_penalty=0.5), pieces).eval()
    x, lengths, tokens, token_lengths = batch()
    f, g, steps = module(x, lengths, tokens)
    logits = module.output(torch.relu(f[:, :, None] + g[:, None]))
    penalties = Penalties(eos=1, eos_penalty=0.2, star=2, star_penalty=0.5)
    blank = module.specification.blank
    want = transducer_loss(logits, tokens, steps, token_lengths, blank, penalties).mean()
    plain = transducer_loss(logits, tokens, steps, token_lengths, blank).mean()
    assert abs(float((want - plain).detach())) > 0.1  # the rows have both pieces
    torch.testing.assert_close(own(*batch()).transducer, want, rtol=1e-5, atol=1e-5)


def test_penalties_follow_their_schedules() -> None:
    pieces = ["<unk>", "<EOS>", "<star>"]
    ramp = Linear(first=0.0, last=0.4, ramp=4)
    switch = WerSwitch(before=0.75, after=1.0, below=0.2)
    own = Objective(
        Transducer(tiny_network().specification, normalised=False),
        Loss(delay_penalty=ramp, eos_penalty=ramp, star="<star>", star_penalty=switch),
        pieces,
    )
    assert own.penalties == Penalties(delay=0.1, eos=1, eos_penalty=0.1, star=2, star_penalty=0.75)
    own.set_penalties(3, [0.9, 0.1], 1)
    delay = pytest.approx(0.3)
    assert (own.penalties.delay, own.penalties.eos_penalty, own.penalties.star_penalty) == (
        delay,
        delay,
        1.0,
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (Loss(eos_penalty=0.1), "loss.eos_penalty: the tokenizer has no piece '<EOS>'"),
        (Loss(star="<*>"), r"loss.star: the tokenizer has no piece '<\*>'"),
    ],
)
def test_a_penalty_of_a_piece_that_is_not_there_is_refused(weights: Loss, message: str) -> None:
    module = Transducer(tiny_network().specification, normalised=False)
    with pytest.raises(ConfigError, match=message):
        Objective(module, weights, ["<unk>", "a"])


@pytest.mark.parametrize("decoder", ["transducer", "ctc", "both"])
def test_output_layers_begin_with_the_prior_of_a_blank_and_are_otherwise_as_drawn(
    decoder: str,
) -> None:
    made = []
    for prior in (0.0, 0.97):
        module = Transducer(tiny_network(decoder=decoder).specification, normalised=False)
        module.initialise(torch.Generator().manual_seed(1), prior)
        torch.manual_seed(1)
        made.append(Objective(module, Loss(blank_prior=prior)))
    drawn, own = (each.state_dict() for each in made)
    blank = made[0].model.specification.blank
    layers = [name for name in drawn if name.endswith(("output.bias", "ctc.bias"))]
    assert len(layers) == (1 if decoder == "ctc" else 2)
    for name, value in drawn.items():
        if name in layers:
            others = torch.arange(len(value)) != blank
            assert torch.equal(own[name][others], value[others])
            alone = torch.zeros_like(value)
            alone[blank] = own[name][blank]
            assert float(alone.softmax(0)[blank]) == pytest.approx(0.97)
        else:
            assert torch.equal(own[name], value)


def test_auxiliary_losses_fade_to_a_tenth_and_no_further() -> None:
    own = objective(ctc=0.3, bag=0.7, help_updates=100)
    for update, share in ((0, 1.0), (50, 0.5), (90, 0.1), (10_000, 0.1)):
        parts = own(*batch(), update)
        want = parts.transducer + share * (0.3 * parts.ctc + 0.7 * parts.bag)
        torch.testing.assert_close(parts.total, want)


def with_decoder(decoder: str, **weights: Any) -> Objective:
    module = Transducer(tiny_network(decoder=decoder).specification, normalised=False)
    module.initialise(torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    return Objective(module, Loss(**weights)).eval()


def test_a_model_with_both_decoders_keeps_its_ctc_head_and_the_weight_of_its_loss() -> None:
    own = with_decoder("both", ctc=0.4, help_updates=100)
    assert not any(name.startswith("ctc.") for name in own.state_dict())
    for update in (0, 10_000):
        parts = own(*batch(), update)
        torch.testing.assert_close(parts.total, parts.transducer + 0.4 * parts.ctc)
    parts.total.backward()
    assert own.model.ctc.weight.grad is not None and own.model.ctc.weight.grad.any()


def test_the_weight_of_a_ctc_head_may_change_during_a_run() -> None:
    own = with_decoder("both", ctc=Linear(first=1.0, last=0.2, ramp=10))
    for update, weight in ((1, 0.92), (5, 0.6), (10, 0.2), (999, 0.2)):
        own.set_penalties(update, (), 1)
        parts = own(*batch(), update)
        torch.testing.assert_close(parts.total, parts.transducer + weight * parts.ctc)
    with pytest.raises(ValueError, match="loss: ctc is -1.0, wants 0 or more"):
        Loss(ctc=Linear(first=1.0, last=-1.0, ramp=10))


def test_a_model_of_ctc_alone_trains_neither_prediction_network_nor_joint() -> None:
    own = with_decoder("ctc", ctc=0.4)
    parts = own(*batch())
    assert parts.transducer == 0.0
    torch.testing.assert_close(parts.total, parts.ctc)
    names = {name.split(".")[1] for name, _ in own.model.named_parameters(prefix="model")}
    assert names == {"encoder", "joint_encoder", "ctc"}


def test_the_loss_of_a_ctc_head_is_that_of_its_log_probabilities() -> None:
    own = with_decoder("ctc")
    x, lengths, tokens, token_lengths = batch()
    f, steps = own.model.encode_rows(x, lengths)
    scores = own.model.ctc_log_probabilities(f)
    want = torch.nn.functional.ctc_loss(
        scores.transpose(0, 1), tokens, steps, token_lengths, blank=20, reduction="none"
    )
    torch.testing.assert_close(own(x, lengths, tokens, token_lengths).ctc, want.mean())


def test_padding_of_frames_and_tokens_changes_nothing() -> None:
    own = objective()
    x, lengths, tokens, token_lengths = batch()
    want = own(x, lengths, tokens, token_lengths)
    x[1, 9:], x[2, 4:] = 100.0, -100.0
    tokens[1, 2:], tokens[2] = 7, 9
    longer = torch.nn.functional.pad(tokens, (0, 2), value=11)
    got = own(torch.nn.functional.pad(x, (0, 0, 0, 4), value=3.0), lengths, longer, token_lengths)
    for name, a, b in zip(want._fields, got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5, msg=name)


def test_every_weight_of_model_and_helps_has_a_gradient() -> None:
    own = objective()
    own.train()
    own(*batch()).total.backward()
    for name, parameter in own.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_rows_with_more_tokens_than_frames_leave_the_loss_finite() -> None:
    own = objective()
    tokens = torch.randint(0, 19, (1, 30), generator=torch.Generator().manual_seed(0))
    parts = own(torch.randn(1, 4, 240), torch.tensor([4]), tokens, torch.tensor([30]))
    assert all(part.isfinite() for part in parts)


def test_a_batch_without_any_token_has_no_help_from_the_bag() -> None:
    x, lengths, _, _ = batch()
    parts = objective()(x, lengths, torch.zeros(3, 0, dtype=torch.int64), torch.zeros(3).long())
    assert parts.bag == 0.0
    assert parts.transducer > 0.0 and parts.ctc > 0.0 and parts.total.isfinite()


def test_dropout_is_drawn_with_torchs_seed() -> None:
    specification = tiny_network().specification
    module = Transducer(specification, normalised=True, dropout=Dropout(0.2, 0.2, 0.2, 0.2))
    module.initialise(torch.Generator().manual_seed(1))
    own = Objective(module, Loss())

    def total(seed: int) -> float:
        rows = batch()
        torch.manual_seed(seed)
        return own(*rows).total.item()

    assert total(3) == total(3)
    assert total(3) != total(4)


def test_few_updates_learn_a_few_rows_by_heart() -> None:
    own = objective()
    own.train()
    optimiser = torch.optim.Adam(own.parameters(), lr=0.01)
    first = last = 0.0
    for update in range(60):
        parts = own(*batch(), update)
        optimiser.zero_grad()
        parts.total.backward()
        optimiser.step()
        first, last = first or parts.transducer.item(), parts.transducer.item()
    assert last < 0.2 * first
