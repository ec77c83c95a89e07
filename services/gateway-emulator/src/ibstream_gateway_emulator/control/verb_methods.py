"""One method per verb. Written by `control.rendering` from the verbs themselves; a test keeps the two in step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from decimal import Decimal
from typing import Literal

from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.faults.verb import (
    ClientId,
    Copies,
    Count,
    Milliseconds,
    NotNegative,
    PieceBytes,
    Port,
    Seconds,
)
from ibstream_gateway_emulator.faults.verbs_link import Farm


class VerbMethods(ABC):
    """The verbs as methods. What they mean, field by field, is told in `faults.verbs`."""

    @abstractmethod
    async def command(self, *commanded: verbs.Verb) -> None:
        """Do these verbs, in order. Raises `CommandError` at the first that cannot be done."""

    async def refuse_connects(
        self,
        *,
        for_s: Seconds | None = None,
    ) -> None:
        """Nobody listens on the port: connecting is refused. Connections that stand, stay."""
        await self.command(
            verbs.RefuseConnects(
                for_s=for_s,
            )
        )

    async def accept_silently(
        self,
        *,
        for_s: Seconds | None = None,
    ) -> None:
        """New connections are accepted and never hear a byte, as from a Gateway that waits for its second factor."""
        await self.command(
            verbs.AcceptSilently(
                for_s=for_s,
            )
        )

    async def silent_after_handshake(
        self,
        *,
        client_id: ClientId | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """The server's version is answered and startApi is taken, and then nothing is said. Such a connection stays mute."""
        await self.command(
            verbs.SilentAfterHandshake(
                client_id=client_id,
                for_s=for_s,
            )
        )

    async def drop_connection(
        self,
        *,
        client_id: ClientId | None = None,
        abortive: bool = True,
    ) -> None:
        """Close connections."""
        await self.command(
            verbs.DropConnection(
                client_id=client_id,
                abortive=abortive,
            )
        )

    async def half_open(
        self,
        *,
        client_id: ClientId | None = None,
        keeps_client_id: bool = False,
    ) -> None:
        """The sockets stay, but what comes is not looked at and nothing is written, as after a silent failure of the network."""
        await self.command(
            verbs.HalfOpen(
                client_id=client_id,
                keeps_client_id=keeps_client_id,
            )
        )

    async def freeze(
        self,
        *,
        client_id: ClientId | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """The Gateway stands still towards its clients: nothing is read, nothing is written; then all goes on."""
        await self.command(
            verbs.Freeze(
                client_id=client_id,
                for_s=for_s,
            )
        )

    async def delay(
        self,
        *,
        ms: Milliseconds,
        jitter_ms: Milliseconds = 0,
        direction: Literal["out", "in", "both"] = "out",
        client_id: ClientId | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """What is sent arrives later, in order."""
        await self.command(
            verbs.Delay(
                ms=ms,
                jitter_ms=jitter_ms,
                direction=direction,
                client_id=client_id,
                for_s=for_s,
            )
        )

    async def split_writes(
        self,
        *,
        size: PieceBytes = 1,
        gap_ms: Milliseconds = 0,
        client_id: ClientId | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """What the Gateway says is written in small pieces, each in a segment of its own."""
        await self.command(
            verbs.SplitWrites(
                size=size,
                gap_ms=gap_ms,
                client_id=client_id,
                for_s=for_s,
            )
        )

    async def reset_port(
        self,
        *,
        port: Port | None = None,
    ) -> None:
        """Error 1300, as when the API's port was changed in the settings: clients are told the port and cut off."""
        await self.command(
            verbs.ResetPort(
                port=port,
            )
        )

    async def restart(
        self,
        *,
        down_s: Seconds = 1.0,
        roll_back_order_ids: NotNegative = 0,
        deaf_s: Seconds = 0,
    ) -> None:
        """The Gateway closes its port and all connections and comes back. What IBKR knows, orders and account, goes on."""
        await self.command(
            verbs.Restart(
                down_s=down_s,
                roll_back_order_ids=roll_back_order_ids,
                deaf_s=deaf_s,
            )
        )

    async def nightly_restart(
        self,
        *,
        at: str = "23:45",
        time_zone: str = "America/New_York",
        down_s: Seconds = 60.0,
        roll_back_order_ids: NotNegative = 0,
        deaf_s: Seconds = 0,
        for_s: Seconds | None = None,
    ) -> None:
        """A restart every day at the same time."""
        await self.command(
            verbs.NightlyRestart(
                at=at,
                time_zone=time_zone,
                down_s=down_s,
                roll_back_order_ids=roll_back_order_ids,
                deaf_s=deaf_s,
                for_s=for_s,
            )
        )

    async def omit_ends(
        self,
        *,
        ends: tuple[str, ...] = (),
        client_id: ClientId | None = None,
        count: Count | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """Lists come without the message that ends them."""
        await self.command(
            verbs.OmitEnds(
                ends=ends,
                client_id=client_id,
                count=count,
                for_s=for_s,
            )
        )

    async def lose_link(
        self,
        *,
        code: Literal[1100, 2110] = 1100,
        keeps_orders: bool = True,
        for_s: Seconds | None = None,
    ) -> None:
        """The Gateway loses IBKR (1100 or 2110). No ticks and no data; orders go on at IBKR, unseen."""
        await self.command(
            verbs.LoseLink(
                code=code,
                keeps_orders=keeps_orders,
                for_s=for_s,
            )
        )

    async def restore_link(
        self,
        *,
        data_lost: bool = False,
        tells_missed: bool = True,
    ) -> None:
        """The link to IBKR is back: 1102, or 1101 if data was lost."""
        await self.command(
            verbs.RestoreLink(
                data_lost=data_lost,
                tells_missed=tells_missed,
            )
        )

    async def farm_down(
        self,
        *,
        farm: Farm = "market_data",
        farm_name: str | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """A data farm is lost."""
        await self.command(
            verbs.FarmDown(
                farm=farm,
                farm_name=farm_name,
                for_s=for_s,
            )
        )

    async def farm_up(
        self,
        *,
        farm: Farm = "market_data",
        farm_name: str | None = None,
    ) -> None:
        """A data farm is back: 2104, 2106 or 2158."""
        await self.command(
            verbs.FarmUp(
                farm=farm,
                farm_name=farm_name,
            )
        )

    async def competing_session(
        self,
        *,
        for_s: Seconds | None = None,
    ) -> None:
        """The same user is logged in elsewhere and has the data: 10197 for quotes, which stop, and 162 for history."""
        await self.command(
            verbs.CompetingSession(
                for_s=for_s,
            )
        )

    async def market_data_permission(
        self,
        *,
        code: Literal[354, 10089, 10167, 10168] = 354,
        symbol: str | None = None,
        client_id: ClientId | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """Live market data is not subscribed."""
        await self.command(
            verbs.MarketDataPermission(
                code=code,
                symbol=symbol,
                client_id=client_id,
                for_s=for_s,
            )
        )

    async def halt(
        self,
        *,
        symbol: str | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """Trading is halted: tick 49 says 1 and quotes stand still; when it is over it says 0, and quotes go on."""
        await self.command(
            verbs.Halt(
                symbol=symbol,
                for_s=for_s,
            )
        )

    async def forget_subscriptions(
        self,
        *,
        client_id: ClientId | None = None,
        symbol: str | None = None,
        count: Count | None = None,
    ) -> None:
        """IBKR forgets subscriptions to quotes: their ticks stop and nothing is said; asked for again, they come."""
        await self.command(
            verbs.ForgetSubscriptions(
                client_id=client_id,
                symbol=symbol,
                count=count,
            )
        )

    async def fail_live_updates(
        self,
        *,
        client_id: ClientId | None = None,
    ) -> None:
        """Bars that were kept up to date no longer are: 10182."""
        await self.command(
            verbs.FailLiveUpdates(
                client_id=client_id,
            )
        )

    async def fail_history(
        self,
        *,
        code: Literal[162, 200, 321, 322, 366] = 162,
        text: str | None = None,
        symbol: str | None = None,
        client_id: ClientId | None = None,
        count: Count | None = 1,
        for_s: Seconds | None = None,
    ) -> None:
        """Requests for historical data end in an error."""
        await self.command(
            verbs.FailHistory(
                code=code,
                text=text,
                symbol=symbol,
                client_id=client_id,
                count=count,
                for_s=for_s,
            )
        )

    async def read_only_api(
        self,
        *,
        refuses_lists: bool = False,
        for_s: Seconds | None = None,
    ) -> None:
        """The API is read-only, as in a fresh Gateway: orders, changes and cancels are refused with 321."""
        await self.command(
            verbs.ReadOnlyApi(
                refuses_lists=refuses_lists,
                for_s=for_s,
            )
        )

    async def reject_orders(
        self,
        *,
        client_id: ClientId | None = None,
        symbol: str | None = None,
        order_ref: str | None = None,
        count: Count | None = None,
        code: int = 201,
        text: str | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """New orders, and changes of working ones, are rejected."""
        await self.command(
            verbs.RejectOrders(
                client_id=client_id,
                symbol=symbol,
                order_ref=order_ref,
                count=count,
                code=code,
                text=text,
                for_s=for_s,
            )
        )

    async def order_warning(
        self,
        *,
        client_id: ClientId | None = None,
        symbol: str | None = None,
        order_ref: str | None = None,
        count: Count | None = None,
        code: int = 399,
        text: str | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """New orders are taken and work, and draw a message that sounds like an error."""
        await self.command(
            verbs.OrderWarning(
                client_id=client_id,
                symbol=symbol,
                order_ref=order_ref,
                count=count,
                code=code,
                text=text,
                for_s=for_s,
            )
        )

    async def cancel_error(
        self,
        *,
        code: Literal[161, 10148] = 161,
        status: str = "PendingCancel",
        client_id: ClientId | None = None,
        count: Count | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """Cancels are answered with an error and nothing else; the order goes on working."""
        await self.command(
            verbs.CancelError(
                code=code,
                status=status,
                client_id=client_id,
                count=count,
                for_s=for_s,
            )
        )

    async def commission_before_execution(
        self,
        *,
        client_id: ClientId | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """Commission reports come before the executions they belong to."""
        await self.command(
            verbs.CommissionBeforeExecution(
                client_id=client_id,
                for_s=for_s,
            )
        )

    async def duplicate_order_status(
        self,
        *,
        copies: Copies = 1,
        client_id: ClientId | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """Every orderStatus comes several times."""
        await self.command(
            verbs.DuplicateOrderStatus(
                copies=copies,
                client_id=client_id,
                for_s=for_s,
            )
        )

    async def lose_acknowledgement(
        self,
        *,
        client_id: ClientId | None = None,
        symbol: str | None = None,
        order_ref: str | None = None,
        count: Count | None = None,
        until: Literal["reconnect", "never"] = "reconnect",
        for_s: Seconds | None = None,
    ) -> None:
        """New orders work, but their client is told nothing of them by itself; asked for, they are there."""
        await self.command(
            verbs.LoseAcknowledgement(
                client_id=client_id,
                symbol=symbol,
                order_ref=order_ref,
                count=count,
                until=until,
                for_s=for_s,
            )
        )

    async def lose_order(
        self,
        *,
        client_id: ClientId | None = None,
        symbol: str | None = None,
        order_ref: str | None = None,
        count: Count | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """Orders and changes disappear: nothing happens, and nothing is said."""
        await self.command(
            verbs.LoseOrder(
                client_id=client_id,
                symbol=symbol,
                order_ref=order_ref,
                count=count,
                for_s=for_s,
            )
        )

    async def omit_orders(
        self,
        *,
        client_id: ClientId | None = None,
        order_ref: str | None = None,
        for_s: Seconds | None = None,
    ) -> None:
        """Lists of open orders, completed orders and executions come without some orders, as before IBKR has told of them."""
        await self.command(
            verbs.OmitOrders(
                client_id=client_id,
                order_ref=order_ref,
                for_s=for_s,
            )
        )

    async def fill(
        self,
        *,
        perm_id: int | None = None,
        order_ref: str | None = None,
        client_id: ClientId | None = None,
        order_id: int | None = None,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> None:
        """An order fills now, whatever the market says, and whether or not anybody listens."""
        await self.command(
            verbs.Fill(
                perm_id=perm_id,
                order_ref=order_ref,
                client_id=client_id,
                order_id=order_id,
                quantity=quantity,
                price=price,
            )
        )

    async def cancel_order(
        self,
        *,
        perm_id: int | None = None,
        order_ref: str | None = None,
        client_id: ClientId | None = None,
        order_id: int | None = None,
        text: str = "",
    ) -> None:
        """IBKR cancels an order by itself."""
        await self.command(
            verbs.CancelOrder(
                perm_id=perm_id,
                order_ref=order_ref,
                client_id=client_id,
                order_id=order_id,
                text=text,
            )
        )

    async def correct_execution(
        self,
        *,
        exec_id: str,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> None:
        """An execution is corrected: told again with the last segment of its id counted up, `.01` to `.02`."""
        await self.command(
            verbs.CorrectExecution(
                exec_id=exec_id,
                quantity=quantity,
                price=price,
            )
        )

    async def roll_back_order_ids(
        self,
        *,
        by: Count = 1,
        client_id: ClientId | None = None,
    ) -> None:
        """The Gateway forgets the last order ids: the next client to connect or ask is told a lower nextValidId."""
        await self.command(
            verbs.RollBackOrderIds(
                by=by,
                client_id=client_id,
            )
        )

    async def clear(
        self,
        *,
        fault: str | None = None,
    ) -> None:
        """End states, as if their time were over: sockets that are half open are cut, the link comes back, farms are up."""
        await self.command(
            verbs.Clear(
                fault=fault,
            )
        )
