"""A recording performed and judged: which of its answers differ, turn by turn."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Literal

from support import run

from ibstream_gateway_emulator.faults.acts import CommandError
from recordings.comparing import Comparison, with_values_recorded, without_repetition, without_streams, without_ticks
from recordings.hearing import Heard
from recordings.living import ImpossiblePastError
from recordings.manners import manner_of
from recordings.markets import seeds_for
from recordings.performing import performance
from recordings.saying import flag
from recordings.script import Conversation, Turn, read_recording
from recordings.staging import stage_of
from recordings.words import REQUEST_ALIASES

Answers = list[list[list[Heard]]]
Settings = Literal["default", "recorded"]
"""With which settings the stand-in tells: as it does by itself, or as the recording shows most often."""
_STREAMS = frozenset(
    {"req_mkt_data", "req_tick_by_tick", "req_real_time_bars", "req_mkt_depth", "req_pnl", "req_pnl_single"}
)
_ACCOUNT_STREAMS = frozenset({"req_account_updates", "req_account_updates_multi", "req_account_summary"})
_VALUE_LISTS = frozenset({"req_account_updates", "req_account_updates_multi"})


@functools.cache
def performed(path: Path, settings: Settings) -> tuple[Conversation, Answers]:
    """A recording, and what the stand-in answered to it: in the first market that leaves nothing unsaid, or the first."""
    conversation = read_recording(path)
    manner = manner_of(conversation) if settings == "recorded" else {}

    async def perform(seed: int) -> Answers:
        async with performance(conversation, seed, manner) as play:
            return await play.perform()

    seeds = seeds_for(conversation, stage_of(conversation, 0))
    first = run(perform(seeds[0]))
    if not leaves_unsaid(conversation, first):
        return conversation, first
    for seed in seeds[1:]:
        # Under another market an order of the past may not rest as it must; then that market is none for it.
        with contextlib.suppress(CommandError, ImpossiblePastError):
            answers = run(perform(seed))
            if len(differences(conversation, answers)) < len(differences(conversation, first)):
                return conversation, answers
    return conversation, first


def leaves_unsaid(conversation: Conversation, answers: Answers) -> bool:
    """Whether something recorded did not come at all."""
    return any(": missing: " in difference for difference in differences(conversation, answers))


def differences(conversation: Conversation, answers: Answers) -> list[str]:
    """All differences, each with the client's message that drew it."""
    comparison = Comparison()
    return [
        f"{turn.name}: {difference}"
        for leg, told in zip(conversation.legs, answers, strict=True)
        for number, (turn, heard) in enumerate(zip(leg.turns, told, strict=True))
        for difference in comparison.differences(*compared(turn, heard, is_beside_stream=follows(leg.turns[:number])))
    ]


def streams(turn: Turn) -> bool:
    """Whether this turn begins a stream of which the market says what comes when."""
    name = REQUEST_ALIASES.get(turn.name, turn.name)
    if name == "req_historical_data":
        return flag(turn.fields.get("keep_up_to_date"))
    return name in _STREAMS and not flag(turn.fields.get("snapshot"))


def follows(turns: list[Turn]) -> bool:
    """Whether something comes unasked by now."""
    return any(streams(turn) or turn.name in _ACCOUNT_STREAMS for turn in turns)


def compared(turn: Turn, heard: list[Heard], *, is_beside_stream: bool = False) -> tuple[list[Heard], list[Heard]]:
    """What is compared of a turn: all; of a stream that begins each kind of tick once, and beside one all but it.

    Of the account's values compared are those that the recording has; of a handshake of which it tells nothing, nothing.
    """
    if turn.name == "handshake" and not turn.answers:
        return [], []
    if streams(turn):
        return without_repetition(turn.answers, heard)
    if turn.name in _VALUE_LISTS:
        return with_values_recorded(turn.answers, heard)
    if is_beside_stream and turn.name == "req_account_summary":
        return without_ticks(turn.answers), without_ticks(heard)
    if is_beside_stream:
        return without_streams(turn.answers), without_streams(heard)
    return turn.answers, heard
