/** The pages beside the terminal, loaded together with the first that is opened: alone each is too small to compress well. */
export { open as backtests } from './backtests.ts';
export { open as journal } from './journal.ts';
export { open as models } from './models.ts';
export { open as overview } from './overview.ts';
