/** Why a signal was skipped, as a person reads it; `SkipReason` of the strategies has the codes. */
import { words } from './format.ts';

const SKIPPED: Record<string, string> = {
  non_finite: 'a price is no number',
  side: 'side not traded here',
  no_stop_distance: 'no distance to the stop',
  stop_too_near: 'stop too near',
  reward_risk: 'too little reward for the risk',
  fees: 'fees larger than the target',
  below_threshold: 'below the threshold',
  model: 'the model says no',
  risk: 'limits of risk',
  min_qty: 'smaller than the venue takes',
  min_notional: 'worth less than the venue takes',
  max_positions: 'enough positions are open',
  correlated: 'too much like an open position',
  low_turnover: 'too little turnover',
  low_volume: 'too little volume for the size',
  not_in_universe: 'not among the coins of the day',
  cooldown: 'pause after a stop',
  daily_loss: 'loss of the day at its limit',
  drawdown: 'drawdown at its limit',
  stop_guard: 'too many stops lately',
  low_profit: 'the symbol earned too little lately',
  loss_streak: 'too many losses in a row',
  warm_up: 'warming up',
  halted: 'trading is halted',
  held: 'entries are held',
  tainted: 'gaps in the data',
  bad_print: 'price not believed',
  stale_data: 'data too old',
  htf_bias: 'against the higher timeframe',
  in_position: 'a position is open already',
  entry_resting: 'an entry rests already',
  touched: 'the price was there already',
  used: 'entered before the restart',
};

/** A code that is not known is shown as it is. */
export const skipWords = (code: string | null | undefined): string => SKIPPED[code ?? ''] ?? words(code ?? '');
