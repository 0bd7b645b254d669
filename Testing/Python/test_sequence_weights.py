"""How much each sequence counted: exact values, exact interactions, shares of linear heads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from LiverLesionAI.explanation.coalitions import coalitions, shapley_interactions, shapley_values
from LiverLesionAI.explanation.lesion import mean_weights
from LiverLesionAI.explanation.method import class_log_odds
from LiverLesionAI.explanation.weights import (
    MemberGame,
    SequenceWeights,
    log_odds,
    member_game,
    sequence_weights,
)
from LiverLesionAI.networks.resnet3d import Head, MultitaskResNet3D

SEQUENCES = ("T2WI", "DWI", "LAP", "DP")
HEADS = {"malignancy": Head(2, ("T2WI", "DWI")), "type": Head(7, ("LAP", "DP"))}

games = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.floats(-50, 50), min_size=2**n, max_size=2**n).map(np.array)
)


# --- the mathematics


def by_orders(worth: np.ndarray) -> np.ndarray:
    """Shapley values as they are defined: the mean gain over all orders of joining."""
    n = len(worth).bit_length() - 1
    gains = np.zeros(n)
    orders = list(permutations(range(n)))
    for order in orders:
        there = 0
        for player in order:
            gains[player] += worth[there | 1 << player] - worth[there]
            there |= 1 << player
    return gains / len(orders)


def dividends(worth: np.ndarray) -> np.ndarray:
    """Harsanyi dividends (Möbius transform) of a game."""
    found = worth.astype(float).copy()
    for player in range(len(worth).bit_length() - 1):
        with_player = np.flatnonzero(np.arange(len(worth)) >> player & 1)
        found[with_player] -= found[with_player ^ 1 << player]
    return found


@settings(max_examples=60)
@given(games)
def test_shapley_values_are_the_mean_gain_over_all_orders(worth: np.ndarray) -> None:
    values = shapley_values(worth)
    np.testing.assert_allclose(values, by_orders(worth), atol=1e-9)
    assert values.sum() == pytest.approx(worth[-1] - worth[0], abs=1e-9)


@settings(max_examples=60)
@given(games)
def test_interactions_are_those_of_the_dividends(worth: np.ndarray) -> None:
    """Grabisch and Roubens: the index is the sum over coalitions T ⊇ {i, j} of dividend(T) / (|T| − 1)."""
    parts, members = dividends(worth), coalitions(len(worth).bit_length() - 1)
    sizes = members.sum(axis=1)
    found = shapley_interactions(worth)
    for i in range(len(found)):
        for j in range(len(found)):
            both = members[:, i] & members[:, j] & (sizes > 1)
            expected = 0.0 if i == j else (parts[both] / (sizes[both] - 1)).sum()
            assert found[i, j] == pytest.approx(expected, abs=1e-9)


def test_a_sequence_that_never_matters_gets_nothing() -> None:
    members = coalitions(3)
    worth = members[:, 0] * 2.0 + members[:, 0] * members[:, 2] * 3.0
    np.testing.assert_allclose(shapley_values(worth), [3.5, 0.0, 1.5])
    np.testing.assert_allclose(shapley_interactions(worth), [[0, 0, 3], [0, 0, 0], [3, 0, 0]], atol=1e-12)


# --- the game that the network's branches play


def network(head_hidden: int, seed: int = 0) -> MultitaskResNet3D:
    torch.manual_seed(seed)
    made = MultitaskResNet3D(SEQUENCES, HEADS, width=1, head_hidden=head_hidden).eval()
    made.mean_features.copy_(torch.rand(made.mean_features.shape))
    return made.requires_grad_(False)


def features(seed: int = 0) -> np.ndarray:
    drawn = 4 * torch.rand(len(SEQUENCES), 8, generator=torch.Generator().manual_seed(seed))
    return drawn.numpy()


def game_of(member: MultitaskResNet3D, seen: np.ndarray, present: Sequence[bool] = (True,) * 4) -> MemberGame:
    return member_game(member.heads_as_arrays(), seen, present)


@pytest.mark.parametrize("head_hidden", [0, 5])
def test_heads_as_arrays_say_and_slope_as_the_network_does(head_hidden: int) -> None:
    member, seen = network(head_hidden), np.stack([features(seed) for seed in range(5)])
    asked = torch.from_numpy(seen).double().requires_grad_()
    logits = member.double().logits(asked)
    for task, head in member.heads_as_arrays().tasks.items():
        everybody = np.ones((1, len(SEQUENCES)), bool)
        said = np.concatenate([head.logits_of_coalitions(each, 0 * each, everybody) for each in seen])
        np.testing.assert_allclose(said, logits[task].detach().numpy(), rtol=1e-12, atol=1e-12)
        for index in (0, logits[task].shape[1] - 1):
            (slopes,) = torch.autograd.grad(
                class_log_odds(logits[task], index).sum(), asked, retain_graph=True
            )
            found = head.log_odds_slopes(seen, index)
            np.testing.assert_allclose(found, slopes.numpy(), rtol=1e-9, atol=1e-12)
            assert np.abs(found).max() > 1e-3


@pytest.mark.parametrize("head_hidden", [0, 5])
def test_a_coalition_is_worth_what_the_network_says_without_the_others(head_hidden: int) -> None:
    """Run whole networks on patches of which some are absent, and the game on features."""
    members = [network(head_hidden, seed) for seed in (0, 1)]
    patches = torch.rand(1, 4, 2, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    found = [game_of(each, each.features(patches)[0].numpy()) for each in members]
    there = torch.from_numpy(coalitions(4))
    for task, index in (("type", 4), ("malignancy", 1)):
        weights = sequence_weights(found, task, "any", index, SEQUENCES)
        for number in range(16):
            logits = [each(patches, there[number][None])[task].double() for each in members]
            p = torch.stack([each.softmax(1) for each in logits]).mean(0)[0, index].item()
            assert weights.worth[number] == pytest.approx(np.log(p / (1 - p)), abs=1e-5)
        assert weights.shapley.sum() == pytest.approx(weights.worth[-1] - weights.worth[0], abs=1e-9)


def test_on_logits_of_linear_heads_interactions_vanish_and_values_are_shares() -> None:
    found = [game_of(network(0, seed), features(seed)) for seed in (0, 1, 2)]
    for task, index in (("type", 2), ("malignancy", 0)):
        on_logits = sequence_weights(found, task, "any", index, SEQUENCES, of="logit")
        assert on_logits.shares is not None
        assert np.abs(on_logits.interactions).max() < 1e-5
        np.testing.assert_allclose(on_logits.shapley, on_logits.shares.total, atol=1e-5)
        assert on_logits.shares.total.sum() == pytest.approx(
            on_logits.worth[-1] - on_logits.worth[0], abs=1e-5
        )
        leading = [name in HEADS[task].fused for name in SEQUENCES]
        assert (np.abs(on_logits.shares.own) > 1e-6).tolist() == leading
        assert np.abs(on_logits.shares.everything).min() > 1e-6
        on_odds = sequence_weights(found, task, "any", index, SEQUENCES)
        assert np.abs(on_odds.interactions).max() > 1e-3, "log-odds are no sum of logits"


def test_hidden_heads_have_no_shares_but_interactions_of_their_own() -> None:
    found = [game_of(network(6), features())]
    weights = sequence_weights(found, "type", "any", 1, SEQUENCES, of="logit")
    assert weights.shares is None
    assert np.abs(weights.interactions).max() > 1e-3
    assert {each["share"] for each in weights.to_dict().values()} == {None}


def test_absent_sequences_are_no_players() -> None:
    member = network(0)
    present = [True, False, True, True]
    there = np.asarray(present)[:, None]
    game = game_of(member, np.where(there, features(), member.mean_features.numpy()), present)
    assert game.logits["type"].shape == (8, 7)
    assert game.shares["type"].total.shape == (7, 3)
    with_rubbish = game_of(member, np.where(there, features(), np.float32(np.nan)), present)
    np.testing.assert_array_equal(with_rubbish.logits["type"], game.logits["type"])
    np.testing.assert_array_equal(with_rubbish.shares["type"].total, game.shares["type"].total)


def test_log_odds_are_exact_where_a_probability_saturates() -> None:
    sure = np.array([[0.0, 60.0], [0.0, -80.0]])
    np.testing.assert_allclose(log_odds([sure], 1), [60.0, -80.0], atol=1e-9)
    halves = log_odds([np.array([[0.0, 700.0]]), np.array([[0.0, -700.0]])], 1)
    np.testing.assert_allclose(halves, [0.0], atol=1e-9)


def test_results_hold_every_sequence_and_every_pair_once() -> None:
    worth = np.arange(8.0) ** 1.5
    weights = SequenceWeights("type", "HCC", ("T2WI", "LAP", "DP"), worth)
    content = weights.to_dict()
    assert list(content) == ["T2WI", "LAP", "DP"]
    assert sum(each["shapley"] for each in content.values()) == pytest.approx(worth[-1])
    pairs = weights.pairs()
    assert [pair[:2] for pair in pairs] == [("T2WI", "LAP"), ("T2WI", "DP"), ("LAP", "DP")]
    assert pairs[1][2] == weights.interactions[0, 2]


def test_mean_weights_leave_out_sequences_that_a_lesion_lacks() -> None:
    both = SequenceWeights("type", "HCC", ("LAP", "DP"), np.array([0.0, 2.0, 4.0, 6.0]))
    one = SequenceWeights("type", "HCC", ("LAP",), np.array([0.0, 4.0]))
    assert mean_weights({"HCC": [both, one]}) == {"HCC": {"LAP": 3.0, "DP": 4.0}}


def test_members_of_different_heads_are_not_mixed() -> None:
    """Shares are told only where every member has them."""
    game = game_of(network(0), features())
    without = MemberGame(game.logits, {})
    assert sequence_weights([game, without], "type", "any", 0, SEQUENCES).shares is None
