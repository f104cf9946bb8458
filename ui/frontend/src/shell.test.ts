// @vitest-environment happy-dom
import { describe, expect, it, vi } from 'vitest';
import { Api } from './net/api.ts';
import { logOut } from './shell.ts';

describe('logging out', () => {
  it.each([[200, true], [401, true], [403, false], [429, false], [500, false]])('answered with %i goes to the login page: %s', async (status, goes) => {
    const [go, failed] = [vi.fn(), vi.fn()];
    await logOut(new Api(async () => Response.json({}, { status })), go, failed);
    expect([go.mock.calls.length, failed.mock.calls.length]).toEqual(goes ? [1, 0] : [0, 1]);
  });

  it('without an answer stays, and says so', async () => {
    const [go, failed] = [vi.fn(), vi.fn()];
    await logOut(new Api(() => Promise.reject(new Error('no network'))), go, failed);
    expect([go.mock.calls.length, failed.mock.calls[0]]).toEqual([0, ['You are still logged in: Error: no network']]);
  });
});
