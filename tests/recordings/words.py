"""The words of the recordings for messages and their fields.

A message is called by its name in the protocol's tables in snake_case, and so are its fields; what the recordings call
otherwise stands here. `test_recordings_vocabulary` sees to it that every word here means something.
"""

from __future__ import annotations

import re

from ibstream_gateway_emulator.protocol import requests
from ibstream_gateway_emulator.protocol.requests import REQUESTS, Request


def snake(name: str) -> str:
    """`ReqMktData` as `req_mkt_data`, `ocaGroup` as `oca_group`, `PnLSingle` as `pnl_single`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.replace("PnL", "Pnl")).lower()


REQUEST_ALIASES = {
    "req_quote": "req_mkt_data",
    "req_market_data": "req_mkt_data",
    "cancel_quote": "cancel_mkt_data",
    "cancel_market_data": "cancel_mkt_data",
    "req_market_depth": "req_mkt_depth",
    "cancel_market_depth": "cancel_mkt_depth",
    "req_historical_bars": "req_historical_data",
    "cancel_historical_bars": "cancel_historical_data",
    "req_realtime_bars": "req_real_time_bars",
    "cancel_realtime_bars": "cancel_real_time_bars",
    "global_cancel": "req_global_cancel",
    "req_calc_implied_volatility": "calculate_implied_volatility",
    "req_calc_option_price": "calculate_option_price",
    "cancel_calc_implied_volatility": "cancel_calculate_implied_volatility",
    "cancel_calc_option_price": "cancel_calculate_option_price",
}
"""What clients of recordings say, and its name here."""
REQUEST_KINDS: dict[str, type[Request]] = {snake(kind.__name__): kind for kind in REQUESTS.values()}
REFUSED_REQUESTS = {
    "req_news_article": 84,
    "req_historical_news": 86,
    "req_histogram_data": 88,
    "cancel_histogram_data": 89,
    "req_scanner_subscription": 22,
    "cancel_scanner_subscription": 23,
    "req_fundamental_data": 52,
    "cancel_fundamental_data": 53,
    "req_soft_dollar_tiers": 79,
    "req_wsh_meta_data": 100,
    "cancel_wsh_meta_data": 101,
    "req_wsh_event_data": 102,
    "cancel_wsh_event_data": 103,
    "query_display_groups": 67,
    "subscribe_group_events": 68,
    "subscribe_to_group_events": 68,
    "update_display_group": 69,
    "unsubscribe_group_events": 70,
    "unsubscribe_from_group_events": 70,
    "request_fa": 18,
    "req_fa": 18,
    "replace_fa": 19,
}
"""Requests that the stand-in refuses by name, with their ids: asked all the same, so that the difference is seen."""

REQUEST_FIELDS: dict[type[Request], dict[str, str]] = {
    requests.ReqExecutions: {"time": "since", "sec_type": "security_type"},
    requests.ReqHistoricalData: {"end_time": "end", "end_date_time": "end", "chart_options": "options"},
    requests.ReqHistoricalTicks: {
        "start_date_time": "start",
        "start_time": "start",
        "end_date_time": "end",
        "end_time": "end",
        "number_of_ticks": "count",
    },
    requests.ReqMarketDataType: {"data_type": "market_data_type"},
    requests.ReqIds: {"num_ids": "count"},
    requests.ReqTickByTick: {"number_of_ticks": "count"},
    requests.ReqMktDepth: {"num_rows": "rows"},
    requests.ReqMktData: {"generic_tick_list": "generic_ticks"},
    requests.ReqRealTimeBars: {"bar_size": "bar_s"},
    requests.ReqMarketRule: {"market_rule_id": "rule_id"},
    requests.ReqSecDefOptParams: {
        "underlying_symbol": "under_symbol",
        "underlying_sec_type": "under_security_type",
        "underlying_con_id": "under_con_id",
        "fut_fop_exchange": "exchange",
    },
    requests.ReqAccountSummary: {"account": "group"},
    requests.ReqAutoOpenOrders: {"auto_bind": "bind"},
    requests.ExerciseOptions: {"exercise_action": "action", "exercise_quantity": "quantity"},
    requests.CancelOrder: {"manual_order_cancel_time": "manual_time"},
    requests.SetServerLogLevel: {"log_level": "level"},
}
"""What the fields of requests are called in recordings."""
ORDER_FIELDS = {
    "quantity": "totalQuantity",
    "limit_price": "lmtPrice",
    "discretion_amt": "discretionaryAmt",
    "order_combo_leg_prices": "orderComboLegs",
    "smart_combo_routing": "smartComboRoutingParams",
    "soft_dollar_name": "softDollarTierName",
    "soft_dollar_value": "softDollarTierValue",
}
"""Attributes of an order that are not called as in the API."""

MESSAGE_ALIASES = {
    "completed_orders_end": "completed_order_end",
    "real_time_bar": "realtime_bar",
    "real_time_bars": "realtime_bar",
    "depth_exchanges": "mkt_depth_exchanges",
    "symbol_samples": "matching_symbols",
    "portfolio_value": "update_portfolio",
    "account_value": "update_account_value",
}
"""What recordings call a message in several ways."""
MESSAGE_NAMES = {
    "Error": "api_error",
    "ExecDetails": "execution_detail",
    "ExecDetailsEnd": "executions_end",
    "ContractData": "contract_details",
    "ContractDataEnd": "contract_details_end",
    "PositionData": "position",
    "AccountValue": "update_account_value",
    "PortfolioValue": "update_portfolio",
    "AccountUpdateTime": "update_account_time",
    "RealTimeBar": "realtime_bar",
    "CompletedOrdersEnd": "completed_order_end",
    "OptionParameters": "sec_def_opt_params",
    "OptionParametersEnd": "sec_def_opt_params_end",
    "SymbolSamples": "matching_symbols",
    "DepthExchanges": "mkt_depth_exchanges",
    "HistoricalMidpoints": "historical_ticks",
    "HistoricalBidAsks": "historical_ticks_bid_ask",
    "HistoricalTrades": "historical_ticks_last",
    "TickByTickTrade": "tick_by_tick",
    "TickByTickBidAsk": "tick_by_tick",
    "TickByTickMidpoint": "tick_by_tick",
}
"""Names of messages that are not simply their own in snake_case."""
_PAST_TICK = {"epoch_s": "time", "attributes": "tick_attrib", "conditions": "special_conditions"}
_TICK = {"epoch_s": "time", "conditions": "special_conditions"}
_BID_ASK = {"bid": "bid_price", "ask": "ask_price"}
MESSAGE_FIELDS: dict[str, dict[str, str]] = {
    "OrderStatus": {"average_fill_price": "avg_fill_price", "market_cap_price": "mkt_cap_price"},
    "Error": {"text": "message", "advanced_reject": "advanced_order_reject_json"},
    "CommissionReport": {"yield_": "yield"},
    "ExecDetails": {"cumulative_quantity": "cum_qty", "average_price": "avg_price"},
    "CurrentTime": {"epoch_s": "time"},
    "MarketDataType": {"market_data_type": "data_type"},
    "PositionData": {"quantity": "position", "average_cost": "avg_cost"},
    "PositionMulti": {"quantity": "position", "average_cost": "avg_cost"},
    "PortfolioValue": {
        "security_type": "sec_type",
        "last_trade_date": "expiry",
        "quantity": "position",
        "average_cost": "avg_cost",
    },
    "AccountUpdateTime": {"time": "timestamp"},
    "PnL": {"daily": "daily_pnl", "unrealized": "unrealized_pnl", "realized": "realized_pnl"},
    "PnLSingle": {
        "quantity": "position",
        "daily": "daily_pnl",
        "unrealized": "unrealized_pnl",
        "realized": "realized_pnl",
    },
    "HistoricalSchedule": {"start": "start_date_time", "end": "end_date_time"},
    "Session": {"start": "start_date_time", "end": "end_date_time", "reference_date": "ref_date"},
    "HistoricalBar": {"date": "time", "average": "wap"},
    "HistoricalDataUpdate": {"date": "time", "average": "wap", "count": "bar_count"},
    "HistoricalMidpoints": {"is_done": "done"},
    "HistoricalBidAsks": {"is_done": "done"},
    "HistoricalTrades": {"is_done": "done"},
    "PastMidpoint": {"epoch_s": "time"},
    "PastBidAsk": _BID_ASK | {"epoch_s": "time", "attributes": "tick_attrib"},
    "PastTrade": _PAST_TICK,
    "HeadTimestamp": {"time": "timestamp"},
    "TickPrice": {"tick_type": "field", "attributes": "attr_mask"},
    "TickSize": {"tick_type": "field"},
    "TickString": {"tick_type": "field"},
    "TickGeneric": {"tick_type": "field"},
    "TickOptionComputation": {
        "basis": "tick_attrib",
        "implied_volatility": "implied_vol",
        "price": "opt_price",
        "present_value_of_dividends": "pv_dividend",
        "underlying_price": "und_price",
    },
    "TickByTickTrade": _TICK | {"attributes": "tick_attrib_last"},
    "TickByTickBidAsk": _BID_ASK | {"epoch_s": "time", "attributes": "tick_attrib_bid_ask"},
    "TickByTickMidpoint": {"epoch_s": "time", "midpoint": "mid_point"},
    "RealTimeBar": {"epoch_s": "time", "average": "wap"},
    "Contract11": {"security_type": "sec_type", "last_trade_date": "expiry"},
    "ContractData": {"security_type": "sec_type", "last_trade_date": "expiry"},
    "SymbolSamples": {"samples": "symbols"},
    "SymbolSample": {"security_type": "sec_type", "derivatives": "derivative_sec_types"},
    "OptionParameters": {"under_con_id": "underlying_con_id"},
    "MarketRule": {"rule_id": "market_rule_id"},
    "SmartComponent": {"bit": "bit_number", "exchange": "exchange_name", "letter": "exchange_letter"},
    "DepthExchange": {
        "security_type": "sec_type",
        "listing_exchange": "listing_exch",
        "service": "service_data_type",
        "aggregate_group": "agg_group",
    },
    "FamilyCode": {"account": "account_id"},
    "NewsBulletin": {"bulletin_id": "msg_id", "bulletin_type": "msg_type", "text": "headline", "exchange": "source"},
}
"""Fields that are called otherwise, by message or part of one."""
